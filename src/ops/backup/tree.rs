//! The walk: the source beside earlier snapshots of it, directory by directory.

use std::sync::atomic::Ordering::Relaxed;

use super::Listener;
use super::assemble::{Assembler, Built, Waiting, described, never_unchanged};
use super::checkpoint::Keeper;
use super::hints::{self, Before, Hint};
use super::parent::Earlier;
use super::pipeline::{Failure, Opened, Order, Running};
use crate::format::codec::Bytes;
use crate::format::content::Content;
use crate::format::extras::Extras;
use crate::format::limits::TREE_DEPTH_MAX;
use crate::format::tree::{Entry, Meta, Node};
use crate::ops::source::{Description, Found, Kind, Listing, Source, Trouble};
use crate::repo::{RepoError, walk};

/// Walks `source` and gives the root of its tree. If it is interrupted, what was done is kept.
pub(super) fn build<'s, S: Source>(
    running: &Running<'_, 's>,
    source: &'s S,
    earlier: &Earlier,
    keeper: &mut Keeper<'_>,
    listener: &Listener<'_>,
) -> Result<Built, Failure> {
    let assembler = Assembler::new(running, keeper, listener, source.on_trouble());
    let mut walk = Walk { running, source, listener, open: Vec::new(), path: Vec::new(), assembler };
    let marks = hints::marks_at_root(running.repository, earlier);
    let listing = source.list_marked(&source.root(), marks).map_err(Failure::Source)?;
    walk.open.push(OpenDir { listing, hints: hints::at_root(running.repository, earlier), path_len: 0 });
    let built = walk.run().and_then(|()| walk.assembler.finish());
    if matches!(built, Err(Failure::Interrupted)) {
        running.settle();
        if let Err(error) = walk.assembler.keep() {
            tracing::warn!("what was read could not be kept: {error}");
        }
    }
    built
}

/// A directory that is being listed.
struct OpenDir<'s, 'p, P> {
    listing: Listing<'s, P>,
    hints: Vec<Hint<'p>>,
    /// Length of the path up to and with this directory.
    path_len: usize,
}

struct Walk<'w, 'k, 'p, 's, S: Source> {
    running: &'w Running<'p, 's>,
    source: &'s S,
    listener: &'w Listener<'w>,
    open: Vec<OpenDir<'s, 'p, S::Place>>,
    path: Vec<u8>,
    assembler: Assembler<'w, 'k>,
}

impl<'s, S: Source> Walk<'_, '_, '_, 's, S> {
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
        let before = self.open.last_mut().map_or_else(Vec::new, |dir| hints::look(&mut dir.hints, &found.key));
        match found.kind {
            Kind::File { size } => self.take_file(found, size, before),
            Kind::Directory => self.take_dir(found, &before),
            _ => self.take_other(found, &before),
        }
    }

    fn take_file(&mut self, found: Found<S::Place>, size: Option<u64>, before: Vec<Before>) -> Result<(), Failure> {
        let version = self.source.version(&found);
        let unchanged = self.unchanged(&found, version, &before)?;
        let in_parent = before.iter().find(|before| !before.of.is_checkpoint);
        let summary = &mut self.assembler.summary;
        match in_parent {
            _ if unchanged.is_some_and(|same| !same.of.is_checkpoint) => summary.files_unmodified += 1,
            Some(Before { entry: Entry { node: Node::File(_), .. }, .. }) => summary.files_changed += 1,
            _ => summary.files_new += 1,
        }
        if let Some(same) = unchanged {
            self.listener.counters.files_done.fetch_add(1, Relaxed);
            self.listener.counters.bytes_done.fetch_add(same.entry.bytes(), Relaxed);
            return self.assembler.queue(Waiting::Ready(Box::new(same.entry.clone())));
        }
        let beginnings = before.into_iter().filter_map(|before| before.content(&found, version));
        let begun = beginnings.max_by_key(|content| content.size);
        self.read_file(found, size, begun)
    }

    /// What has this file as it is now, with all that its entry refers to. Earlier snapshots are hints.
    fn unchanged<'b>(
        &self,
        found: &Found<S::Place>,
        version: Option<&[u8]>,
        before: &'b [Before],
    ) -> Result<Option<&'b Before>, RepoError> {
        for same in before.iter().filter(|before| before.is_unchanged_file(found, version)) {
            if self.is_all_there(&same.entry)? {
                return Ok(Some(same));
            }
        }
        Ok(None)
    }

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

    fn read_file(&mut self, found: Found<S::Place>, size: Option<u64>, begun: Option<Content>) -> Result<(), Failure> {
        let (key, stat) = (found.key.clone(), found.stat);
        let source = self.source;
        let version = source.version(&found).map(<[u8]>::to_vec);
        if begun.is_none() {
            source.expect(&found);
        }
        let path = String::from_utf8_lossy(&self.path).into_owned();
        let open = Box::new(move || {
            let reading = source.open(&found)?;
            let (description, trouble) = match source.describe(&found) {
                Ok(description) => (description, None),
                Err(trouble) => (Description::default(), Some(trouble)),
            };
            Ok(Opened { reading, description, trouble })
        });
        let order = Order { open, path, size_hint: size, begun };
        let promise = self.running.read(order, &mut || self.assembler.look_up())?;
        self.assembler.queue(Waiting::File { key, stat, size, version, promise })
    }

    fn take_dir(&mut self, found: Found<S::Place>, before: &[Before]) -> Result<(), Failure> {
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
        let hints = before.iter().filter_map(|before| before.below(self.running.repository)).collect();
        let is_directory = |entry: &Entry| matches!(entry.node, Node::Directory(_));
        let (meta, extras) = self.describe(&found, before, is_directory)?;
        self.assembler.queue(Waiting::Enter { key: found.key, meta, extras })?;
        self.open.push(OpenDir { listing, hints, path_len: self.path.len() });
        Ok(())
    }

    fn take_other(&mut self, found: Found<S::Place>, before: &[Before]) -> Result<(), Failure> {
        self.assembler.summary.others += 1;
        let node = match found.kind {
            Kind::Fifo => Node::Fifo,
            Kind::Socket => Node::Socket,
            Kind::CharDevice(device) => Node::CharDevice(device),
            Kind::BlockDevice(device) => Node::BlockDevice(device),
            _ => return self.take_symlink(found),
        };
        let (meta, extras) = self.describe(&found, before, |entry| entry.node == node)?;
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

    /// Metadata and extras: those of an earlier snapshot where nothing changed, else asked for.
    fn describe(
        &mut self,
        found: &Found<S::Place>,
        before: &[Before],
        is_such: impl Fn(&Entry) -> bool,
    ) -> Result<(Meta, Extras), Failure> {
        let mut same = before.iter().filter(|before| is_such(&before.entry) && before.is_described_as(found));
        if let Some(Before { entry, .. }) = same.next() {
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
