//! Reading blobs: any copy that verifies serves (format-spec, "Reading").

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::error::{RepoError, Result};
use super::index::Location;
use super::{Repository, names};
use crate::compress::Decompressor;
use crate::crypto::PackOpener;
use crate::format::content::{ListNode, ListRef};
use crate::format::envelope::PREFIX_LEN;
use crate::format::pack::{BlobKind, Compression, Placed};
use crate::format::segment::PackClass;
use crate::format::tree::{EntryKey, TreeNode, TreeRef};
use crate::format::{Malformed, Structure};
use crate::id::{BlobId, PackId};
use crate::storage::StoreError;

/// Pack ciphers that are kept, so that not every blob asks for its pack's prefix.
const OPENERS: usize = 1024;

/// The ciphers of packs that were read from lately.
#[derive(Default)]
pub(super) struct Openers(Mutex<HashMap<PackId, Arc<PackOpener>>>);

thread_local! {
    pub(super) static DECOMPRESSOR: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

impl Repository {
    /// The plaintext of a blob, from the first of its copies that is whole. Before it is called lost, the
    /// index is listed again, because a prune may have moved it since; then the local view is built anew,
    /// once, because the damage may be there.
    pub fn read_blob(&self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
        let as_known = || Ok(true);
        let listed_again = || self.refresh_index().map(|_| true);
        let built_anew = || self.rebuild_index_once();
        let looks: [&dyn Fn() -> Result<bool>; 3] = [&as_known, &listed_again, &built_anew];
        let (mut tried, mut failure) = (Vec::new(), None);
        for look in looks {
            if !look()? {
                continue;
            }
            match self.read_untried(kind, id, &mut tried) {
                Ok(Some(plain)) => return Ok(plain),
                Ok(None) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| RepoError::Missing { what: format!("{} blob {id}", noun(kind)) }))
    }

    /// The first copy that is whole of those that were not tried yet; `None` if there are no such copies,
    /// else why the first one failed.
    fn read_untried(&self, kind: BlobKind, id: &BlobId, tried: &mut Vec<Location>) -> Result<Option<Vec<u8>>> {
        let located = self.view().locate(id)?;
        let mut first_failure = None;
        for location in located {
            if location.placed.blob.kind != kind || tried.contains(&location) {
                continue;
            }
            match self.read_at(&location) {
                Ok(plain) => return Ok(Some(plain)),
                Err(error) => first_failure = first_failure.or(Some(error)),
            }
            tried.push(location);
        }
        first_failure.map_or(Ok(None), Err)
    }

    /// A root of a tree; it has the level and the totals that the reference says.
    pub fn read_tree(&self, tree: &TreeRef) -> Result<TreeNode> {
        self.read_tree_node(tree, None)
    }

    /// A node of a tree; below an interior node it ends with the entry that is said there.
    pub fn read_tree_node(&self, tree: &TreeRef, last: Option<&EntryKey>) -> Result<TreeNode> {
        let plain = self.read_blob(BlobKind::Tree, &tree.id)?;
        let broken = |error| RepoError::malformed(format!("tree blob {}", tree.id), error);
        let node = TreeNode::from_bytes(&plain).map_err(broken)?;
        node.is_what(tree).map_err(broken)?;
        if last.is_some() && node.last() != last {
            return Err(broken(Malformed::new(TreeNode::WHAT, "not the last entry that its parent says")));
        }
        Ok(node)
    }

    /// A chunk-list node; it has the level and the totals that the reference says.
    pub fn read_list(&self, list: &ListRef) -> Result<ListNode> {
        let plain = self.read_blob(BlobKind::List, &list.id)?;
        let broken = |error| RepoError::malformed(format!("list blob {}", list.id), error);
        let node = ListNode::from_bytes(&plain).map_err(broken)?;
        node.is_what(list).map_err(broken)?;
        Ok(node)
    }

    fn read_at(&self, location: &Location) -> Result<Vec<u8>> {
        let result = self.read_once(location);
        // A damaged copy in the cache is no damage: ask the store.
        match (&result, self.meta_cache()) {
            (Err(_), Some(cache)) if location.class == PackClass::Meta && cache.forget(&location.pack) => {
                // The pack's cipher may have come of the damaged copy as well.
                self.openers().lock().remove(&location.pack);
                self.read_once(location)
            }
            _ => result,
        }
    }

    fn read_once(&self, location: &Location) -> Result<Vec<u8>> {
        let opener = self.opener(&location.pack, location.class)?;
        let len = location.placed.blob.sealed_len();
        let sealed = self.read_sealed(&location.pack, location.class, location.placed.offset, len)?;
        self.open_blob(&location.pack, &opener, &location.placed, sealed)
    }

    /// Bytes of a pack as they are stored, by way of the cache for metadata.
    fn read_sealed(&self, pack: &PackId, class: PackClass, offset: u64, len: u64) -> Result<Vec<u8>> {
        if let (PackClass::Meta, Some(cache)) = (class, self.meta_cache().filter(|cache| !cache.refuses(pack))) {
            let cached_len = usize::try_from(len).expect("a sealed blob is far below 4 GiB");
            match cache.read(self.objects().store(), pack, offset, cached_len) {
                // What is whole of a damaged pack still serves.
                Err(RepoError::Damaged { .. }) => cache.refuse(pack),
                // A cache that cannot take it is no reason to fail.
                Err(RepoError::Local { .. }) if !cache.holds(pack) => cache.refuse(pack),
                result => return result,
            }
        }
        self.read_pack_range(pack, offset, len)
    }

    /// `len` bytes at `offset` of a pack, from the store.
    pub fn read_pack_range(&self, pack: &PackId, offset: u64, len: u64) -> Result<Vec<u8>> {
        let name = names::pack(pack);
        let bytes = self.objects().store().get_range(&name, offset, len).map_err(|error| match error {
            StoreError::NotFound { .. } => RepoError::Missing { what: name.to_string() },
            other => other.into(),
        })?;
        match bytes.len() as u64 == len {
            true => Ok(bytes),
            false => Err(RepoError::Damaged { object: name.to_string(), why: "it is cut short".into() }),
        }
    }

    /// The cipher of a pack.
    pub fn opener(&self, pack: &PackId, class: PackClass) -> Result<Arc<PackOpener>> {
        if let Some(opener) = self.openers().lock().get(pack) {
            return Ok(Arc::clone(opener));
        }
        let prefix = self.read_sealed(pack, class, 0, PREFIX_LEN as u64)?;
        let opener = PackOpener::new(&self.objects().object_keys(), class.object_kind(), &prefix)
            .map_err(|error| self.blamed(pack, RepoError::unopened(names::pack(pack), error)))?;
        let opener = Arc::new(opener);
        let mut openers = self.openers().lock();
        if openers.len() >= OPENERS {
            openers.clear();
        }
        openers.insert(*pack, Arc::clone(&opener));
        Ok(opener)
    }

    /// The plaintext of a sealed blob: authentic, of its length, and with the id that names it.
    pub fn open_blob(
        &self,
        pack: &PackId,
        opener: &PackOpener,
        placed: &Placed,
        mut sealed: Vec<u8>,
    ) -> Result<Vec<u8>> {
        let damaged = |why: String| self.blob_is_damaged(pack, placed, why);
        opener.open(placed, &mut sealed).map_err(|error| damaged(error.to_string()))?;
        let plain = match placed.blob.compression {
            Compression::None => sealed,
            Compression::Zstd => DECOMPRESSOR
                .with_borrow_mut(|zstd| zstd.decompress(&sealed, placed.blob.plain_len as usize))
                .map_err(|error| damaged(error.to_string()))?,
        };
        match self.objects().keys().namer().name(placed.blob.kind, &plain) == placed.blob.id {
            true => Ok(plain),
            false => Err(damaged("its content is not what its id names".into())),
        }
    }

    pub(super) fn blob_is_damaged(&self, pack: &PackId, placed: &Placed, why: String) -> RepoError {
        RepoError::Damaged {
            object: names::pack(pack).to_string(),
            why: format!("{} blob {} at byte {}: {why}", noun(placed.blob.kind), placed.blob.id, placed.offset),
        }
    }
}

impl Openers {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PackId, Arc<PackOpener>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The word for a kind of blob.
pub fn noun(kind: BlobKind) -> &'static str {
    match kind {
        BlobKind::Data => "data",
        BlobKind::Tree => "tree",
        BlobKind::List => "list",
        BlobKind::Padding => "padding",
    }
}
