//! The walk: the source beside its parent snapshot, directory by directory.

use std::iter::Peekable;
use std::sync::atomic::Ordering::Relaxed;

use super::Listener;
use super::assemble::{Assembler, Built, Waiting, described, never_unchanged};
use super::pipeline::{Failure, Opened, Running};
use crate::format::codec::Bytes;
use crate::format::control::Snapshot;
use crate::format::extras::Extras;
use crate::format::limits::TREE_DEPTH_MAX;
use crate::format::tree::{Entry, EntryKey, Meta, Node, Time, TreeRef, tag};
use crate::ops::source::{Description, Found, Kind, Listing, Source, Stat, Trouble};
use crate::repo::walk::{self, Entries};
use crate::repo::{RepoError, Repository};

/// Walks `source` and gives the root of its tree.
pub(super) fn build<'s, S: Source>(
    running: &Running<'_, 's>,
    source: &'s S,
    parent: Option<&Snapshot>,
    listener: &Listener<'_>,
) -> Result<Built, Failure> {
    let assembler = Assembler::new(running.blobs, listener, source.on_trouble());
    // Dated by hand, a snapshot does not tell when it began: then nothing looks settled.
    let parent_began = parent.filter(|parent| parent.time <= parent.finished).map(|parent| parent.time);
    let mut walk = Walk { running, source, listener, parent_began, open: Vec::new(), path: Vec::new(), assembler };
    let root = source.root();
    let listing = source.list(&root).map_err(Failure::Source)?;
    walk.open.push(OpenDir {
        listing,
        parent: parent.map(|parent| entries(running.repository, &parent.root)),
        path_len: 0,
    });
    walk.run()?;
    walk.assembler.finish()
}

/// A directory that is being listed.
struct OpenDir<'s, 'p, P> {
    listing: Listing<'s, P>,
    parent: Option<Peekable<Entries<'p>>>,
    /// Length of the path up to and with this directory.
    path_len: usize,
}

struct Walk<'w, 'p, 's, S: Source> {
    running: &'w Running<'p, 's>,
    source: &'s S,
    listener: &'w Listener<'w>,
    parent_began: Option<Time>,
    open: Vec<OpenDir<'s, 'p, S::Place>>,
    path: Vec<u8>,
    assembler: Assembler<'w>,
}

fn entries<'p>(repository: &'p Repository, tree: &TreeRef) -> Peekable<Entries<'p>> {
    Entries::new(repository, tree).peekable()
}

