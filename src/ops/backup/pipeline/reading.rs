//! One file, from when a worker opens it to its last item.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crossbeam_channel::{Sender, TrySendError};

use super::{ChunkJob, FileJob, Pipeline};
use crate::chunk::Chunks;
use crate::format::content::{Content, Item};
use crate::format::limits::INLINE_MAX;
use crate::ops::backup::promise::{AllRead, FileOutcome, Ticket};
use crate::ops::source::{Description, Extent, Reading, Replaced, Trouble};
use crate::repo::walk;

/// How often a file is read that is replaced again and again.
const READINGS: usize = 4;

/// Opens and describes a file when a worker gets to it, and again if it is replaced while it is read.
pub type Open<'s> = Box<dyn Fn() -> Result<Opened, Trouble> + Send + 's>;

/// A file that is about to be read.
pub struct Opened {
    pub reading: Box<dyn Reading + Send>,
    pub description: Description,
    /// Why the description is not all that there is to say.
    pub trouble: Option<Trouble>,
}

/// What a worker is told of a file.
pub struct Order<'s> {
    pub open: Open<'s>,
    pub path: String,
    pub size_hint: Option<u64>,
    /// Its beginning, as an interrupted backup read it.
    pub begun: Option<Content>,
}

/// A file that was read to its end.
struct WholeFile {
    description: Description,
    trouble: Option<Trouble>,
    /// Bytes at its beginning that an earlier, interrupted backup had read.
    taken_over: u64,
}

/// Why a file was not.
enum Unread {
    /// Another one is there in its place.
    Replaced(Trouble),
    For(Trouble),
}

impl Pipeline<'_> {
    pub(super) fn do_file(&self, job: FileJob<'_>, chunks: &Sender<ChunkJob>) {
        let FileJob { mut order, ticket } = job;
        if self.is_stopped() {
            return;
        }
        self.blobs.counters().current.set(order.path.as_bytes());
        self.work.fetch_add(1, Relaxed);
        let mut items = Items::new(self, ticket, chunks);
        for readings_left in (0..READINGS).rev() {
            match self.read_file(&mut order, &mut items) {
                Err(Unread::Replaced(_)) if readings_left > 0 => {}
                Err(Unread::Replaced(trouble) | Unread::For(trouble)) => {
                    return items.ticket.settle(Ok(FileOutcome::Failed(trouble)));
                }
                Ok(read) => return items.all_read(read),
            }
        }
    }

    /// Reads a file from its beginning to its end.
    fn read_file(&self, order: &mut Order<'_>, items: &mut Items<'_>) -> Result<WholeFile, Unread> {
        let Opened { mut reading, description, trouble } = (order.open)().map_err(Unread::For)?;
        items.begin(reading.is_as_found());
        // One chunk is done here and now: handing it over would cost more than it gains.
        items.alone = order.size_hint.is_some_and(|size| self.chunker.is_one_chunk(size));
        // That was read of what was found, too.
        let begun = order.begun.take().filter(|_| reading.is_as_found());
        let taken_over = begun.map_or(Ok(0), |begun| self.take_over(&begun, &mut *reading, items));
        let cut = taken_over.and_then(|taken_over| {
            self.cut(&mut *reading, order.size_hint, items)?;
            Ok(taken_over)
        });
        let taken_over = cut.map_err(|error| {
            let why = format!("cannot read it: {error}");
            let trouble = Trouble { path: order.path.clone(), why };
            match error.get_ref().is_some_and(|error| error.is::<Replaced>()) {
                true => Unread::Replaced(trouble),
                false => Unread::For(trouble),
            }
        })?;
        // Whether it changed while it was read.
        let changed = reading.finish().err().map(|why| Trouble { path: order.path.clone(), why });
        Ok(WholeFile { description, trouble: changed.or(trouble), taken_over })
    }

    /// Takes over what an interrupted backup read of a file, as far as it can be relied on, and goes on reading
    /// after that: where a chunk ends decides where the next one does, and nothing before it.
    fn take_over(&self, begun: &Content, reading: &mut dyn Reading, items: &mut Items<'_>) -> io::Result<u64> {
        if !reading.begin_at(begun.size)? {
            return Ok(0);
        }
        let relied_on = |item: &Item| match item {
            Item::Data { id, .. } => self.blobs.has(id).unwrap_or(false),
            Item::Hole { .. } => true,
        };
        let mut taken_over = 0;
        for item in walk::Items::new(self.repository, begun).map_while(Result::ok).take_while(relied_on) {
            taken_over += item.len();
            items.known(item);
        }
        if taken_over < begun.size && !reading.begin_at(taken_over)? {
            return Err(io::Error::other("it can be read from its end on, and not from its middle"));
        }
        Ok(taken_over)
    }

    fn cut(&self, reading: &mut dyn Reading, size_hint: Option<u64>, items: &mut Items<'_>) -> io::Result<()> {
        while let Some(extent) = reading.next_extent()? {
            let hint = match extent {
                Extent::Hole(0) => continue,
                Extent::Hole(len) => {
                    items.known(Item::Hole { len });
                    continue;
                }
                Extent::Data(len) => len.or(size_hint),
            };
            let mut cutter = Chunks::new(&self.chunker, ReadExtent(&mut *reading), hint);
            while let Some(plain) = cutter.next_chunk()? {
                if self.is_stopped() {
                    return Err(io::Error::other("the backup was stopped"));
                }
                items.data(plain);
            }
        }
        Ok(())
    }
}

