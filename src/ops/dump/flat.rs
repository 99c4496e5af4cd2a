//! A tree as a flat sequence of pieces: entries, each file's followed by its content.

use super::ahead::Piece;
use crate::format::content::{Content, Item};
use crate::format::limits::TREE_DEPTH_MAX;
use crate::format::tree::{Entry, Node, TreeRef};
use crate::repo::walk::{Entries, Items};
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

/// The pieces of a tree, one directory after the other.
pub(super) struct Flat<'r> {
    repository: &'r Repository,
    levels: Vec<(Entries<'r>, usize)>,
    /// The way to the directory that is walked, each name with a slash after it.
    path: Vec<u8>,
    content: Option<Box<dyn Iterator<Item = Piece> + Send + 'r>>,
}

impl<'r> Flat<'r> {
    pub fn new(repository: &'r Repository, tree: &TreeRef, prefix: &[u8]) -> Self {
        let mut path = prefix.to_vec();
        if !path.is_empty() && !path.ends_with(b"/") {
            path.push(b'/');
        }
        let levels = vec![(Entries::new(repository, tree), path.len())];
        Flat { repository, levels, path, content: None }
    }

    fn entry(&mut self, entry: Entry) -> Piece {
        let path = [&self.path[..], &entry.key.name].concat();
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
                self.levels.push((Entries::new(self.repository, tree), self.path.len()));
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
