//! The assembler: what the walk found becomes entries, and entries become trees, in order; now and then what
//! is there so far becomes a checkpoint.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Listener;
use super::blobs::Blobs;
use super::checkpoint::Keeper;
use super::pipeline::{Failure, PATIENCE, Running};
use super::promise::{FileOutcome, Promise, ReadFile, SoFar};
use super::stack::Stack;
use crate::format::Structure;
use crate::format::codec::Bytes;
use crate::format::content::{Content, Item};
use crate::format::control::Summary;
use crate::format::extras::{Extra, Extras};
use crate::format::limits::{EXTRA_MAX, TROUBLES_MAX, XATTRS_ENCODED_MAX};
use crate::format::pack::BlobKind;
use crate::format::tree::{Begun, Entry, EntryKey, Meta, Node, Time, TreeRef, Xattrs, tag};
use crate::ops::source::{Description, OnTrouble, Stat, Trouble};
use crate::repo::RepoError;
use crate::repo::split::ContentBuilder;

/// Entries that wait for the contents before them.
const WAITING_ENTRIES: usize = 1024;

/// A stat that no later one equals: what is not all there must be read again, and its trouble told again.
/// The change time serves nothing else.
pub(super) fn never_unchanged(stat: &Stat) -> Stat {
    Stat { ctime: Time::default(), ..*stat }
}

/// Whether an entry with this metadata was all there: see [`never_unchanged`].
pub(super) fn is_sound(meta: &Meta) -> bool {
    meta.ctime != Time::default()
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
    let mut extras = description.extras;
    if !description.xattrs.0.is_empty() {
        extras.push(xattrs_extra(blobs, &description.xattrs)?);
    }
    if let Some(link) = stat.hard_link {
        let value = Bytes::new(link.to_bytes()).expect("two numbers fit an extra");
        extras.push(Extra { tag: tag::HARD_LINK, value });
    }
    Ok((meta, Extras::new(extras).expect("a source has no more to say than fits")))
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
    File { key: EntryKey, stat: Stat, size: Option<u64>, version: Option<Vec<u8>>, promise: Promise },
    Leave,
}

/// Puts entries into trees, in order.
pub(super) struct Assembler<'w, 'k> {
    blobs: &'w Blobs<'w>,
    listener: &'w Listener<'w>,
    on_trouble: OnTrouble,
    work: &'w AtomicU64,
    keeper: &'w mut Keeper<'k>,
    waiting: VecDeque<Waiting>,
    stack: Stack,
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

impl<'w, 'k> Assembler<'w, 'k> {
    pub(super) fn new(
        running: &'w Running<'_, '_>,
        keeper: &'w mut Keeper<'k>,
        listener: &'w Listener<'w>,
        on_trouble: OnTrouble,
    ) -> Self {
        let (waiting, stack) = (VecDeque::new(), Stack::default());
        let (summary, troubles) = (Summary::default(), Vec::new());
        let (blobs, work) = (running.blobs, running.work);
        Assembler { blobs, listener, on_trouble, work, keeper, waiting, stack, summary, troubles }
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
        self.look_up()
    }

    fn work_off(&mut self) -> Result<(), Failure> {
        while self.waiting.front().is_some_and(|first| !first.is_ready_within(PATIENCE)) {
            self.look_up()?;
        }
        // Before the next is taken: a file that a worker left because it is to stop is still worth a word.
        if (self.listener.interrupted)() {
            return Err(Failure::Interrupted);
        }
        match self.waiting.pop_front() {
            None => Ok(()),
            Some(Waiting::Enter { key, meta, extras }) => {
                self.summary.dirs += 1;
                self.stack.enter((key, meta, extras));
                Ok(())
            }
            Some(Waiting::Ready(entry)) => self.add(&entry),
            Some(Waiting::File { key, stat, promise, .. }) => self.add_file(key, &stat, promise.take()?),
            Some(Waiting::Leave) => Ok(self.stack.leave(self.blobs)?),
        }
    }

    /// Looks up from the work: whether to stop, and whether to keep what was done.
    pub(super) fn look_up(&mut self) -> Result<(), Failure> {
        if (self.listener.interrupted)() {
            return Err(Failure::Interrupted);
        }
        if self.keeper.is_due(self.work) { Ok(self.keep()?) } else { Ok(()) }
    }

