//! Reading ahead: chunks are asked for before their turn, and come in order.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::format::tree::Entry;
use crate::id::BlobId;
use crate::repo::{RepoError, Repository};

/// Pieces that wait for their turn; each may be a chunk of up to 16 MiB.
const AHEAD: usize = 8;
/// Chunks that are read at one time: so many answers of a distant store are waited for at once.
const READERS: usize = 4;

/// A piece of what is dumped, before it is read.
pub(super) enum Piece {
    /// An entry begins.
    Entry { path: Vec<u8>, entry: Box<Entry> },
    /// A chunk of its content.
    Chunk { id: BlobId, len: u32 },
    /// Zeros in its content.
    Hole(u64),
    /// Its content goes no further, because of this.
    Broken(RepoError),
    /// Its content is over.
    End,
    /// Part of a directory is missing, because of this.
    BrokenDirectory { path: Vec<u8>, error: RepoError },
}

/// A piece whose turn it is.
pub(super) enum Ready {
    /// A chunk of `len` bytes, or why it cannot be read.
    Chunk { len: u32, plain: Result<Vec<u8>, RepoError> },
    /// Anything else, as it was.
    Other(Piece),
}

type Answer = Result<Vec<u8>, RepoError>;

enum Waiting {
    Chunk { len: u32, answer: Receiver<Answer> },
    Other(Piece),
}

struct Request {
    id: BlobId,
    len: u32,
    answer: Sender<Answer>,
}

/// Pieces in order.
pub(super) struct Pieces(Receiver<Waiting>);

impl Iterator for Pieces {
    type Item = Ready;

    fn next(&mut self) -> Option<Ready> {
        Some(match self.0.recv().ok()? {
            Waiting::Other(piece) => Ready::Other(piece),
            // A reader answers every request, unless it panicked: that is passed on when all have ended.
            Waiting::Chunk { len, answer } => Ready::Chunk { len, plain: answer.recv().ok()? },
        })
    }
}

/// Gives `pieces` to `take` in order, read by then as far as possible.
pub(super) fn read<T>(
    repository: &Repository,
    pieces: impl Iterator<Item = Piece> + Send,
    take: impl FnOnce(Pieces) -> T,
) -> T {
    thread::scope(|scope| {
        let (requests, asked) = bounded::<Request>(AHEAD);
        let (line, turns) = bounded(AHEAD);
        scope.spawn(move || queue(pieces, &requests, &line));
        for _ in 0..READERS {
            let asked = asked.clone();
            scope.spawn(move || {
                for Request { id, len, answer } in asked {
                    // Nobody waits for it if the dump has ended early.
                    let _ = answer.send(repository.read_chunk(&id, len));
                }
            });
        }
        drop(asked);
        take(Pieces(turns))
    })
}

/// Queues up pieces until there are none, or nobody takes them any more.
fn queue(pieces: impl Iterator<Item = Piece>, requests: &Sender<Request>, line: &Sender<Waiting>) {
    for piece in pieces {
        let waiting = match piece {
            Piece::Chunk { id, len } => {
                let (sender, answer) = bounded(1);
                if requests.send(Request { id, len, answer: sender }).is_err() {
                    return;
                }
                Waiting::Chunk { len, answer }
            }
            other => Waiting::Other(other),
        };
        if line.send(waiting).is_err() {
            return;
        }
    }
}
