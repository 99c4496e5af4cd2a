//! The walk: the source beside its parent snapshot, directory by directory, and the trees that come of it.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::sync::atomic::Ordering::Relaxed;

use super::Listener;
use super::blobs::Blobs;
use super::pipeline::{Failure, FileOutcome, Opened, Promise, Running};
use crate::format::Structure;
use crate::format::codec::Bytes;
use crate::format::content::Item;
use crate::format::control::{Snapshot, Summary};
use crate::format::extras::{Extra, Extras};
use crate::format::limits::{EXTRA_MAX, TREE_DEPTH_MAX, XATTRS_ENCODED_MAX};
use crate::format::pack::BlobKind;
use crate::format::tree::{Entry, EntryKey, Meta, Node, Time, TreeRef, Xattrs, tag};
use crate::ops::source::{Description, Found, Kind, Listing, OnTrouble, Source, Stat, Trouble};
use crate::repo::split::{ContentBuilder, TreeBuilder};
use crate::repo::walk::{self, Entries};
use crate::repo::{RepoError, Repository};

/// Entries that wait for the contents before them.
const WAITING_ENTRIES: usize = 1024;

/// Walks `source` and gives the root of its tree.
pub(super) fn build<'s, S: Source>(
    running: &Running<'_, 's>,
    source: &'s S,
    parent: Option<&Snapshot>,
    listener: &Listener<'_>,
) -> Result<(TreeRef, Summary), Failure> {
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

/// A stat that no later one equals: what is not all there must be read again, and its trouble told again.
/// The change time serves nothing else.
fn never_unchanged(stat: &Stat) -> Stat {
    Stat { ctime: Time::default(), ..*stat }
}

/// What an entry holds beside its node.
fn described(blobs: &Blobs<'_>, stat: &Stat, description: Description) -> Result<(Meta, Extras), RepoError> {
    let meta = Meta {
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        user: crate::format::codec::Text::truncated(&description.user),
        group: crate::format::codec::Text::truncated(&description.group),
        mtime: stat.mtime,
        ctime: stat.ctime,
        inode: stat.inode,
    };
    let mut extras = Vec::new();
    if !description.xattrs.0.is_empty() {
        extras.push(xattrs_extra(blobs, &description.xattrs)?);
    }
    if let Some(link) = stat.hard_link {
        let value = Bytes::new(link.to_bytes()).expect("two numbers fit an extra");
        extras.push(Extra { tag: tag::HARD_LINK, value });
    }
    Ok((meta, Extras::new(extras).expect("two extras fit")))
}

/// Extended attributes in the entry, or as content of their own when they are long.
fn xattrs_extra(blobs: &Blobs<'_>, xattrs: &Xattrs) -> Result<Extra, RepoError> {
    let encoded = xattrs.to_bytes();
    if encoded.len() <= EXTRA_MAX {
        let value = Bytes::new(encoded).expect("it was just measured");
        return Ok(Extra { tag: tag::XATTRS, value });
    }
    if encoded.len() > XATTRS_ENCODED_MAX {
        return Err(RepoError::Refused("extended attributes of more than a MiB".into()));
    }
    let len = u32::try_from(encoded.len()).expect("it was just measured");
    let mut save = |kind, plain| blobs.save(kind, plain);
    let mut content = ContentBuilder::default();
    content.push(blobs.keys(), Item::Data { id: save(BlobKind::Data, encoded)?, len }, &mut save)?;
    let content = content.finish(blobs.keys(), &mut save)?;
    let value = Bytes::new(content.to_bytes()).expect("a content of one item fits an extra");
    Ok(Extra { tag: tag::XATTRS_CONTENT, value })
}

/// What the walk found, in order, some of it still being read.
enum Waiting {
    Enter { key: EntryKey, meta: Meta, extras: Extras },
    Ready(Box<Entry>),
    File { key: EntryKey, stat: Stat, promise: Promise },
    Leave,
}

/// What a directory's own entry will hold beside its tree.
type OwnEntry = (EntryKey, Meta, Extras);

/// Puts entries into trees, in order.
struct Assembler<'w> {
    blobs: &'w Blobs<'w>,
    listener: &'w Listener<'w>,
    on_trouble: OnTrouble,
    waiting: VecDeque<Waiting>,
    /// The directories that are being built, each with its own entry but for the root.
    open: Vec<(Option<OwnEntry>, TreeBuilder)>,
    root: Option<TreeRef>,
    summary: Summary,
}

