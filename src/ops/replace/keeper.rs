//! What a new snapshot refers to is where its session may rely on it (format-spec, "Backup", B2): looked up, and
//! stored anew where it is not, out of a pack that waits for its deletion.

use std::collections::HashSet;

use super::Result;
use crate::compress::Compressor;
use crate::crypto::Keyset;
use crate::format::control::{SessionKind, Snapshot};
use crate::format::limits::TREE_DEPTH_MAX;
use crate::format::pack::{BlobHeader, BlobKind, Compression};
use crate::format::tree::{Entry, Node, Time, TreeNode, TreeRef};
use crate::id::{BlobId, SessionId, SnapshotId};
use crate::repo::walk::blobs_of_entry;
use crate::repo::{Ending, RepoError, Repository, Who, Writer, name_of};
use crate::storage::StoreError;

/// Nodes that are remembered as looked up: 64 MB of memory, and forgotten when there are more.
const SEEN_MAX: usize = 1 << 20;
/// What a backup compresses with unless it is told otherwise.
const ZSTD_LEVEL: i32 = 3;

/// Keeps what new snapshots refer to, and commits them; in a dry run it does neither.
pub struct Keeper<'r> {
    repository: &'r Repository,
    writer: Option<Writer<'r>>,
    compressor: Compressor,
    /// Nodes of trees that were looked up, with all below them, under `session`.
    seen: HashSet<BlobId>,
    session: Option<SessionId>,
    started: Time,
}

impl<'r> Keeper<'r> {
    pub fn begin(repository: &'r Repository, who: &Who, dry_run: bool) -> Result<Self> {
        let begin = || Writer::begin(repository, SessionKind::Maintain, who);
        let writer = (!dry_run).then(begin).transpose()?;
        let compressor = Compressor::new(ZSTD_LEVEL).map_err(|error| RepoError::Refused(error.to_string()))?;
        let session = writer.as_ref().map(|writer| writer.session().id());
        let started = repository.objects().chance().now();
        Ok(Keeper { repository, writer, compressor, seen: HashSet::new(), session, started })
    }

    pub fn repository(&self) -> &'r Repository {
        self.repository
    }

    pub fn keys(&self) -> &'r Keyset {
        self.repository.objects().keys()
    }

    /// The id of the blob with this plaintext, which is stored if it was not there.
    pub fn save(&mut self, kind: BlobKind, plain: Vec<u8>) -> Result<BlobId> {
        let id = self.keys().namer().name(kind, &plain);
        let Some(writer) = &self.writer else { return Ok(id) };
        let compressor = &mut self.compressor;
        writer.save(&id, || blob(compressor, kind, id, plain))?;
        Ok(id)
    }

    /// Makes sure of a blob that a new snapshot refers to.
    pub fn rely_on(&mut self, kind: BlobKind, id: &BlobId) -> Result<()> {
        let Some(writer) = &self.writer else { return Ok(()) };
        if writer.has(id)? {
            return Ok(());
        }
        // Read before it is taken on: what cannot be read concerns this snapshot, and not the writer.
        let plain = self.repository.read_blob(kind, id)?;
        self.save(kind, plain).map(drop)
    }

    /// Makes sure of what an entry itself refers to: content and attributes, not what is below a directory.
    pub fn rely_on_entry(&mut self, entry: &Entry) -> Result<()> {
        let repository = self.repository;
        blobs_of_entry(repository, entry, &mut |kind, id| self.rely_on(kind, id))
    }

    /// Makes sure of a tree as it is, with all below it.
    pub fn rely_on_tree(&mut self, root: &TreeRef) -> Result<()> {
        if self.writer.is_none() {
            return Ok(());
        }
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        let looked = self.look_up_tree(root);
        if looked.is_err() {
            // Some were seen whose children were not.
            self.seen.clear();
        }
        looked
    }

    fn look_up_tree(&mut self, root: &TreeRef) -> Result<()> {
        // A list of what is still to be visited per directory level: depth is bounded, not the stack.
        let mut levels = vec![vec![root.clone()]];
        while let Some(level) = levels.last_mut() {
            let Some(tree) = level.pop() else {
                levels.pop();
                continue;
            };
            if !self.seen.insert(tree.id) {
                continue;
            }
            self.rely_on(BlobKind::Tree, &tree.id)?;
            match self.repository.read_tree(&tree)? {
                TreeNode::Interior(children) => level.extend(children.iter().rev().map(|child| child.tree.clone())),
                TreeNode::Leaf(entries) => {
                    levels.push(self.look_up_entries(&entries)?);
                    if levels.len() > TREE_DEPTH_MAX + 1 {
                        return Err(too_deep());
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives the directories among the entries, the last first.
    fn look_up_entries(&mut self, entries: &[Entry]) -> Result<Vec<TreeRef>> {
        let mut below = Vec::new();
        for entry in entries.iter().rev() {
            if let Node::Directory(tree) = &entry.node {
                below.push(tree.clone());
            }
            self.rely_on_entry(entry)?;
        }
        Ok(below)
    }

    /// Whether a snapshot is still there.
    pub fn is_there(&self, id: &SnapshotId) -> Result<bool> {
        match self.repository.objects().store().len(&name_of::<Snapshot>(id)) {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Commits a snapshot (B5 to B8); nothing in a dry run.
    pub fn commit(&mut self, snapshot: Snapshot) -> Result<Option<SnapshotId>> {
        let Some(writer) = &mut self.writer else { return Ok(None) };
        let id = writer.commit(snapshot)?;
        let session = Some(writer.session().id());
        if self.session != session {
            // What was looked up under another session counts for nothing under this one.
            self.seen.clear();
            self.session = session;
        }
        Ok(Some(id))
    }

    /// Records what was committed, and ends.
    pub fn finish(self) -> Result<()> {
        self.writer.map_or(Ok(()), |writer| writer.finish(&Ending::done(self.started)))
    }
}

pub fn too_deep() -> RepoError {
    RepoError::Damaged { object: "a tree".into(), why: "deeper than the limit".into() }
}

/// A blob as it is stored: compressed, if that makes it shorter.
fn blob(compressor: &mut Compressor, kind: BlobKind, id: BlobId, plain: Vec<u8>) -> Result<(BlobHeader, Vec<u8>)> {
    let len = |bytes: &[u8]| {
        u32::try_from(bytes.len()).map_err(|_| RepoError::Refused("a blob is longer than a blob can be".into()))
    };
    let plain_len = len(&plain)?;
    let (compression, stored) = match compressor.compress(&plain) {
        Some(shorter) => (Compression::Zstd, shorter),
        None => (Compression::None, plain),
    };
    Ok((BlobHeader { id, kind, compression, stored_len: len(&stored)?, plain_len }, stored))
}
