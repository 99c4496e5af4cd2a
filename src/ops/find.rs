//! Finding entries by name or path in many snapshots.

use std::collections::HashSet;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::walk::{Go, Visit, walk};
use crate::format::tree::{Entry, TreeRef};
use crate::id::{BlobId, SnapshotId};
use crate::repo::{RepoError, Repository, Result};

/// Nodes that are remembered as holding no match: 16 MB of memory, and forgotten when there are more.
const BARREN_MAX: usize = 1 << 19;

/// Whether letters match in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Case {
    /// Only as written.
    #[default]
    Sensitive,
    /// In both.
    Insensitive,
}

/// What is looked for: a pattern with a slash is matched against whole paths from the snapshot's top, one
/// without against names.
#[derive(Debug, Clone)]
pub struct Patterns {
    names: GlobSet,
    paths: GlobSet,
}

impl Patterns {
    /// These patterns.
    ///
    /// # Errors
    ///
    /// Refused if one of them is no pattern.
    pub fn new(patterns: &[impl AsRef<str>], case: Case) -> Result<Self> {
        let (mut names, mut paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let glob = GlobBuilder::new(pattern.trim_start_matches('/'))
                .literal_separator(true)
                .case_insensitive(case == Case::Insensitive)
                .build()
                .map_err(|error| RepoError::Refused(format!("{pattern:?} is no pattern: {error}")))?;
            if pattern.contains('/') { &mut paths } else { &mut names }.add(glob);
        }
        let build = |set: GlobSetBuilder| set.build().map_err(|error| RepoError::Refused(error.to_string()));
        Ok(Patterns { names: build(names)?, paths: build(paths)? })
    }

    /// Whether an entry is looked for.
    pub fn matches(&self, path: &[u8], name: &[u8]) -> bool {
        // Of a key, the name is what comes after its last slash.
        let name = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
        self.names.is_match(as_path(name)) || (!self.paths.is_empty() && self.paths.is_match(as_path(path)))
    }
}

/// Names are bytes, here and on this system.
fn as_path(bytes: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt;
    std::path::Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// Called for each match: snapshot, path from its top, entry.
pub type OnMatch<'a> = &'a mut dyn FnMut(&SnapshotId, &[u8], &Entry) -> Result<()>;

/// Calls `each` for every entry of these snapshots that is looked for. What of a snapshot cannot be read
/// is returned, and does not end the search.
pub fn find<'s>(
    repository: &Repository,
    snapshots: impl IntoIterator<Item = (&'s SnapshotId, &'s TreeRef)>,
    patterns: &Patterns,
    each: OnMatch<'_>,
) -> Result<Vec<(SnapshotId, RepoError)>> {
    let mut search =
        Search { patterns, each, snapshot: None, open: Vec::new(), barren: HashSet::new(), troubles: vec![] };
    for (id, root) in snapshots {
        search.snapshot = Some(*id);
        search.open.clear();
        walk(repository, root, &mut search)?;
    }
    Ok(search.troubles)
}

struct Search<'a> {
    patterns: &'a Patterns,
    each: OnMatch<'a>,
    snapshot: Option<SnapshotId>,
    /// For each node that the walk is in, whether something in it or below it may match elsewhere.
    open: Vec<bool>,
    /// Nodes below which no name matches: snapshots share most of their nodes, and one look is enough.
    barren: HashSet<BlobId>,
    troubles: Vec<(SnapshotId, RepoError)>,
}

impl Search<'_> {
    fn is_fertile(&mut self) {
        if let Some(node) = self.open.last_mut() {
            *node = true;
        }
    }
}

impl Visit for Search<'_> {
    fn enter(&mut self, node: &TreeRef) -> Go {
        if self.barren.contains(&node.id) {
            return Go::Past;
        }
        // Whether a path matches depends on where the node is: then nothing is barren.
        self.open.push(!self.patterns.paths.is_empty());
        Go::Into
    }

    fn entry(&mut self, path: &[u8], entry: &Entry) -> Result<Go> {
        if self.patterns.matches(path, &entry.key.name) {
            self.is_fertile();
            let snapshot = self.snapshot.expect("a walk is in a snapshot");
            (self.each)(&snapshot, path, entry)?;
        }
        Ok(Go::Into)
    }

    fn leave(&mut self, node: &TreeRef) {
        if self.open.pop() == Some(true) {
            return self.is_fertile();
        }
        if self.barren.len() >= BARREN_MAX {
            self.barren.clear();
        }
        self.barren.insert(node.id);
    }

    fn trouble(&mut self, _path: &[u8], error: RepoError) -> Result<()> {
        self.is_fertile();
        self.troubles.push((self.snapshot.expect("a walk is in a snapshot"), error));
        Ok(())
    }
}
