//! Blob ids: keyed BLAKE3 of the plaintext, one key per kind of blob (format-spec, "Names").

use crate::format::keys::Key;
use crate::format::pack::BlobKind;
use crate::id::BlobId;

/// Names blobs. Whoever lacks the identity key can neither guess nor test what a blob holds.
#[derive(Debug, Clone)]
pub struct Namer {
    keys: [Key; 4],
}

impl Namer {
    /// The namer of a repository with this identity key.
    pub fn new(identity: &Key) -> Self {
        let key = |kind: BlobKind| super::aead::derive(identity, "keepstone v1 blob id", &[&[kind as u8]]);
        Namer { keys: BlobKind::ALL.map(key) }
    }

    /// The id of the blob of this kind with this plaintext.
    pub fn name(&self, kind: BlobKind, plain: &[u8]) -> BlobId {
        let key = match kind {
            BlobKind::Data => &self.keys[0],
            BlobKind::Tree => &self.keys[1],
            BlobKind::List => &self.keys[2],
            BlobKind::Padding => &self.keys[3],
        };
        BlobId::from_bytes(*blake3::keyed_hash(&key.0, plain).as_bytes())
    }
}
