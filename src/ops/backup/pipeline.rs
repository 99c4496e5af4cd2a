//! The threads of a backup: files go in, contents come out in any order.
//!
//! Each worker takes whole files, and shares out the chunks of a long one; a worker that finds the queue
//! of chunks full does the chunk itself, so that nobody ever waits for a place in it.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};

use super::blobs::Blobs;
use super::promise::{AllRead, FileOutcome, Promise, Ticket, promise};
use crate::chunk::{Chunker, Chunks};
use crate::format::content::{Content, Item};
use crate::format::limits::INLINE_MAX;
use crate::format::pack::BlobKind;
use crate::ops::source::{Description, Extent, Reading, Trouble};
use crate::repo::walk;
use crate::repo::{RepoError, Repository};

/// Chunks that wait for a worker: bounds memory to so many of the longest.
const WAITING_CHUNKS: usize = 8;
/// Files that wait for a worker.
const WAITING_FILES: usize = 64;
/// How long the walker waits for workers before it looks whether there is something else to be done.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);
/// How often the walker looks, when it was interrupted, whether chunks are still on their way; and how long.
const GRACE: (Duration, u32) = (Duration::from_millis(5), 400);

/// Why a backup ends without a snapshot.
pub(super) enum Failure {
    Repository(RepoError),
    Source(Trouble),
    Interrupted,
}

impl From<RepoError> for Failure {
    fn from(error: RepoError) -> Self {
        Failure::Repository(error)
    }
}

/// Opens and describes a file when a worker gets to it.
pub(super) type Open<'s> = Box<dyn FnOnce() -> Result<Opened, Trouble> + Send + 's>;

/// A file that is about to be read.
pub(super) struct Opened {
    pub reading: Box<dyn Reading + Send>,
    pub description: Description,
    /// Why the description is not all that there is to say.
    pub trouble: Option<Trouble>,
}

/// What a worker is told of a file.
pub(super) struct Order<'s> {
    pub open: Open<'s>,
    pub path: String,
    pub size_hint: Option<u64>,
    /// Its beginning, as an interrupted backup read it.
    pub begun: Option<Content>,
}

/// A file to be read.
struct FileJob<'s> {
    order: Order<'s>,
    ticket: Ticket,
}

/// A chunk of a long file.
struct ChunkJob {
    plain: Vec<u8>,
    number: u64,
    ticket: Arc<Ticket>,
}

/// The workers' common ground.
pub(super) struct Pipeline<'a> {
    repository: &'a Repository,
    blobs: &'a Blobs<'a>,
    chunker: Chunker,
    threads: usize,
    stop: AtomicBool,
    work: AtomicU64,
    chunks_on_the_way: AtomicU64,
    interrupted: &'a (dyn Fn() -> bool + Sync),
}

/// Where the walker hands in files, while the workers run.
pub(super) struct Running<'p, 's> {
    pub blobs: &'p Blobs<'p>,
    pub repository: &'p Repository,
    /// Goes up with each file that is opened, and each byte that is read.
    pub work: &'p AtomicU64,
    chunks_on_the_way: &'p AtomicU64,
    files: Sender<FileJob<'s>>,
}

impl<'a> Pipeline<'a> {
    pub fn new(
        repository: &'a Repository,
        blobs: &'a Blobs<'a>,
        threads: usize,
        interrupted: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Self, RepoError> {
        let chunker = Chunker::new(repository.objects().keys().chunking(), repository.chunker_params()?);
        let (threads, stop) = (threads.max(1), AtomicBool::new(false));
        let (work, chunks_on_the_way) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Pipeline { repository, blobs, chunker, threads, stop, work, chunks_on_the_way, interrupted })
    }

