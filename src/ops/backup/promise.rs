//! Promises: the content of a file that others are still reading, chunk by chunk and in any order.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::blobs::Blobs;
use crate::format::content::{Content, Item};
use crate::format::limits::INLINE_MAX;
use crate::ops::source::{Description, Trouble};
use crate::repo::RepoError;
use crate::repo::split::ContentBuilder;

/// What came of a file.
pub(super) enum FileOutcome {
    /// It was read, with whatever is not right about it.
    Read(Box<ReadFile>),
    /// Nothing that is worth keeping.
    Failed(Trouble),
}

/// A file that was read.
#[derive(Clone)]
pub(super) struct ReadFile {
    pub content: Content,
    pub description: Description,
    /// It changed meanwhile, or attributes are missing.
    pub trouble: Option<Trouble>,
    /// Bytes at its beginning that an earlier, interrupted backup had read.
    pub taken_over: u64,
}

/// What there is of a file while it may still be read.
pub(super) enum SoFar {
    /// All of it.
    Done(Box<ReadFile>),
    /// Its beginning, up to a chunk's end.
    Begun(Content),
    /// Nothing, or too little to be worth a word.
    Nothing,
}

/// A content that will be there.
pub(super) struct Promise(Arc<Slot>);

/// The worker's end of a promise; dropped unkept, the promise is broken rather than waited for forever.
pub(super) struct Ticket(Arc<Slot>);

#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    settled: Condvar,
}

#[derive(Default)]
struct State {
    /// What is read now is not what the walk found.
    is_another: bool,
    builder: Option<ContentBuilder>,
    next: u64,
    /// Items that came before their turn.
    early: BTreeMap<u64, Item>,
    read: Option<AllRead>,
    outcome: Option<Result<FileOutcome, RepoError>>,
}

/// A file that was read to its end.
pub(super) struct AllRead {
    /// How many items there were, those of readings that were given up among them.
    pub count: u64,
    /// All of it, if it has none.
    pub short: Vec<u8>,
    pub description: Description,
    pub trouble: Option<Trouble>,
    pub taken_over: u64,
}

/// Both ends of a new promise.
pub(super) fn promise() -> (Ticket, Promise) {
    let slot = Arc::new(Slot::default());
    (Ticket(Arc::clone(&slot)), Promise(slot))
}

impl Promise {
    /// Whether it is known what came of the file.
    pub fn is_settled(&self) -> bool {
        self.0.lock().outcome.is_some()
    }

    /// Waits for that, but not longer than `patience`; says whether it is known.
    pub fn wait(&self, patience: Duration) -> bool {
        let unsettled = |state: &mut State| state.outcome.is_none();
        let waited = self.0.settled.wait_timeout_while(self.0.lock(), patience, unsettled);
        waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0.outcome.is_some()
    }

    /// What came of the file, once it [is settled](Self::is_settled).
    pub fn take(self) -> Result<FileOutcome, RepoError> {
        self.0.lock().outcome.take().unwrap_or_else(|| Err(broken()))
    }

    /// What there is of it now. Others go on reading.
    pub fn so_far(&self, blobs: &Blobs<'_>) -> Result<SoFar, RepoError> {
        let begun = {
            let state = self.0.lock();
            match (&state.outcome, &state.builder) {
                (Some(Ok(FileOutcome::Read(read))), _) => return Ok(SoFar::Done(read.clone())),
                // What fits an entry is never worth going on in.
                (_, Some(builder)) if builder.size() > INLINE_MAX as u64 && !state.is_another => builder.clone(),
                _ => return Ok(SoFar::Nothing),
            }
        };
        begun.finish(blobs.keys(), &mut |kind, plain| blobs.save(kind, plain)).map(SoFar::Begun)
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
    /// Says what came of the file, if that was not said before.
    pub fn settle(&self, outcome: Result<FileOutcome, RepoError>) {
        self.0.settle(&mut self.0.lock(), outcome);
    }

    /// From here on the file is read once more: only items from number `first` on are its content.
    pub fn begin(&self, first: u64, is_as_found: bool) {
        let mut state = self.0.lock();
        (state.builder, state.next, state.is_another) = (None, first, !is_as_found);
        state.early.clear();
    }

    /// Takes item `number`, whenever it comes.
    pub fn item(&self, blobs: &Blobs<'_>, number: u64, item: Result<Item, RepoError>) {
        let mut state = self.0.lock();
        match item {
            Ok(_) if number < state.next => {}
            Ok(item) => {
                state.early.insert(number, item);
                self.advance(blobs, state);
            }
            Err(error) => self.0.settle(&mut state, Err(error)),
        }
    }

    /// The file has been read to its end; some of its items may still be on their way.
    pub fn all_read(&self, blobs: &Blobs<'_>, read: AllRead) {
        let mut state = self.0.lock();
        state.read = Some(read);
        self.advance(blobs, state);
    }

    /// Moves items whose turn it is into the content, and ends it after the last.
    fn advance(&self, blobs: &Blobs<'_>, mut state: MutexGuard<'_, State>) {
        let keys = blobs.keys();
        let mut save = |kind, plain| blobs.save(kind, plain);
        let state = &mut *state;
        while let Some(item) = state.early.remove(&state.next) {
            state.next += 1;
            if let Err(error) = state.builder.get_or_insert_default().push(keys, item, &mut save) {
                return self.0.settle(state, Err(error));
            }
        }
        let next = state.next;
        if let Some(read) = state.read.take_if(|read| read.count == next) {
            let AllRead { short, description, trouble, taken_over, .. } = read;
            let content = match (state.builder.take(), ContentBuilder::inline(short)) {
                (None, Some(content)) => Ok(content),
                (builder, _) => builder.unwrap_or_default().finish(keys, &mut save),
            };
            let read = |content| FileOutcome::Read(Box::new(ReadFile { content, description, trouble, taken_over }));
            self.0.settle(state, content.map(read));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.settle(&mut self.0.lock(), Err(broken()));
    }
}

fn broken() -> RepoError {
    RepoError::Conflict("the backup was stopped before this file was read".into())
}
