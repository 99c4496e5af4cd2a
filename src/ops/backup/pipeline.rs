//! The threads of a backup: files go in, contents come out in any order.
//!
//! Each worker takes whole files, and shares out the chunks of a long one; a worker that finds the queue
//! of chunks full does the chunk itself, so that nobody ever waits for a place in it.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::blobs::Blobs;
use crate::chunk::{Chunker, Chunks};
use crate::format::content::{Content, Item};
use crate::format::limits::INLINE_MAX;
use crate::format::pack::BlobKind;
use crate::ops::source::{Description, Extent, Reading, Trouble};
use crate::repo::split::ContentBuilder;
use crate::repo::{RepoError, Repository};

/// Chunks that wait for a worker: bounds memory to so many of the longest.
const WAITING_CHUNKS: usize = 8;
/// Files that wait for a worker.
const WAITING_FILES: usize = 64;

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

/// A file to be read.
struct FileJob<'s> {
    open: Open<'s>,
    path: String,
    size_hint: Option<u64>,
    ticket: Ticket,
}

/// A chunk of a long file.
struct ChunkJob {
    plain: Vec<u8>,
    number: u64,
    ticket: Arc<Ticket>,
}

/// What came of a file.
pub(super) enum FileOutcome {
    /// What was read, and what is not right about it: it changed meanwhile, or attributes are missing.
    Read(Content, Description, Option<Trouble>),
    /// Nothing that is worth keeping.
    Failed(Trouble),
}

/// A content that will be there.
pub(super) struct Promise(Arc<Slot>);

/// The worker's end of a promise; dropped unkept, the promise is broken rather than waited for forever.
struct Ticket(Arc<Slot>);

#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    settled: Condvar,
}

#[derive(Default)]
struct State {
    builder: Option<ContentBuilder>,
    next: u64,
    /// Items that came before their turn.
    early: BTreeMap<u64, Item>,
    read: Option<AllRead>,
    outcome: Option<Result<FileOutcome, RepoError>>,
}

/// A file that was read to its end.
struct AllRead {
    /// How many items it has.
    count: u64,
    /// All of it, if it has none.
    short: Vec<u8>,
    description: Description,
    trouble: Option<Trouble>,
}

/// The workers' common ground.
pub(super) struct Pipeline<'a> {
    repository: &'a Repository,
    blobs: &'a Blobs<'a>,
    chunker: Chunker,
    threads: usize,
    stop: AtomicBool,
    interrupted: &'a (dyn Fn() -> bool + Sync),
}

