//! What archives of all formats have in common: which entries go in, and what becomes of links.

use std::collections::HashMap;
use std::io::{self, Read};

use super::ahead::{Piece, Pieces, Ready};
use super::content::ContentReader;
use super::flat::is_plain;
use super::{DumpError, DumpReport, Reporter};
use crate::format::tree::{Entry, Node, Xattrs};
use crate::ops::links::SameFile;
use crate::repo::Repository;

/// An archive in the making.
pub(super) trait Archive {
    /// Whether it can hold a second name of a file; if not, its content is written again.
    const HAS_LINKS: bool;

    /// Adds an entry. A file's content has exactly the length that the entry says. Says what the format
    /// has no room for.
    fn add(&mut self, item: &Item<'_>, content: &mut dyn Read) -> io::Result<Vec<String>>;

    /// Ends it.
    fn finish(self) -> io::Result<()>;
}

/// What is added to an archive.
pub(super) struct Item<'a> {
    pub path: &'a [u8],
    pub entry: &'a Entry,
    pub xattrs: &'a Xattrs,
    /// The path of a file in the archive that this is another name of.
    pub link_to: Option<&'a [u8]>,
}

/// Writes pieces into an archive.
pub(super) struct Archivist<'a, A> {
    repository: &'a Repository,
    archive: A,
    reporter: Reporter<'a>,
    /// Files with several names that are in the archive.
    links: HashMap<SameFile, Vec<u8>>,
}

impl<'a, A: Archive> Archivist<'a, A> {
    pub fn new(repository: &'a Repository, archive: A, reporter: Reporter<'a>) -> Self {
        Archivist { repository, archive, reporter, links: HashMap::new() }
    }

    /// Writes all pieces, and ends the archive.
    pub fn write(mut self, mut pieces: Pieces) -> Result<DumpReport, DumpError> {
        while let Some(piece) = pieces.next() {
            if (self.reporter.listener.interrupted)() {
                return Err(DumpError::Interrupted);
            }
            match piece {
                Ready::Other(Piece::Entry { path, entry }) => self.entry(&path, &entry, &mut pieces)?,
                Ready::Other(Piece::BrokenDirectory { path, error }) => {
                    self.reporter.unreadable(&path, &error, "; what is in it is not in the archive");
                }
                // Content of an entry that is left out.
                Ready::Chunk { .. } | Ready::Other(_) => {}
            }
        }
        self.archive.finish()?;
        Ok(self.reporter.report)
    }

    fn entry(&mut self, path: &[u8], entry: &Entry, pieces: &mut Pieces) -> Result<(), DumpError> {
        if !is_plain(&entry.key.name) || entry.key.discriminator != 0 {
            self.reporter.trouble(path, "refused: a name that is not of something in its directory");
            return Ok(());
        }
        let xattrs = self.repository.xattrs(entry).unwrap_or_else(|error| {
            self.reporter.unreadable(path, &error, "; its attributes are not in the archive");
            Xattrs::default()
        });
        let identity = SameFile::of(entry).ok().flatten().filter(|_| A::HAS_LINKS);
        let first = identity.and_then(|identity| self.links.get(&identity));
        let item = Item { path, entry, xattrs: &xattrs, link_to: first.map(|path| &path[..]) };
        let added = match &entry.node {
            Node::File(content) if item.link_to.is_none() => {
                let reader = ContentReader::new(pieces, content, self.reporter.listener.interrupted);
                match add_file(&mut self.archive, &mut self.reporter, &item, reader) {
                    None => return Ok(()),
                    Some(added) => added,
                }
            }
            _ => self.archive.add(&item, &mut io::empty()),
        };
        let shortcomings = match added {
            Err(_) if (self.reporter.listener.interrupted)() => return Err(DumpError::Interrupted),
            added => added?,
        };
        shortcomings.into_iter().for_each(|why| self.reporter.trouble(path, why));
        if let (Some(identity), None) = (identity, item.link_to) {
            self.links.insert(identity, path.to_vec());
        }
        Ok(())
    }
}

/// Adds a file; `None` if there is nothing of it to be had, and it is left out.
fn add_file(
    archive: &mut impl Archive,
    reporter: &mut Reporter<'_>,
    item: &Item<'_>,
    mut content: ContentReader<'_>,
) -> Option<io::Result<Vec<String>>> {
    if let Some(error) = content.failure.take() {
        content.finish();
        reporter.unreadable(item.path, &error, "; it is not in the archive");
        return None;
    }
    let added = archive.add(item, &mut content);
    if added.is_ok()
        && let Some(error) = content.finish()
    {
        reporter.unreadable(item.path, &error, "; zeros stand for what is missing in the archive");
    }
    Some(added)
}