impl<'s, S: Source> Walk<'_, '_, 's, S> {
    fn run(&mut self) -> Result<(), Failure> {
        while let Some(dir) = self.open.last_mut() {
            if (self.listener.interrupted)() {
                return Err(Failure::Interrupted);
            }
            self.path.truncate(dir.path_len);
            match dir.listing.next() {
                Some(Ok(found)) => self.take(found)?,
                Some(Err(trouble)) => self.assembler.trouble(trouble)?,
                None => {
                    self.open.pop();
                    self.assembler.queue(Waiting::Leave)?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, found: Found<S::Place>) -> Result<(), Failure> {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(&found.key.name);
        let before = self.parent_entry(&found.key);
        match found.kind {
            Kind::File { size } => self.take_file(found, size, before),
            Kind::Directory => self.take_dir(found, before),
            _ => self.take_other(found, before),
        }
    }

    /// What the parent has under this key. A parent that cannot be read is no help, and no harm.
    fn parent_entry(&mut self, key: &EntryKey) -> Option<Entry> {
        let dir = self.open.last_mut()?;
        let parent = dir.parent.as_mut()?;
        loop {
            match parent.peek()? {
                Ok(entry) if entry.key < *key => drop(parent.next()),
                Ok(entry) if entry.key == *key => return parent.next()?.ok(),
                Ok(_) => return None,
                Err(error) => {
                    tracing::warn!("the parent snapshot cannot be read here, files are read anew: {error}");
                    dir.parent = None;
                    return None;
                }
            }
        }
    }

    fn take_file(&mut self, found: Found<S::Place>, size: Option<u64>, before: Option<Entry>) -> Result<(), Failure> {
        if let Some(entry) = before.as_ref().filter(|entry| self.is_unchanged_file(entry, &found, size))
            && self.is_all_there(entry)?
        {
            self.assembler.summary.files_unmodified += 1;
            self.listener.counters.files_done.fetch_add(1, Relaxed);
            self.listener.counters.bytes_done.fetch_add(entry.bytes(), Relaxed);
            return self.assembler.queue(Waiting::Ready(Box::new(entry.clone())));
        }
        match before {
            Some(Entry { node: Node::File(_), .. }) => self.assembler.summary.files_changed += 1,
            _ => self.assembler.summary.files_new += 1,
        }
        let (key, stat) = (found.key.clone(), found.stat);
        let source = self.source;
        let path = String::from_utf8_lossy(&self.path).into_owned();
        let promise = self.running.read(
            path,
            size,
            Box::new(move || {
                let reading = source.open(&found)?;
                let (description, trouble) = match source.describe(&found) {
                    Ok(description) => (description, None),
                    Err(trouble) => (Description::default(), Some(trouble)),
                };
                Ok(Opened { reading, description, trouble })
            }),
        );
        self.assembler.queue(Waiting::File { key, stat, promise })
    }

    fn is_unchanged_file(&self, entry: &Entry, found: &Found<S::Place>, size: Option<u64>) -> bool {
        // Device numbers change with a mount: an old identity beside a new one would join two files.
        let same_link = entry.hard_link().is_ok_and(|link| link == found.stat.hard_link);
        let same_size = matches!(&entry.node, Node::File(content) if size == Some(content.size));
        // Changed after the parent began: perhaps after it was read, within one tick of the clock.
        let settled = self.parent_began.is_some_and(|began| entry.meta.ctime < began);
        same_size && same_link && settled && is_same_stat(&entry.meta, &found.stat)
    }

    /// The parent is a hint: what its entry refers to must be there all the same.
    fn is_all_there(&self, entry: &Entry) -> Result<bool, RepoError> {
        let mut all_there = true;
        let looked = walk::blobs_of_entry(self.running.repository, entry, &mut |_, id| {
            all_there = all_there && self.running.blobs.has(id)?;
            Ok(())
        });
        match looked {
            Ok(()) => Ok(all_there),
            Err(RepoError::Missing { .. } | RepoError::Damaged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn take_dir(&mut self, found: Found<S::Place>, before: Option<Entry>) -> Result<(), Failure> {
        if self.open.len() >= TREE_DEPTH_MAX {
            let why = format!("more than {TREE_DEPTH_MAX} directories deep");
            return self.assembler.trouble(Trouble { path: String::from_utf8_lossy(&self.path).into_owned(), why });
        }
        let listing = match self.source.list(&found.place) {
            Ok(listing) => listing,
            // Kept as an empty directory, so that it comes back at all.
            Err(trouble) => {
                self.assembler.trouble(trouble)?;
                Box::new(std::iter::empty())
            }
        };
        let parent_tree = before.as_ref().and_then(|entry| match &entry.node {
            Node::Directory(tree) => Some(tree),
            _ => None,
        });
        let parent = parent_tree.map(|tree| entries(self.running.repository, tree));
        let (meta, extras) = self.describe(&found, before.as_ref().filter(|_| parent.is_some()))?;
        self.assembler.queue(Waiting::Enter { key: found.key, meta, extras })?;
        self.open.push(OpenDir { listing, parent, path_len: self.path.len() });
        Ok(())
    }

    fn take_other(&mut self, found: Found<S::Place>, before: Option<Entry>) -> Result<(), Failure> {
        self.assembler.summary.others += 1;
        let node = match found.kind {
            Kind::Fifo => Node::Fifo,
            Kind::Socket => Node::Socket,
            Kind::CharDevice(device) => Node::CharDevice(device),
            Kind::BlockDevice(device) => Node::BlockDevice(device),
            _ => return self.take_symlink(found),
        };
        let same_kind = before.filter(|entry| entry.node == node);
        let (meta, extras) = self.describe(&found, same_kind.as_ref())?;
        self.assembler.queue(Waiting::Ready(Box::new(Entry { key: found.key, node, meta, extras })))
    }

    fn take_symlink(&mut self, found: Found<S::Place>) -> Result<(), Failure> {
        let description = match self.source.describe(&found) {
            Ok(description) => description,
            Err(trouble) => return self.assembler.trouble(trouble),
        };
        let Ok(target) = Bytes::new(description.target.clone()) else {
            let path = String::from_utf8_lossy(&self.path).into_owned();
            return self.assembler.trouble(Trouble { path, why: "its target is longer than a link can be".into() });
        };
        let (meta, extras) = described(self.running.blobs, &found.stat, description)?;
        self.assembler.queue(Waiting::Ready(Box::new(Entry {
            key: found.key,
            node: Node::Symlink(target),
            meta,
            extras,
        })))
    }

    /// Metadata and extras: the parent's where nothing changed, else asked for.
    fn describe(&mut self, found: &Found<S::Place>, before: Option<&Entry>) -> Result<(Meta, Extras), Failure> {
        if let Some(entry) = before.filter(|entry| is_same_stat(&entry.meta, &found.stat))
            && entry.hard_link().is_ok_and(|link| link == found.stat.hard_link)
            && entry.extras.get(tag::XATTRS_CONTENT).is_none()
        {
            return Ok((entry.meta.clone(), entry.extras.clone()));
        }
        let description = match self.source.describe(found) {
            Ok(description) => description,
            Err(trouble) => {
                self.assembler.trouble(trouble)?;
                return Ok(described(self.running.blobs, &never_unchanged(&found.stat), Description::default())?);
            }
        };
        Ok(described(self.running.blobs, &found.stat, description)?)
    }
}

fn is_same_stat(meta: &Meta, stat: &Stat) -> bool {
    (meta.mtime, meta.ctime, meta.inode) == (stat.mtime, stat.ctime, stat.inode)
        && (meta.mode, meta.uid, meta.gid) == (stat.mode, stat.uid, stat.gid)
}
