//! Whom damage harms: every snapshot that does not come back whole, and which of its files.
//!
//! Only after damage was found. Walks all snapshots once more and asks of each file what a restore would;
//! nodes below which all is well are remembered, so that what snapshots share is walked once.

use std::collections::HashSet;

use super::finding::{Finding, Harmed, Severity, Subject, reason};
use super::trees::node_key;
use super::{Check, NAMED_MAX, Root};
use crate::format::content::Item;
use crate::format::tree::{Entry, TreeRef};
use crate::id::SnapshotId;
use crate::ops::walk::{Go, Visit, contents, walk};
use crate::repo::walk::Items;
use crate::repo::{RepoError, Result};

impl Check<'_> {
    /// Names every snapshot that is harmed, and the first of its files; counts all.
    pub(super) fn attribute(&self, roots: &[Root]) -> Result<()> {
        self.look_again()?;
        let mut sound = HashSet::new();
        for root in roots {
            let mut survey = Survey::new(self, root.snapshot, sound);
            walk(self.repository, &root.tree, &mut survey)?;
            sound = survey.sound;
            if survey.harmed > 0 {
                self.tell_of_snapshot(root.snapshot, survey.harmed, survey.worst);
            }
        }
        Ok(())
    }

    /// How many paths of a snapshot are harmed, without naming them.
    pub(super) fn count_harmed(&self, root: &Root) -> Result<u64> {
        let mut survey = Survey { names: false, ..Survey::new(self, root.snapshot, HashSet::new()) };
        walk(self.repository, &root.tree, &mut survey)?;
        Ok(survey.harmed)
    }

    fn tell_of_snapshot(&self, id: SnapshotId, harmed: u64, worst: Severity) {
        let why = match harmed {
            1 => "one of its files or directories cannot be restored".to_owned(),
            _ => format!("{harmed} of its files and directories cannot be restored"),
        };
        self.count(|report| report.harmed.push(Harmed { snapshot: id, files: harmed }));
        self.tell(Finding::new(worst, Subject::Snapshot { id, harmed }, why));
    }

    /// Why an entry does not come back whole.
    fn harm_of(&self, entry: &Entry) -> Result<Option<(Severity, String)>> {
        let damage = |why: String| Ok(Some((Severity::Damage, why)));
        let contents = match contents(entry) {
            Ok(contents) => contents,
            Err(error) => return damage(error.to_string()),
        };
        for content in contents {
            for item in Items::new(self.repository, &content) {
                match item {
                    Ok(Item::Data { id, len }) if !self.is_sound(&id, len)? => {
                        return damage(format!("data blob {id} cannot be read"));
                    }
                    Ok(_) => {}
                    Err(error @ RepoError::Local { .. }) => return Err(error),
                    Err(error) => return Ok(Some((Severity::of(&error), error.to_string()))),
                }
            }
        }
        Ok(None)
    }
}

struct Survey<'s, 'c> {
    check: &'s Check<'c>,
    snapshot: SnapshotId,
    /// Nodes in which and below which all is well.
    sound: HashSet<[u8; 16]>,
    /// For each node that the walk is in, what was met before it.
    open: Vec<u64>,
    /// How often something was met that is not well.
    met: u64,
    /// Paths that are harmed.
    harmed: u64,
    worst: Severity,
    /// Whether they are named.
    names: bool,
    /// Hashes of the paths of directories of which not all can be read: several of their nodes may be bad.
    directories: HashSet<blake3::Hash>,
}

impl<'s, 'c> Survey<'s, 'c> {
    fn new(check: &'s Check<'c>, snapshot: SnapshotId, sound: HashSet<[u8; 16]>) -> Self {
        let (open, directories) = (Vec::new(), HashSet::new());
        Survey { check, snapshot, sound, open, met: 0, harmed: 0, worst: Severity::Warning, names: true, directories }
    }

    fn name(&mut self, path: &[u8], severity: Severity, why: String) {
        self.harmed += 1;
        self.worst = self.worst.max(severity);
        if self.names && self.harmed <= NAMED_MAX {
            let subject = Subject::Path { snapshot: self.snapshot, path: path.to_vec() };
            self.check.tell(Finding::new(severity, subject, why));
        }
    }
}

impl Visit for Survey<'_, '_> {
    fn enter(&mut self, node: &TreeRef) -> Go {
        if self.sound.contains(&node_key(&node.id, node.level, node.entries, node.bytes)) {
            return Go::Past;
        }
        self.open.push(self.met);
        Go::Into
    }

    fn entry(&mut self, path: &[u8], entry: &Entry) -> Result<Go> {
        if let Some((severity, why)) = self.check.harm_of(entry)? {
            self.met += 1;
            self.name(path, severity, why);
        }
        Ok(Go::Into)
    }

    fn leave(&mut self, node: &TreeRef) {
        if self.open.pop() == Some(self.met) {
            self.sound.insert(node_key(&node.id, node.level, node.entries, node.bytes));
        }
    }

    fn trouble(&mut self, path: &[u8], error: RepoError) -> Result<()> {
        if matches!(error, RepoError::Local { .. }) {
            return Err(error);
        }
        let why = match &error {
            RepoError::Damaged { object, why } => format!("not all of it can be read: {object}: {why}"),
            RepoError::Missing { what } => format!("not all of it can be read: {what} is missing"),
            other => reason(other),
        };
        self.met += 1;
        if self.directories.insert(blake3::hash(path)) {
            self.name(path, Severity::of(&error), why);
        }
        Ok(())
    }
}
