//! The structure of snapshots: every node of every tree and chunk list is read from the store, and every
//! chunk that they refer to lies in a pack that is there.

use std::collections::HashSet;

use rayon::prelude::*;

use super::finding::{Finding, Severity, Subject, reason};
use super::{Check, NAMED_MAX, Root, lock};
use crate::format::Structure;
use crate::format::content::{Body, Content, Item, ListNode, ListRef};
use crate::format::control::Snapshot;
use crate::format::limits::TREE_DEPTH_MAX;
use crate::format::pack::BlobKind;
use crate::format::tree::{Entry, EntryKey, Node, TreeNode, TreeRef, Xattrs, tag};
use crate::id::{BlobId, SnapshotId};
use crate::ops::walk::{can_be_followed, contents};
use crate::repo::{RepoError, Result};

/// Nodes that are read side by side: bounds memory to some ten megabytes.
const BATCH: usize = 32;

/// A node that is to be read.
enum Task {
    Tree { tree: TreeRef, depth: usize, last: Option<EntryKey> },
    List(ListRef),
}

/// A blob that is not there, or not what refers to it says.
enum Suspect {
    Tree(TreeRef),
    List(ListRef),
    Data { id: BlobId, len: u32 },
}

/// What reading a node gave.
#[derive(Default)]
struct Look {
    below: Vec<Task>,
    suspects: Vec<Suspect>,
    findings: Vec<Finding>,
}

/// What one walk over all snapshots found.
#[derive(Default)]
struct Pass {
    /// The first blobs that are lost.
    suspects: Vec<Suspect>,
    /// How many are.
    lost: u64,
    findings: Vec<Finding>,
}

impl Pass {
    fn take(&mut self, suspects: Vec<Suspect>, findings: Vec<Finding>) {
        self.lost += suspects.len() as u64;
        let room = |len: usize| (NAMED_MAX as usize).saturating_sub(len);
        self.suspects.extend(suspects.into_iter().take(room(self.suspects.len())));
        self.findings.extend(findings.into_iter().take(room(self.findings.len())));
    }
}

