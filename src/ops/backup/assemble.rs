//! The assembler: what the walk found becomes entries, and entries become trees, in order.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

use super::Listener;
use super::blobs::Blobs;
use super::pipeline::{Failure, FileOutcome, Promise};
use crate::format::Structure;
use crate::format::codec::Bytes;
use crate::format::content::Item;
use crate::format::control::Summary;
use crate::format::extras::{Extra, Extras};
use crate::format::limits::{EXTRA_MAX, TROUBLES_MAX, XATTRS_ENCODED_MAX};
use crate::format::pack::BlobKind;
use crate::format::tree::{Entry, EntryKey, Meta, Node, Time, TreeRef, Xattrs, tag};
use crate::ops::source::{Description, OnTrouble, Stat, Trouble};
use crate::repo::RepoError;
use crate::repo::split::{ContentBuilder, TreeBuilder};

/// Entries that wait for the contents before them.
const WAITING_ENTRIES: usize = 1024;

/// A stat that no later one equals: what is not all there must be read again, and its trouble told again.
/// The change time serves nothing else.
pub(super) fn never_unchanged(stat: &Stat) -> Stat {
    Stat { ctime: Time::default(), ..*stat }
}

/// What an entry holds beside its node.
pub(super) fn described(blobs: &Blobs<'_>, stat: &Stat, description: Description) -> Result<(Meta, Extras), RepoError> {
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
pub(super) enum Waiting {
    Enter { key: EntryKey, meta: Meta, extras: Extras },
    Ready(Box<Entry>),
    File { key: EntryKey, stat: Stat, promise: Promise },
    Leave,
}

/// What a directory's own entry will hold beside its tree.
type OwnEntry = (EntryKey, Meta, Extras);

/// Puts entries into trees, in order.
pub(super) struct Assembler<'w> {
    blobs: &'w Blobs<'w>,
    listener: &'w Listener<'w>,
    on_trouble: OnTrouble,
    waiting: VecDeque<Waiting>,
    /// The directories that are being built, each with its own entry but for the root.
    open: Vec<(Option<OwnEntry>, TreeBuilder)>,
    root: Option<TreeRef>,
    pub(super) summary: Summary,
    /// The first of them, for the run's report.
    troubles: Vec<String>,
}

/// All of a source.
pub(super) struct Built {
    pub root: TreeRef,
    pub summary: Summary,
    /// The first troubles, in words.
    pub troubles: Vec<String>,
}

impl<'w> Assembler<'w> {
    pub(super) fn new(blobs: &'w Blobs<'w>, listener: &'w Listener<'w>, on_trouble: OnTrouble) -> Self {
        let open = vec![(None, TreeBuilder::default())];
        let (waiting, summary, troubles) = (VecDeque::new(), Summary::default(), Vec::new());
        Assembler { blobs, listener, on_trouble, waiting, open, root: None, summary, troubles }
    }

    pub(super) fn trouble(&mut self, trouble: Trouble) -> Result<(), Failure> {
        if (self.listener.interrupted)() {
            return Err(Failure::Interrupted);
        }
        if self.on_trouble == OnTrouble::Stop {
            return Err(Failure::Source(trouble));
        }
        self.summary.troubles += 1;
        self.listener.counters.troubles.fetch_add(1, Relaxed);
        (self.listener.on_trouble)(&trouble);
        if self.troubles.len() < TROUBLES_MAX {
            self.troubles.push(trouble.to_string());
        }
        Ok(())
    }

    /// Takes what comes next, and works off what no longer waits, or must not wait longer.
    pub(super) fn queue(&mut self, next: Waiting) -> Result<(), Failure> {
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

    pub(super) fn finish(mut self) -> Result<Built, Failure> {
        while !self.waiting.is_empty() {
            self.work_off()?;
        }
        let root = self.root.expect("the walk left the root last");
        Ok(Built { root, summary: self.summary, troubles: self.troubles })
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
