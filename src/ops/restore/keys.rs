//! Keys as paths: the objects of a bucket as files in directories, for a target that knows no keys.
//!
//! A slash in a key divides directories. What no file system can hold is named and left out: an empty name, `.` and
//! `..`, a name too long or with a zero byte, a key that ends in a slash and is not empty, and whatever is below a key
//! that is an object itself.

use std::cell::RefCell;
use std::iter::Peekable;
use std::rc::Rc;

use crate::format::extras::Extras;
use crate::format::tree::{Entry, EntryKey, Meta, Name, Node, TreeRef};
use crate::id::BlobId;
use crate::ops::source::Trouble;
use crate::repo::walk::entries_below;
use crate::repo::{RepoError, Repository};

/// The longest name that file systems commonly hold.
const FILE_NAME_MAX: usize = 255;

/// What a walk meets next.
pub(super) enum Step<'r> {
    /// An entry of a tree, or an object under the last name of its key.
    Entry(Entry),
    /// A directory that is there because keys lead through it.
    Directory(Entry, Keys<'r>),
    /// An object that cannot be there.
    Unfit(Trouble),
}

/// The objects whose keys begin with a prefix, as what stands in a directory.
pub(super) struct Keys<'r> {
    all: Rc<All<'r>>,
    prefix: Vec<u8>,
    /// What was last met, with a slash: it is not met again.
    passed: Option<Vec<u8>>,
    /// A name that nothing can stand below, with a slash, and why.
    refused: Option<(Vec<u8>, String)>,
}

struct All<'r> {
    repository: &'r Repository,
    tree: TreeRef,
    entries: RefCell<Peekable<Objects<'r>>>,
}

type Objects<'r> = Box<dyn Iterator<Item = Result<Entry, RepoError>> + 'r>;

impl<'r> Keys<'r> {
    /// All objects in `tree` whose keys begin with `prefix`, as a directory.
    pub fn new(repository: &'r Repository, tree: &TreeRef, prefix: &[u8]) -> Self {
        let entries: Objects<'r> = Box::new(entries_below(repository, tree, prefix));
        let all = All { repository, tree: tree.clone(), entries: RefCell::new(entries.peekable()) };
        Keys { all: Rc::new(all), prefix: prefix.to_vec(), passed: None, refused: None }
    }

    fn next_entry(&self) -> Option<Result<Entry, RepoError>> {
        self.all.entries.borrow_mut().next()
    }

    /// The next key here, if it is one.
    fn peek(&self) -> Option<Result<Entry, ()>> {
        let mut entries = self.all.entries.borrow_mut();
        let is_past = |name: &[u8]| self.passed.as_ref().is_some_and(|passed| name.starts_with(passed));
        while entries.next_if(|next| next.as_ref().is_ok_and(|entry| is_past(&entry.key.name))).is_some() {}
        match entries.peek()? {
            Ok(entry) if entry.key.name.starts_with(&self.prefix) => Some(Ok(entry.clone())),
            Ok(_) => None,
            Err(_) => Some(Err(())),
        }
    }

    /// An object that is a file here.
    fn file(&mut self, entry: Entry, name: &[u8]) -> Option<Step<'r>> {
        if name.is_empty() && entry.bytes() == 0 {
            // Made by tools that show directories; the directory is there.
            return None;
        }
        let why = match name {
            b"" => Some("its key ends in a slash, as a directory's, and it is not empty".to_owned()),
            name => unfit(name),
        };
        Some(match (why, Name::new(name)) {
            (None, Ok(name)) => {
                Step::Entry(Entry { key: EntryKey { name, discriminator: entry.key.discriminator }, ..entry })
            }
            (why, _) => trouble(&entry, &why.unwrap_or_default()),
        })
    }

    /// A directory here, or the next object below it if it cannot be.
    fn directory(&mut self, first: &Entry, name: &[u8]) -> Result<Step<'r>, RepoError> {
        let object = [&self.prefix[..], name].concat();
        let below = [&object[..], b"/"].concat();
        if self.refused.as_ref().is_none_or(|(refused, _)| *refused != below) {
            self.refused = self.refuse(name, object)?.map(|why| (below.clone(), why));
        }
        if let Some((_, why)) = &self.refused {
            self.next_entry();
            return Ok(trouble(first, why));
        }
        self.passed = Some(below.clone());
        let name = Name::new(name).expect("a part of a name fits a name");
        let meta = Meta { mode: 0o755, mtime: first.meta.mtime, ..Meta::default() };
        let node = Node::Directory(TreeRef { id: BlobId::from_bytes([0; 32]), level: 0, entries: 0, bytes: 0 });
        let entry = Entry { key: EntryKey { name, discriminator: 0 }, node, meta, extras: Extras::default() };
        Ok(Step::Directory(entry, Keys { all: Rc::clone(&self.all), prefix: below, passed: None, refused: None }))
    }

    /// Why nothing can be below this name.
    fn refuse(&self, name: &[u8], object: Vec<u8>) -> Result<Option<String>, RepoError> {
        if let Some(why) = unfit(name) {
            return Ok(Some(why));
        }
        let Ok(key) = Name::new(object.clone()) else { return Ok(None) };
        let there = self.all.repository.find_entry(&self.all.tree, &EntryKey { name: key, discriminator: 0 })?;
        Ok(there.map(|_| format!("{} is an object, so nothing can be below it", String::from_utf8_lossy(&object))))
    }
}

fn trouble<'r>(entry: &Entry, why: &str) -> Step<'r> {
    let path = String::from_utf8_lossy(&entry.key.name).into_owned();
    Step::Unfit(Trouble { path, why: format!("is left out, no file system can hold it: {why}") })
}

/// Why no file or directory can have this name.
fn unfit(name: &[u8]) -> Option<String> {
    match name {
        b"" => Some("its key has an empty name between slashes".into()),
        b"." | b".." => Some("its key has a name that means another directory".into()),
        name if name.contains(&0) => Some("its key has a zero byte".into()),
        name if name.len() > FILE_NAME_MAX => Some(format!("its key has a name of {} bytes", name.len())),
        _ => None,
    }
}

impl<'r> Iterator for Keys<'r> {
    type Item = Result<Step<'r>, RepoError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Ok(entry) = self.peek()? else { return self.next_entry()?.err().map(Err) };
            let rest = entry.key.name.get(self.prefix.len()..)?.to_vec();
            match rest.iter().position(|&byte| byte == b'/') {
                Some(slash) => return Some(self.directory(&entry, &rest[..slash])),
                None => {
                    self.next_entry();
                    if let Some(step) = self.file(entry, &rest) {
                        return Some(Ok(step));
                    }
                }
            }
        }
    }
}