    /// Runs the workers while `walk` hands in files.
    pub fn run<'s, T>(&self, walk: impl FnOnce(&Running<'_, 's>) -> Result<T, Failure>) -> Result<T, Failure> {
        let (files, waiting_files) = bounded(WAITING_FILES);
        let (chunks, waiting_chunks) = bounded(WAITING_CHUNKS);
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                let (files, waiting) = (waiting_files.clone(), waiting_chunks.clone());
                let chunks = chunks.clone();
                scope.spawn(move || self.work(&files, &waiting, &chunks));
            }
            drop((chunks, waiting_files, waiting_chunks));
            let running = self.running(files);
            let walked = walk(&running);
            drop(running);
            // The walk's end closes the queue of files; what still waits after a failure is not begun.
            if walked.is_err() {
                self.stop.store(true, Relaxed);
            }
            walked
        })
    }

    fn running<'s>(&self, files: Sender<FileJob<'s>>) -> Running<'_, 's> {
        let Pipeline { repository, blobs, work, chunks_on_the_way, .. } = self;
        Running { repository, blobs, work, chunks_on_the_way, files }
    }

    fn work(&self, files: &Receiver<FileJob<'_>>, waiting: &Receiver<ChunkJob>, chunks: &Sender<ChunkJob>) {
        loop {
            // Chunks first: they are in memory, files are not.
            if let Ok(job) = waiting.try_recv() {
                self.do_chunk(job);
                continue;
            }
            crossbeam_channel::select! {
                recv(waiting) -> job => {
                    if let Ok(job) = job {
                        self.do_chunk(job);
                    }
                }
                recv(files) -> job => match job {
                    Ok(job) => self.do_file(job, chunks),
                    Err(_) => break,
                },
            }
        }
        // Other workers may still be sharing out their last file; each finishes what it can get.
        while let Ok(job) = waiting.try_recv() {
            self.do_chunk(job);
        }
    }

    fn do_chunk(&self, job: ChunkJob) {
        let ChunkJob { plain, number, ticket } = job;
        ticket.item(self.blobs, number, self.save_chunk(plain));
        self.chunks_on_the_way.fetch_sub(1, Relaxed);
    }

    fn save_chunk(&self, plain: Vec<u8>) -> Result<Item, RepoError> {
        let len = u32::try_from(plain.len()).expect("the chunker's greatest length is far below 4 GiB");
        let id = self.blobs.save(BlobKind::Data, plain)?;
        Ok(Item::Data { id, len })
    }

    fn do_file(&self, job: FileJob<'_>, chunks: &Sender<ChunkJob>) {
        let FileJob { order, ticket } = job;
        let Order { open, path, size_hint, begun } = order;
        if self.is_stopped() {
            return;
        }
        self.blobs.counters().current.set(path.as_bytes());
        self.work.fetch_add(1, Relaxed);
        let Opened { reading, description, trouble } = match open() {
            Ok(opened) => opened,
            Err(trouble) => return ticket.settle(Ok(FileOutcome::Failed(trouble))),
        };
        let mut file = OpenFile { reading, size_hint, path };
        let mut items = Items { pipeline: self, ticket: Arc::new(ticket), chunks, number: 0, short: Vec::new() };
        // One chunk is done here and now: handing it over would cost more than it gains.
        let alone = size_hint.is_some_and(|size| self.chunker.is_one_chunk(size));
        let taken_over = begun.map_or(Ok(0), |begun| self.take_over(&begun, &mut file, &mut items));
        match taken_over.and_then(|taken_over| self.cut(&mut file, &mut items, alone).map(|()| taken_over)) {
            Ok(taken_over) => {
                let trouble = file.finish().or(trouble);
                items.all_read(description, trouble, taken_over);
            }
            Err(error) => items.ticket.settle(Ok(FileOutcome::Failed(file.unreadable(&error)))),
        }
    }

    /// Takes over what an interrupted backup read of a file, as far as it can be relied on, and goes on reading
    /// after that: where a chunk ends decides where the next one does, and nothing before it.
    fn take_over(&self, begun: &Content, file: &mut OpenFile, items: &mut Items<'_>) -> io::Result<u64> {
        if !file.reading.begin_at(begun.size)? {
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
        if taken_over < begun.size && !file.reading.begin_at(taken_over)? {
            return Err(io::Error::other("it can be read from its end on, and not from its middle"));
        }
        Ok(taken_over)
    }

    fn cut(&self, file: &mut OpenFile, items: &mut Items<'_>, alone: bool) -> io::Result<()> {
        while let Some(extent) = file.reading.next_extent()? {
            let hint = match extent {
                Extent::Hole(0) => continue,
                Extent::Hole(len) => {
                    items.known(Item::Hole { len });
                    continue;
                }
                Extent::Data(len) => len.or(file.size_hint),
            };
            let mut cutter = Chunks::new(&self.chunker, ReadExtent(&mut *file.reading), hint);
            while let Some(plain) = cutter.next_chunk()? {
                if self.is_stopped() {
                    return Err(io::Error::other("the backup was stopped"));
                }
                items.data(plain, alone);
            }
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed) || (self.interrupted)()
    }

    fn count_read(&self, bytes: u64) {
        self.work.fetch_add(bytes, Relaxed);
        self.count_done(bytes);
    }

    fn count_done(&self, bytes: u64) {
        self.blobs.counters().bytes_done.fetch_add(bytes, Relaxed);
    }
}