/// Where the walker hands in files, while the workers run.
pub(super) struct Running<'p, 's> {
    pub blobs: &'p Blobs<'p>,
    pub repository: &'p Repository,
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
        Ok(Pipeline { repository, blobs, chunker, threads: threads.max(1), stop: AtomicBool::new(false), interrupted })
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
            let walked = walk(&Running { blobs: self.blobs, repository: self.repository, files });
            // The walk's end closes the queue of files; what still waits after a failure is not begun.
            if walked.is_err() {
                self.stop.store(true, Relaxed);
            }
            walked
        })
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
        ticket.item(self, number, self.save_chunk(plain));
    }

    fn save_chunk(&self, plain: Vec<u8>) -> Result<Item, RepoError> {
        let len = u32::try_from(plain.len()).expect("the chunker's greatest length is far below 4 GiB");
        let id = self.blobs.save(BlobKind::Data, plain)?;
        Ok(Item::Data { id, len })
    }

    fn do_file(&self, job: FileJob<'_>, chunks: &Sender<ChunkJob>) {
        let FileJob { open, path, size_hint, ticket } = job;
        if self.is_stopped() {
            return;
        }
        self.blobs.counters().current.set(path.as_bytes());
        let Opened { reading, description, trouble } = match open() {
            Ok(opened) => opened,
            Err(trouble) => return ticket.settle(Ok(FileOutcome::Failed(trouble))),
        };
        let mut file = OpenFile { reading, size_hint, path };
        let mut items = Items { pipeline: self, ticket: Arc::new(ticket), chunks, number: 0, short: Vec::new() };
        // One chunk is done here and now: handing it over would cost more than it gains.
        let alone = size_hint.is_some_and(|size| self.chunker.is_one_chunk(size));
        match self.cut(&mut file, &mut items, alone) {
            Ok(()) => {
                let trouble = file.finish().or(trouble);
                items.all_read(description, trouble);
            }
            Err(error) => items.ticket.settle(Ok(FileOutcome::Failed(file.unreadable(&error)))),
        }
    }

    fn cut(&self, file: &mut OpenFile, items: &mut Items<'_>, alone: bool) -> io::Result<()> {
        while let Some(extent) = file.reading.next_extent()? {
            let hint = match extent {
                Extent::Hole(0) => continue,
                Extent::Hole(len) => {
                    items.hole(len);
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
    fn hole(&mut self, len: u64) {
        self.no_longer_short();
        self.pipeline.count_read(len);
        self.ticket.item(self.pipeline, self.number, Ok(Item::Hole { len }));
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
        if alone {
            return self.pipeline.do_chunk(job);
        }
        match self.chunks.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => self.pipeline.do_chunk(job),
        }
    }

    fn all_read(self, description: Description, trouble: Option<Trouble>) {
        let read = AllRead { count: self.number, short: self.short, description, trouble };
        self.ticket.all_read(self.pipeline, read);
    }
}

impl<'s> Running<'_, 's> {
    /// Hands in a file; what it holds will be there.
    pub fn read(&self, path: String, size_hint: Option<u64>, open: Open<'s>) -> Promise {
        let slot = Arc::new(Slot::default());
        let ticket = Ticket(Arc::clone(&slot));
        // Workers live as long as the walk; were they gone, the ticket would break the promise.
        let _ = self.files.send(FileJob { open, path, size_hint, ticket });
        Promise(slot)
    }
}

impl Promise {
    /// Whether waiting would end at once.
    pub fn is_settled(&self) -> bool {
        self.0.lock().outcome.is_some()
    }

    /// What came of the file.
    pub fn wait(self) -> Result<FileOutcome, RepoError> {
        let mut state = self.0.lock();
        loop {
            match state.outcome.take() {
                Some(outcome) => return outcome,
                None => state = self.0.settled.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner()),
            }
        }
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn settle(&self, state: &mut State, outcome: Result<FileOutcome, RepoError>) {
        // The first word counts: a file that failed does not become whole by a late chunk.
        if state.outcome.is_none() {
            state.outcome = Some(outcome);
            self.settled.notify_all();
        }
    }
}

impl Ticket {
    fn settle(&self, outcome: Result<FileOutcome, RepoError>) {
        self.0.settle(&mut self.0.lock(), outcome);
    }

    /// Takes item `number`, whenever it comes.
    fn item(&self, pipeline: &Pipeline<'_>, number: u64, item: Result<Item, RepoError>) {
        let mut state = self.0.lock();
        match item {
            Ok(item) => {
                state.early.insert(number, item);
                self.advance(pipeline, state);
            }
            Err(error) => self.0.settle(&mut state, Err(error)),
        }
    }

    fn all_read(&self, pipeline: &Pipeline<'_>, read: AllRead) {
        let mut state = self.0.lock();
        state.read = Some(read);
        self.advance(pipeline, state);
    }

    /// Moves items whose turn it is into the content, and ends it after the last.
    fn advance(&self, pipeline: &Pipeline<'_>, mut state: MutexGuard<'_, State>) {
        let keys = pipeline.blobs.keys();
        let mut save = |kind, plain| pipeline.blobs.save(kind, plain);
        let state = &mut *state;
        while let Some(item) = state.early.remove(&state.next) {
            state.next += 1;
            if let Err(error) = state.builder.get_or_insert_default().push(keys, item, &mut save) {
                return self.0.settle(state, Err(error));
            }
        }
        let next = state.next;
        if let Some(read) = state.read.take_if(|read| read.count == next) {
            let content = match (state.builder.take(), ContentBuilder::inline(read.short)) {
                (None, Some(content)) => Ok(content),
                (builder, _) => builder.unwrap_or_default().finish(keys, &mut save),
            };
            let outcome = content.map(|content| FileOutcome::Read(content, read.description, read.trouble));
            self.0.settle(state, outcome);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let broken = RepoError::Conflict("the backup was stopped before this file was read".into());
        self.0.settle(&mut self.0.lock(), Err(broken));
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