    /// Keeps what was done in a checkpoint, if it is worth one.
    pub(super) fn keep(&mut self) -> Result<(), RepoError> {
        if !self.keeper.is_worthwhile(self.work) {
            return Ok(());
        }
        let done = self.work.load(Relaxed);
        let mut stack = self.stack.clone();
        for waiting in &self.waiting {
            waiting.as_it_is(self.blobs, &mut stack)?;
        }
        let root = stack.close(self.blobs)?;
        self.keeper.keep(self.blobs, done, root, self.summary)
    }

    fn add(&mut self, entry: &Entry) -> Result<(), Failure> {
        if matches!(entry.node, Node::File(_)) {
            self.summary.bytes_processed += entry.bytes();
        }
        Ok(self.stack.add(self.blobs, entry)?)
    }

    fn add_file(&mut self, key: EntryKey, stat: &Stat, outcome: FileOutcome) -> Result<(), Failure> {
        self.listener.counters.files_done.fetch_add(1, Relaxed);
        match outcome {
            FileOutcome::Failed(trouble) => self.trouble(trouble),
            FileOutcome::Read(mut read) => {
                self.summary.bytes_read += read.content.size - read.taken_over;
                let is_sound = read.trouble.is_none();
                if let Some(trouble) = read.trouble.take() {
                    self.trouble(trouble)?;
                }
                let entry = file_entry(self.blobs, key, stat, *read, is_sound)?;
                self.add(&entry)
            }
        }
    }

    pub(super) fn finish(&mut self) -> Result<Built, Failure> {
        while !self.waiting.is_empty() {
            self.work_off()?;
        }
        let root = self.stack.close(self.blobs)?;
        Ok(Built { root, summary: self.summary, troubles: std::mem::take(&mut self.troubles) })
    }
}

fn file_entry(
    blobs: &Blobs<'_>,
    key: EntryKey,
    stat: &Stat,
    read: ReadFile,
    is_sound: bool,
) -> Result<Entry, RepoError> {
    let stat = read.description.stat.as_ref().unwrap_or(stat);
    let stat = if is_sound { *stat } else { never_unchanged(stat) };
    let (meta, extras) = described(blobs, &stat, read.description)?;
    Ok(Entry { key, node: Node::File(read.content), meta, extras })
}

/// The entry of a file of which only the beginning was read.
fn begun_entry(
    blobs: &Blobs<'_>,
    key: EntryKey,
    stat: &Stat,
    size: Option<u64>,
    version: Option<&[u8]>,
    content: Content,
) -> Result<Entry, RepoError> {
    // Who goes on in it asks for its description then.
    let (meta, _) = described(blobs, stat, Description::default())?;
    let value = Bytes::new(Begun { size: size.unwrap_or(0) }.to_bytes()).expect("a number fits an extra");
    let version = version.and_then(|version| Some(Extra { tag: tag::ETAG, value: Bytes::new(version).ok()? }));
    let extras = Extras::new([Extra { tag: tag::BEGUN, value }].into_iter().chain(version).collect());
    let extras = extras.expect("two extras fit");
    Ok(Entry { key, node: Node::File(content), meta, extras })
}

impl Waiting {
    fn is_ready(&self) -> bool {
        match self {
            Waiting::File { promise, .. } => promise.is_settled(),
            _ => true,
        }
    }

    fn is_ready_within(&self, patience: Duration) -> bool {
        match self {
            Waiting::File { promise, .. } => promise.wait(patience),
            _ => true,
        }
    }

    /// Puts it into `stack` as far as it is there.
    fn as_it_is(&self, blobs: &Blobs<'_>, stack: &mut Stack) -> Result<(), RepoError> {
        match self {
            Waiting::Enter { key, meta, extras } => {
                stack.enter((key.clone(), meta.clone(), extras.clone()));
                Ok(())
            }
            Waiting::Ready(entry) => stack.add(blobs, entry),
            Waiting::Leave => stack.leave(blobs),
            Waiting::File { key, stat, size, version, promise } => match promise.so_far(blobs)? {
                SoFar::Done(read) => {
                    let is_sound = read.trouble.is_none();
                    stack.add(blobs, &file_entry(blobs, key.clone(), stat, *read, is_sound)?)
                }
                SoFar::Begun(content) => {
                    let version = version.as_deref();
                    stack.add(blobs, &begun_entry(blobs, key.clone(), stat, *size, version, content)?)
                }
                SoFar::Nothing => Ok(()),
            },
        }
    }
}