impl<'w> Assembler<'w> {
    fn new(blobs: &'w Blobs<'w>, listener: &'w Listener<'w>, on_trouble: OnTrouble) -> Self {
        let open = vec![(None, TreeBuilder::default())];
        let summary = Summary::default();
        Assembler { blobs, listener, on_trouble, waiting: VecDeque::new(), open, root: None, summary }
    }

    fn trouble(&mut self, trouble: Trouble) -> Result<(), Failure> {
        if (self.listener.interrupted)() {
            return Err(Failure::Interrupted);
        }
        if self.on_trouble == OnTrouble::Stop {
            return Err(Failure::Source(trouble));
        }
        self.summary.troubles += 1;
        self.listener.counters.troubles.fetch_add(1, Relaxed);
        (self.listener.on_trouble)(&trouble);
        Ok(())
    }

    /// Takes what comes next, and works off what no longer waits, or must not wait longer.
    fn queue(&mut self, next: Waiting) -> Result<(), Failure> {
        self.waiting.push_back(next);
        while self.waiting.len() > WAITING_ENTRIES || self.waiting.front().is_some_and(Waiting::is_ready) {
            self.work_off()?;
        }
        Ok(())
    }

    fn work_off(&mut self) -> Result<(), Failure> {
        match self.waiting.pop_front() {
            None => Ok(()),
            Some(Waiting::Enter { key, meta, extras }) => {
                self.summary.dirs += 1;
                self.open.push((Some((key, meta, extras)), TreeBuilder::default()));
                Ok(())
            }
            Some(Waiting::Ready(entry)) => self.add(&entry),
            Some(Waiting::File { key, stat, promise }) => {
                let outcome = promise.wait();
                // Workers that stop break promises; that is not what went wrong.
                if outcome.is_err() && (self.listener.interrupted)() {
                    return Err(Failure::Interrupted);
                }
                self.add_file(key, stat, outcome?)
            }
            Some(Waiting::Leave) => self.leave(),
        }
    }

    fn add(&mut self, entry: &Entry) -> Result<(), Failure> {
        if matches!(entry.node, Node::File(_)) {
            self.summary.bytes_processed += entry.bytes();
        }
        let (_, builder) = self.open.last_mut().expect("entries come between entering and leaving");
        Ok(builder.push(self.blobs.keys(), entry, &mut |kind, plain| self.blobs.save(kind, plain))?)
    }

    fn add_file(&mut self, key: EntryKey, mut stat: Stat, outcome: FileOutcome) -> Result<(), Failure> {
        self.listener.counters.files_done.fetch_add(1, Relaxed);
        match outcome {
            FileOutcome::Failed(trouble) => self.trouble(trouble),
            FileOutcome::Read(content, description, trouble) => {
                if let Some(trouble) = trouble {
                    self.trouble(trouble)?;
                    stat = never_unchanged(&stat);
                }
                self.summary.bytes_read += content.size;
                let (meta, extras) = described(self.blobs, &stat, description)?;
                self.add(&Entry { key, node: Node::File(content), meta, extras })
            }
        }
    }

    fn leave(&mut self) -> Result<(), Failure> {
        let (own, builder) = self.open.pop().expect("every directory is left once");
        let tree = builder.finish(self.blobs.keys(), &mut |kind, plain| self.blobs.save(kind, plain))?;
        match own {
            Some((key, meta, extras)) => self.add(&Entry { key, node: Node::Directory(tree), meta, extras }),
            None => {
                self.root = Some(tree);
                Ok(())
            }
        }
    }

    fn finish(mut self) -> Result<(TreeRef, Summary), Failure> {
        while !self.waiting.is_empty() {
            self.work_off()?;
        }
        Ok((self.root.expect("the walk left the root last"), self.summary))
    }
}

impl Waiting {
    fn is_ready(&self) -> bool {
        match self {
            Waiting::File { promise, .. } => promise.is_settled(),
            _ => true,
        }
    }
}
