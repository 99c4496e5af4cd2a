//! Chunking: where a stream is cut depends on its content and on a secret, so that an insertion moves
//! only the cuts near it, and chunk lengths do not name the content (format-spec/chunking.md).
//!
//! [`Chunker`] holds the secret and decides; [`Chunks`] reads a stream through it in bounded memory;
//! [`Chunker::split`] does the same for bytes that are in memory already.

mod gear;
mod params;
mod stream;

pub use params::{ChunkerParams, MAX_CHUNK_LEN, MIN_CHUNK_LEN, ParamsError};
pub use stream::Chunks;

use gear::GearTables;

/// The number by which the format names this algorithm: FastCDC with a full secret table.
pub const CHUNKER_ID: u8 = 1;

/// Decides where streams are cut. Share one among all threads of a run: it never changes.
///
/// The same key, parameters and bytes give the same chunks on every machine and for ever; deduplication
/// against what is stored already depends on it.
#[derive(Debug)]
pub struct Chunker {
    tables: GearTables,
    params: ChunkerParams,
}

impl Chunker {
    /// Derives the secret table from the repository's chunking key.
    pub fn new(chunking_key: &[u8; 32], params: ChunkerParams) -> Self {
        Self { tables: GearTables::derive(chunking_key), params }
    }

    /// The parameters this chunker was made with.
    pub fn params(&self) -> ChunkerParams {
        self.params
    }

    /// The length in bytes of the first chunk of `window`.
    ///
    /// `window` must hold at least `max` bytes, or all that is left of the stream: a shorter one would be
    /// cut as if the stream ended there. Zero only when `window` is empty.
    pub fn cut(&self, window: &[u8]) -> usize {
        if self.is_one_chunk(window.len() as u64) {
            return window.len();
        }
        let (strict, relaxed) = (self.params.strict_mask(), self.params.relaxed_mask());
        let (_hash, len) = fastcdc::v2020::cut_gear(
            window,
            self.params.min() as usize,
            self.params.avg() as usize,
            self.params.max() as usize,
            strict,
            relaxed,
            strict << 1,
            relaxed << 1,
            self.tables.words(),
            self.tables.words_shifted(),
        );
        len
    }

    /// Whether a stream of `len` bytes is one chunk whatever it contains, so that whoever holds all of it
    /// need not ask for a cut.
    pub fn is_one_chunk(&self, len: u64) -> bool {
        len <= u64::from(self.params.min())
    }

    /// The chunks of a stream that is in memory as a whole; none for an empty one.
    pub fn split<'c, 's>(&'c self, stream: &'s [u8]) -> impl Iterator<Item = &'s [u8]> + use<'c, 's> {
        let mut rest = stream;
        std::iter::from_fn(move || {
            let (chunk, after) = rest.split_at(self.cut(rest));
            rest = after;
            (!chunk.is_empty()).then_some(chunk)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunker_can_be_shared_by_threads() {
        fn shared<T: Send + Sync>(_: &T) {}
        shared(&Chunker::new(&[1; 32], ChunkerParams::default()));
    }

    #[test]
    fn debug_output_does_not_show_the_table() {
        let chunker = Chunker::new(&[1; 32], ChunkerParams::default());

        let shown = format!("{chunker:?}");

        assert!(shown.contains("GearTables(secret)"), "{shown}");
        assert!(!shown.contains(&chunker.tables.words()[0].to_string()));
    }

    #[test]
    fn another_key_cuts_elsewhere() {
        let params = ChunkerParams::new(64, 256, 1024).unwrap();
        let mut stream = vec![0; 100_000];
        blake3::Hasher::new().finalize_xof().fill(&mut stream);

        let lengths = |key| -> Vec<usize> {
            let chunker = Chunker::new(key, params);
            chunker.split(&stream).map(<[u8]>::len).collect()
        };

        assert_ne!(lengths(&[1; 32]), lengths(&[2; 32]));
    }
}