impl Check<'_> {
    /// Reads every node once, however many snapshots share it. Says whether all is well.
    ///
    /// If something is lost, snapshots that were forgotten meanwhile are dropped from `roots`, and the rest
    /// is walked anew: a prune may have removed what they alone needed.
    pub(super) fn walk_trees(&self, roots: &mut Vec<Root>) -> Result<bool> {
        let mut pass = self.pass(roots)?;
        while pass.lost > 0 && self.drop_forgotten(roots)? {
            pass = self.pass(roots)?;
        }
        let unconfirmed = match pass.lost > 0 || !pass.findings.is_empty() {
            true => self.take_unconfirmed(roots)?,
            false => Vec::new(),
        };
        if !unconfirmed.is_empty() {
            pass = self.pass(roots)?;
        }
        self.tell_of_suspects();
        self.tell_of_unconfirmed(&unconfirmed)?;
        let mut all_well = pass.findings.is_empty();
        pass.findings.into_iter().for_each(|finding| self.tell(finding));
        let unnamed = pass.lost - pass.suspects.len() as u64;
        all_well &= self.confirm(pass.suspects)? == 0 && unnamed == 0;
        if unnamed > 0 {
            let why = format!("{unnamed} more blobs that snapshots refer to cannot be read");
            self.tell(Finding::object(Severity::Damage, "packs", why));
        }
        Ok(all_well)
    }

    fn pass(&self, roots: &[Root]) -> Result<Pass> {
        lock(&self.needed).clear();
        let (mut seen, mut tasks, mut pass) = (HashSet::new(), Vec::new(), Pass::default());
        for root in roots {
            add(&mut tasks, &mut seen, Task::Tree { tree: root.tree.clone(), depth: 0, last: None });
            while !tasks.is_empty() {
                self.go_on()?;
                let batch = tasks.split_off(tasks.len().saturating_sub(BATCH));
                let looks: Vec<Look> = batch.par_iter().map(|task| self.look(task)).collect::<Result<_>>()?;
                for look in looks {
                    pass.take(look.suspects, look.findings);
                    look.below.into_iter().for_each(|task| add(&mut tasks, &mut seen, task));
                }
            }
        }
        Ok(pass)
    }

    /// Drops the snapshots that are not there any more; says whether there were any.
    fn drop_forgotten(&self, roots: &mut Vec<Root>) -> Result<bool> {
        let there: HashSet<SnapshotId> = self.repository.objects().list::<Snapshot>()?.into_iter().collect();
        let before = roots.len();
        roots.retain(|root| there.contains(&root.snapshot));
        self.look_again()?;
        Ok(roots.len() < before)
    }

    fn look(&self, task: &Task) -> Result<Look> {
        let mut look = Look::default();
        self.count(|report| report.nodes += 1);
        self.done(1);
        match task {
            Task::Tree { tree, .. } => self.note_need(BlobKind::Tree, &tree.id)?,
            Task::List(list) => self.note_need(BlobKind::List, &list.id)?,
        }
        match task {
            Task::Tree { tree, depth, last } => match self.read_tree(tree)? {
                Ok(node) => self.look_at_tree(tree, &node, *depth, last.as_ref(), &mut look)?,
                Err(_) => look.suspects.push(Suspect::Tree(tree.clone())),
            },
            Task::List(list) => match self.read_list(list)? {
                Ok(ListNode::Interior(children)) => look.below.extend(children.iter().cloned().map(Task::List)),
                Ok(ListNode::Leaf(items)) => self.look_at_items(&items, &mut look)?,
                Err(_) => look.suspects.push(Suspect::List(list.clone())),
            },
        }
        Ok(look)
    }

    /// As the repository reads a node, but without listing the index anew for each that is missing.
    fn read_tree(&self, tree: &TreeRef) -> Result<std::result::Result<TreeNode, RepoError>> {
        if self.is_unknown(BlobKind::Tree, &tree.id)? {
            return Ok(Err(unlisted(BlobKind::Tree, &tree.id)));
        }
        Ok(self.repository.read_tree(tree))
    }

    fn read_list(&self, list: &ListRef) -> Result<std::result::Result<ListNode, RepoError>> {
        if self.is_unknown(BlobKind::List, &list.id)? {
            return Ok(Err(unlisted(BlobKind::List, &list.id)));
        }
        Ok(self.repository.read_list(list))
    }

    fn is_unknown(&self, kind: BlobKind, id: &BlobId) -> Result<bool> {
        let locations = self.repository.view().locate(id)?;
        Ok(!locations.iter().any(|location| location.placed.blob.kind == kind))
    }

    fn look_at_tree(
        &self,
        tree: &TreeRef,
        node: &TreeNode,
        depth: usize,
        last: Option<&EntryKey>,
        look: &mut Look,
    ) -> Result<()> {
        let mut wrong = |why: &str| {
            look.findings.push(Finding::new(Severity::Damage, Subject::Blob(BlobKind::Tree, tree.id), why));
        };
        if last.is_some_and(|last| node.last() != Some(last)) {
            wrong("its last entry is not the one that its parent says");
        }
        if depth > TREE_DEPTH_MAX {
            wrong("it is deeper than the limit");
            return Ok(());
        }
        match node {
            TreeNode::Interior(children) => look.below.extend(children.iter().map(|child| Task::Tree {
                tree: child.tree.clone(),
                depth,
                last: Some(child.last.clone()),
            })),
            TreeNode::Leaf(entries) => {
                for entry in entries.iter() {
                    if let Node::Directory(tree) = &entry.node {
                        look.below.push(Task::Tree { tree: tree.clone(), depth: depth + 1, last: None });
                    }
                    self.look_at_entry(tree, entry, look)?;
                }
            }
        }
        Ok(())
    }

    fn look_at_entry(&self, tree: &TreeRef, entry: &Entry, look: &mut Look) -> Result<()> {
        let attributes = match contents(entry) {
            Ok(contents) => {
                contents.iter().try_for_each(|content| self.look_at_content(content, look))?;
                entry.extras.get(tag::XATTRS).map(Xattrs::from_bytes).transpose().map(drop)
            }
            Err(error) => Err(error),
        };
        let trouble = match attributes {
            Err(error) => Some(RepoError::malformed("extended attributes", error)),
            // Checkpoints have beginnings of files, which are as they should be; and nobody else shows them.
            Ok(()) if entry.begun().is_ok_and(|begun| begun.is_some()) => None,
            Ok(()) => can_be_followed(&entry.extras, &entry.key.name).err(),
        };
        if let Some(error) = trouble {
            let name = String::from_utf8_lossy(&entry.key.name);
            let why = format!("its entry {name}: {}", reason(&error));
            let subject = Subject::Blob(BlobKind::Tree, tree.id);
            look.findings.push(Finding::new(Severity::of(&error), subject, why));
        }
        Ok(())
    }

    fn look_at_content(&self, content: &Content, look: &mut Look) -> Result<()> {
        match &content.body {
            Body::Inline(_) => Ok(()),
            Body::Items(items) => self.look_at_items(items, look),
            Body::Split(list) => {
                look.below.push(Task::List(list.clone()));
                Ok(())
            }
        }
    }

    fn look_at_items(&self, items: &[Item], look: &mut Look) -> Result<()> {
        for item in items {
            if let Item::Data { id, len } = item
                && !self.is_sound(id, *len)?
            {
                look.suspects.push(Suspect::Data { id: *id, len: *len });
            }
        }
        Ok(())
    }

    /// Looks for lost blobs again, where the index says now that they are, and tells of those that stay lost.
    /// Says how many.
    fn confirm(&self, suspects: Vec<Suspect>) -> Result<u64> {
        if suspects.is_empty() {
            return Ok(0);
        }
        let mut told = HashSet::new();
        for suspect in suspects {
            let finding = self.still_lost(&suspect)?;
            if let Some(finding) = finding.filter(|finding| told.insert(finding.subject.clone())) {
                self.tell(finding);
            }
        }
        Ok(told.len() as u64)
    }

    fn still_lost(&self, suspect: &Suspect) -> Result<Option<Finding>> {
        let (kind, id, error) = match suspect {
            Suspect::Tree(tree) => (BlobKind::Tree, tree.id, self.read_tree(tree)?.err()),
            Suspect::List(list) => (BlobKind::List, list.id, self.read_list(list)?.err()),
            Suspect::Data { id, len } => (BlobKind::Data, *id, self.why_unsound(id, *len)?),
        };
        Ok(error.map(|error| {
            let why = match &error {
                RepoError::Damaged { object, why } if !object.contains("blob") => format!("in {object}: {why}"),
                RepoError::Missing { what } => what.clone() + " is missing",
                other => reason(other),
            };
            Finding::new(Severity::of(&error), Subject::Blob(kind, id), why)
        }))
    }

    fn why_unsound(&self, id: &BlobId, len: u32) -> Result<Option<RepoError>> {
        if self.is_sound(id, len)? {
            return Ok(None);
        }
        let mut locations = self.repository.view().locate(id)?;
        locations.retain(|location| location.placed.blob.kind == BlobKind::Data);
        let Some(location) = locations.first() else { return Ok(Some(unlisted(BlobKind::Data, id))) };
        let object = crate::repo::pack_name(&location.pack).to_string();
        let found = location.placed.blob.plain_len;
        Ok(Some(match super::read(&self.stored).contains_key(&location.pack) {
            false => RepoError::Missing { what: object },
            true if found != len => {
                RepoError::Damaged { object, why: format!("it has {found} bytes where {len} are referred to") }
            }
            true => RepoError::Damaged { object, why: "it cannot be read".into() },
        }))
    }
}

fn unlisted(kind: BlobKind, id: &BlobId) -> RepoError {
    let why = "no index segment lists it".into();
    RepoError::Damaged { object: format!("{} blob {id}", crate::repo::noun(kind)), why }
}

fn add(tasks: &mut Vec<Task>, seen: &mut HashSet<[u8; 16]>, task: Task) {
    let key = match &task {
        Task::Tree { tree, .. } => node_key(&tree.id, tree.level, tree.entries, tree.bytes),
        Task::List(list) => node_key(&list.id, list.level, list.items, list.bytes),
    };
    if seen.insert(key) {
        tasks.push(task);
    }
}

/// Half a node's id, mixed with what is said of it: a node that two references describe differently is not
/// what one of them says, and must be held against both.
pub(super) fn node_key(id: &BlobId, level: u8, items: u64, bytes: u64) -> [u8; 16] {
    let half = u128::from_le_bytes(*id.as_bytes().first_chunk().expect("an id is 32 bytes long"));
    let said = (u128::from(items) << 64 | u128::from(bytes)).rotate_left(u32::from(level));
    (half ^ said).to_le_bytes()
}
