//! The secret gear table: 256 words from the chunking key. Whoever knows them can tell which known
//! files a repository holds by their chunk lengths, so they are wiped on drop and never shown.

use std::fmt;

use zeroize::Zeroizing;

const WORDS: usize = 256;
const DERIVATION_LABEL: &[u8] = b"keepstone v1 gear table";

/// The table, and the same shifted left by one bit, which the scan by two bytes at a time needs.
pub(super) struct GearTables {
    words: Box<Zeroizing<[u64; WORDS]>>,
    words_shifted: Box<Zeroizing<[u64; WORDS]>>,
}

impl GearTables {
    pub(super) fn derive(chunking_key: &[u8; 32]) -> Self {
        let mut stream = Zeroizing::new([0u8; WORDS * 8]);
        blake3::Hasher::new_keyed(chunking_key).update(DERIVATION_LABEL).finalize_xof().fill(&mut *stream);

        let mut tables =
            Self { words: Box::new(Zeroizing::new([0; WORDS])), words_shifted: Box::new(Zeroizing::new([0; WORDS])) };
        let (encoded, _) = stream.as_chunks::<8>();
        for (i, bytes) in encoded.iter().enumerate() {
            tables.words[i] = u64::from_le_bytes(*bytes);
            tables.words_shifted[i] = tables.words[i] << 1;
        }
        tables
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words[..]
    }

    pub(super) fn words_shifted(&self) -> &[u64] {
        &self.words_shifted[..]
    }
}

impl fmt::Debug for GearTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GearTables(secret)")
    }
}
