//! A tree as a flat sequence of pieces: entries, each file's followed by its content.

use super::ahead::Piece;
use crate::format::content::{Content, Item};
use crate::format::limits::TREE_DEPTH_MAX;
use crate::format::tree::{Entry, Name, Node, TreeRef};
use crate::repo::walk::{Entries, Items, entries_below};
use crate::repo::{RepoError, Repository};

/// The pieces of some content that is not inline.
pub(super) fn pieces_of<'r>(repository: &'r Repository, content: &Content) -> impl Iterator<Item = Piece> + use<'r> {
    let mut items = Some(Items::new(repository, content));
    std::iter::from_fn(move || match items.as_mut()?.next()? {
        Ok(Item::Data { id, len }) => Some(Piece::Chunk { id, len }),
        Ok(Item::Hole { len }) => Some(Piece::Hole(len)),
        Err(error) => {
            items = None;
            Some(Piece::Broken(error))
        }
    })
}

type Below<'r> = Box<dyn Iterator<Item = Result<Entry, RepoError>> + Send + 'r>;

/// The pieces of a tree, one directory after the other.
pub(super) struct Flat<'r> {
    repository: &'r Repository,
    levels: Vec<(Below<'r>, usize)>,
    /// The way to the directory that is walked, each name with a slash after it.
    path: Vec<u8>,
    content: Option<Box<dyn Iterator<Item = Piece> + Send + 'r>>,
    is_of_keys: bool,
}

impl<'r> Flat<'r> {
    pub fn new(repository: &'r Repository, tree: &TreeRef, prefix: &[u8]) -> Self {
        let mut path = prefix.to_vec();
        if !path.is_empty() && !path.ends_with(b"/") {
            path.push(b'/');
        }
        let levels: Vec<(Below<'r>, usize)> = vec![(Box::new(Entries::new(repository, tree)), path.len())];
        Flat { repository, levels, path, content: None, is_of_keys: false }
    }

    /// The objects of a bucket whose keys begin with `prefix`.
    pub fn of_keys(repository: &'r Repository, tree: &TreeRef, prefix: &[u8]) -> Self {
        let levels: Vec<(Below<'r>, usize)> = vec![(Box::new(entries_below(repository, tree, prefix)), 0)];
        Flat { repository, levels, path: Vec::new(), content: None, is_of_keys: true }
    }

    fn entry(&mut self, entry: Entry) -> Piece {
        let path = [&self.path[..], &entry.key.name].concat();
        let entry = if self.is_of_keys { as_file(entry) } else { entry };
        match &entry.node {
            Node::File(content) => {
                let end = std::iter::once(Piece::End);
                self.content = Some(Box::new(pieces_of(self.repository, content).chain(end)));
            }
            Node::Directory(_) if self.levels.len() > TREE_DEPTH_MAX => {
                let why = "deeper than the limit".into();
                return Piece::BrokenDirectory { path, error: RepoError::Damaged { object: "its tree".into(), why } };
            }
            // A name that leads elsewhere is refused with everything below it.
            Node::Directory(tree) if is_plain(&entry.key.name) => {
                self.path.extend_from_slice(&entry.key.name);
                self.path.push(b'/');
                self.levels.push((Box::new(Entries::new(self.repository, tree)), self.path.len()));
            }
            _ => {}
        }
        Piece::Entry { path, entry: Box::new(entry) }
    }
}

/// Whether a name is one name, of something in its directory.
pub(super) fn is_plain(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0)
}

/// An object as a file under the last name of its key, if that is a path of plain names: the others are refused by
/// whoever takes it.
fn as_file(mut entry: Entry) -> Entry {
    let mut names = entry.key.name.rsplit(|&byte| byte == b'/');
    let last = names.clone().next().and_then(|name| Name::new(name).ok());
    entry.meta.mode = 0o644;
    if let Some(last) = last
        && names.all(is_plain)
    {
        entry.key.name = last;
    }
    entry
}

impl Iterator for Flat<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if let Some(content) = &mut self.content {
            match content.next() {
                Some(piece) => return Some(piece),
                None => self.content = None,
            }
        }
        loop {
            let (entries, path_len) = self.levels.last_mut()?;
            self.path.truncate(*path_len);
            match entries.next() {
                Some(Ok(entry)) => return Some(self.entry(entry)),
                Some(Err(error)) => return Some(Piece::BrokenDirectory { path: self.path.clone(), error }),
                None => self.levels.pop(),
            };
        }
    }
}
