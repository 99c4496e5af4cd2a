//! A tree without what is lost. Directories in which nothing is lost keep their trees; of the others what can
//! be read is built anew.

use super::{Listener, Stage};
use crate::format::extras::{Extra, Extras};
use crate::format::limits::TREE_DEPTH_MAX;
use crate::format::tree::{Entry, Node, TreeRef, tag};
use crate::ops::replace::keeper::{Keeper, too_deep};
use crate::ops::walk::join;
use crate::repo::split::TreeBuilder;
use crate::repo::walk::Entries;
use crate::repo::{Class, RepoError, Result};

/// A directory in the making.
struct Open<'r> {
    entries: Entries<'r>,
    builder: TreeBuilder,
    path: Vec<u8>,
    /// Whether anything of it could be read.
    any: bool,
    /// Whether something of it could not.
    lost: bool,
    /// The directory itself, unless it is the top.
    itself: Option<Entry>,
}

/// What is left of a tree, on which the keeper's session may rely; and how much was left out.
pub(super) struct Mended {
    pub root: TreeRef,
    pub left_out: u64,
}

/// Mends trees.
pub(super) struct Mender<'m, 'r> {
    pub keeper: &'m mut Keeper<'r>,
    pub listener: &'m Listener<'m>,
    /// Before each path that is named.
    pub snapshot: String,
    pub left_out: u64,
}

impl<'r> Mender<'_, 'r> {
    /// Mends the tree `root`.
    pub fn mend(mut self, root: &TreeRef) -> Result<Mended> {
        let mut levels = vec![self.open(root, Vec::new(), None)];
        loop {
            let level = levels.last_mut().expect("the top is left only by returning");
            match level.entries.next() {
                Some(Ok(entry)) => {
                    level.any = true;
                    let path = join(&level.path, &entry.key.name);
                    if let Some(tree) = self.keep(&mut level.builder, &path, &entry)? {
                        if levels.len() > TREE_DEPTH_MAX {
                            return Err(too_deep());
                        }
                        self.listener.looked_at(1)?;
                        levels.push(self.open(&tree, path, Some(entry)));
                    }
                }
                Some(Err(error)) if is_loss(&error) => level.lost = true,
                Some(Err(error)) => return Err(error),
                None => {
                    let level = levels.pop().expect("it was just looked at");
                    let Some(above) = levels.last_mut() else {
                        let root = self.finish(level.builder)?;
                        return Ok(Mended { root, left_out: self.left_out + u64::from(level.lost) });
                    };
                    self.close(level, &mut above.builder)?;
                }
            }
        }
    }

    fn open(&self, tree: &TreeRef, path: Vec<u8>, itself: Option<Entry>) -> Open<'r> {
        let entries = Entries::new(self.keeper.repository(), tree);
        Open { entries, builder: TreeBuilder::default(), path, any: false, lost: false, itself }
    }

    /// Takes an entry, if what it refers to is there. A directory in which something is lost is given back, to
    /// be looked into.
    fn keep(&mut self, builder: &mut TreeBuilder, path: &[u8], entry: &Entry) -> Result<Option<TreeRef>> {
        if let Node::Directory(tree) = &entry.node {
            match self.keeper.rely_on_tree(tree) {
                Ok(()) => {}
                Err(error) if is_loss(&error) => return Ok(Some(tree.clone())),
                Err(error) => return Err(error),
            }
        }
        match self.whole(entry)? {
            Some(entry) => self.push(builder, &entry)?,
            None => self.leave_out(path, "its content is lost"),
        }
        Ok(None)
    }

    /// The entry, without attributes that are lost; `None` if its content is.
    fn whole(&mut self, entry: &Entry) -> Result<Option<Entry>> {
        match self.keeper.rely_on_entry(entry) {
            Ok(()) => return Ok(Some(entry.clone())),
            Err(error) if is_loss(&error) => {}
            Err(error) => return Err(error),
        }
        let kept: Vec<Extra> = entry.extras.iter().filter(|extra| extra.tag != tag::XATTRS_CONTENT).cloned().collect();
        let extras = Extras::new(kept).expect("fewer than there were");
        let bare = Entry { extras, ..entry.clone() };
        match self.keeper.rely_on_entry(&bare) {
            Ok(()) => {
                self.left_out += 1;
                Ok(Some(bare))
            }
            Err(error) if is_loss(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn close(&mut self, level: Open<'_>, above: &mut TreeBuilder) -> Result<()> {
        let Some(itself) = level.itself else { return Ok(()) };
        if level.lost && !level.any {
            self.leave_out(&level.path, "nothing of the directory can be read");
            return Ok(());
        }
        if level.lost {
            self.leave_out(&level.path, "part of the directory cannot be read; the rest is kept");
        }
        let tree = self.finish(level.builder)?;
        let bare = Entry { node: Node::Directory(tree), ..itself };
        match self.whole(&bare)? {
            Some(entry) => self.push(above, &entry),
            None => Ok(()),
        }
    }

    fn push(&mut self, builder: &mut TreeBuilder, entry: &Entry) -> Result<()> {
        let keeper = &mut *self.keeper;
        builder.push(keeper.keys(), entry, &mut |kind, plain| keeper.save(kind, plain))
    }

    fn finish(&mut self, builder: TreeBuilder) -> Result<TreeRef> {
        let keeper = &mut *self.keeper;
        builder.finish(keeper.keys(), &mut |kind, plain| keeper.save(kind, plain))
    }

    fn leave_out(&mut self, path: &[u8], why: &str) {
        self.left_out += 1;
        let object = format!("{}:/{}", self.snapshot, String::from_utf8_lossy(path));
        self.listener.tell(Stage::Done, object, format!("left out: {why}"));
    }
}

/// Whether an error says that something is lost, and not that it cannot be looked at now.
pub(super) fn is_loss(error: &RepoError) -> bool {
    error.class() == Class::Corrupt
}