/// The items of one file, numbered as they come.
struct Items<'w> {
    pipeline: &'w Pipeline<'w>,
    ticket: Arc<Ticket>,
    chunks: &'w Sender<ChunkJob>,
    number: u64,
    /// What there is so far, while it is short enough to stand in the entry.
    short: Vec<u8>,
}

impl Items<'_> {
    /// What need not be read.
    fn known(&mut self, item: Item) {
        self.no_longer_short();
        self.pipeline.count_done(item.len());
        self.ticket.item(self.pipeline.blobs, self.number, Ok(item));
        self.number += 1;
    }

    fn data(&mut self, plain: Vec<u8>, alone: bool) {
        self.pipeline.count_read(plain.len() as u64);
        if self.number == 0 && self.short.len() + plain.len() <= INLINE_MAX {
            return self.short.extend_from_slice(&plain);
        }
        self.no_longer_short();
        self.chunk(plain, alone);
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

    fn all_read(self, description: Description, trouble: Option<Trouble>, taken_over: u64) {
        let read = AllRead { count: self.number, short: self.short, description, trouble, taken_over };
        self.ticket.all_read(self.pipeline.blobs, read);
    }
}

impl<'s> Running<'_, 's> {
    /// After an interruption: waits for chunks that were read and are not stored yet, but not for long. One that
    /// is late hides all that come after it in its file.
    pub fn settle(&self) {
        let (pause, looks) = GRACE;
        for _ in 0..looks {
            if self.chunks_on_the_way.load(Relaxed) == 0 {
                return;
            }
            std::thread::sleep(pause);
        }
    }

    /// Hands in a file; what it holds will be there. While no worker has room for it, `meanwhile` is called
    /// now and then.
    pub fn read(
        &self,
        order: Order<'s>,
        meanwhile: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<Promise, Failure> {
        let (ticket, promise) = promise();
        let mut job = FileJob { order, ticket };
        while let Err(SendTimeoutError::Timeout(waiting)) = self.files.send_timeout(job, PATIENCE) {
            meanwhile()?;
            job = waiting;
        }
        // Workers live as long as the walk; were they gone, the ticket would have broken the promise.
        Ok(promise)
    }
}

/// A file that is being read.
struct OpenFile {
    reading: Box<dyn Reading + Send>,
    size_hint: Option<u64>,
    path: String,
}

impl OpenFile {
    /// Whether it changed while it was read.
    fn finish(self) -> Option<Trouble> {
        let why = self.reading.finish().err()?;
        Some(Trouble { path: self.path, why })
    }

    fn unreadable(&self, error: &io::Error) -> Trouble {
        Trouble { path: self.path.clone(), why: format!("cannot read it: {error}") }
    }
}

/// The bytes of one data stretch, as `Read` wants them.
struct ReadExtent<'a>(&'a mut (dyn Reading + Send));

impl Read for ReadExtent<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}