/// The items of one file, numbered as they come.
struct Items<'w> {
    pipeline: &'w Pipeline<'w>,
    ticket: Arc<Ticket>,
    chunks: &'w Sender<ChunkJob>,
    /// The number of the next.
    number: u64,
    /// That of the first of this reading.
    first: u64,
    /// Bytes of this reading.
    bytes: u64,
    /// What there is so far, while it is short enough to stand in the entry.
    short: Vec<u8>,
    /// Chunks are not shared out.
    alone: bool,
}

impl<'w> Items<'w> {
    fn new(pipeline: &'w Pipeline<'w>, ticket: Ticket, chunks: &'w Sender<ChunkJob>) -> Self {
        let ticket = Arc::new(ticket);
        Items { pipeline, ticket, chunks, number: 0, first: 0, bytes: 0, short: Vec::new(), alone: false }
    }

    /// From here on it is another reading; what came before is not of this file.
    fn begin(&mut self, is_as_found: bool) {
        self.pipeline.blobs.counters().bytes_done.fetch_sub(std::mem::take(&mut self.bytes), Relaxed);
        self.first = self.number;
        self.short.clear();
        self.ticket.begin(self.first, is_as_found);
    }

    /// What need not be read.
    fn known(&mut self, item: Item) {
        self.no_longer_short();
        self.count(item.len());
        self.ticket.item(self.pipeline.blobs, self.number, Ok(item));
        self.number += 1;
    }

    fn data(&mut self, plain: Vec<u8>) {
        self.pipeline.work.fetch_add(plain.len() as u64, Relaxed);
        self.count(plain.len() as u64);
        if self.number == self.first && self.short.len() + plain.len() <= INLINE_MAX {
            return self.short.extend_from_slice(&plain);
        }
        self.no_longer_short();
        self.chunk(plain, self.alone);
    }

    fn count(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.pipeline.blobs.counters().bytes_done.fetch_add(bytes, Relaxed);
    }

    fn no_longer_short(&mut self) {
        if !self.short.is_empty() {
            let plain = std::mem::take(&mut self.short);
            self.chunk(plain, true);
        }
    }

    fn chunk(&mut self, plain: Vec<u8>, alone: bool) {
        let job = ChunkJob { plain, number: self.number, ticket: Arc::clone(&self.ticket) };
        self.number += 1;
        self.pipeline.chunks_on_the_way.fetch_add(1, Relaxed);
        if alone {
            return self.pipeline.do_chunk(job);
        }
        match self.chunks.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => self.pipeline.do_chunk(job),
        }
    }

    fn all_read(self, file: WholeFile) {
        let WholeFile { description, trouble, taken_over } = file;
        let read = AllRead { count: self.number, short: self.short, description, trouble, taken_over };
        self.ticket.all_read(self.pipeline.blobs, read);
    }
}

/// The bytes of one data stretch, as `Read` wants them.
struct ReadExtent<'a>(&'a mut dyn Reading);

impl Read for ReadExtent<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}
