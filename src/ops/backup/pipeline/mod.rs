//! The threads of a backup: files go in, contents come out in any order.
//!
//! Each worker takes whole files, and shares out the chunks of a long one; a worker that finds the queue
//! of chunks full does the chunk itself, so that nobody ever waits for a place in it.

mod reading;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};

use super::blobs::Blobs;
use super::promise::{Promise, Ticket, promise};
use crate::chunk::Chunker;
use crate::format::content::Item;
use crate::format::pack::BlobKind;
use crate::ops::source::Trouble;
use crate::repo::{RepoError, Repository};

pub(super) use reading::{Opened, Order};

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

    fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed) || (self.interrupted)()
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
