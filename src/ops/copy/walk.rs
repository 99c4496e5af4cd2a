//! The walk through a tree of the source, in order: one node per level in memory.

use std::collections::{HashMap, VecDeque};

use crate::format::Structure;
use crate::format::content::{Body, Content, Item};
use crate::format::limits::TREE_DEPTH_MAX;
use crate::format::tree::{Entry, Node, TreeRef, tag};
use crate::id::BlobId;
use crate::repo::walk::{Entries, Items};
use crate::repo::{RepoError, Repository, Result};

/// What comes next in a tree.
pub(super) enum Event {
    /// A piece of the content that is told of after its last one.
    Item(Item),
    /// The pieces so far are the extended attributes of the entry that comes.
    Attributes,
    /// A file; the pieces so far are its content.
    File(Box<Entry>),
    /// An entry that is complete as it stands.
    Ready(Box<Entry>),
    /// A directory begins, whose own entry this is, and whose tree in the source.
    Enter(Box<Entry>, TreeRef),
    /// The directory that was entered last is complete; or the whole tree.
    Leave,
}

/// A walk.
pub(super) struct Walk<'f> {
    from: &'f Repository,
    open: Vec<Entries<'f>>,
    /// What is left of the entry at hand.
    steps: VecDeque<Step<'f>>,
}

enum Step<'f> {
    Items(Box<Items<'f>>),
    Event(Event),
}

impl<'f> Walk<'f> {
    pub fn new(from: &'f Repository, root: &TreeRef) -> Self {
        Walk { from, open: vec![Entries::new(from, root)], steps: VecDeque::new() }
    }

    /// The next event; `copied` are directories whose trees are known in the target.
    pub fn next(&mut self, copied: &HashMap<BlobId, (TreeRef, TreeRef)>) -> Result<Option<Event>> {
        loop {
            match self.steps.pop_front() {
                Some(Step::Event(event)) => return Ok(Some(event)),
                Some(Step::Items(mut items)) => {
                    if let Some(item) = items.next().transpose()? {
                        self.steps.push_front(Step::Items(items));
                        return Ok(Some(Event::Item(item)));
                    }
                }
                None => match self.open.last_mut() {
                    None => return Ok(None),
                    Some(entries) => match entries.next().transpose()? {
                        Some(entry) => self.begin(entry, copied)?,
                        None => {
                            self.open.pop();
                            return Ok(Some(Event::Leave));
                        }
                    },
                },
            }
        }
    }

    fn begin(&mut self, mut entry: Entry, copied: &HashMap<BlobId, (TreeRef, TreeRef)>) -> Result<()> {
        let broken = |error| RepoError::malformed(String::from_utf8_lossy(&entry.key.name), error);
        if let Some(encoded) = entry.extras.get(tag::XATTRS_CONTENT) {
            let content = Content::from_bytes(encoded).map_err(broken)?;
            if self.items_of(&content) {
                self.steps.push_back(Step::Event(Event::Attributes));
            }
        }
        let event = match &entry.node {
            Node::File(content) if self.items_of(content) => Event::File(Box::new(entry)),
            Node::Directory(tree) => match copied.get(&tree.id).filter(|(old, _)| old == tree) {
                Some((_, new)) => {
                    entry.node = Node::Directory(new.clone());
                    Event::Ready(Box::new(entry))
                }
                None => {
                    let tree = tree.clone();
                    self.open.push(Entries::new(self.from, &tree));
                    if self.open.len() > TREE_DEPTH_MAX + 1 {
                        let (object, why) = ("a tree".into(), "deeper than the limit".into());
                        return Err(RepoError::Damaged { object, why });
                    }
                    Event::Enter(Box::new(entry), tree)
                }
            },
            _ => Event::Ready(Box::new(entry)),
        };
        self.steps.push_back(Step::Event(event));
        Ok(())
    }

    /// Goes through the pieces of some content, if it is made of pieces.
    fn items_of(&mut self, content: &Content) -> bool {
        if matches!(content.body, Body::Inline(_)) {
            return false;
        }
        self.steps.push_back(Step::Items(Box::new(Items::new(self.from, content))));
        true
    }
}
