//! What a faulty store is asked, what may go wrong with it, and the log of both.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a store can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// A whole object is read.
    Get,
    /// A part of an object is read.
    GetRange,
    /// An object's length is asked for.
    Len,
    /// A whole object is stored.
    Put,
    /// An object is begun whose name is not known yet.
    Stage,
    /// A piece of a staged object.
    Write,
    /// A staged object gets its name.
    Commit,
    /// An object is removed.
    Delete,
    /// Objects are listed.
    List,
}

impl Verb {
    /// Whether it changes what the store holds.
    pub fn changes(self) -> bool {
        matches!(self, Self::Put | Self::Commit | Self::Delete)
    }

    /// Whether bytes are on their way into the store, and can be torn.
    pub(super) fn stores(self) -> bool {
        matches!(self, Self::Put | Self::Write | Self::Commit)
    }
}

/// One call, as rules see it before it is done and as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// How many calls began before this one.
    pub nth: u64,
    /// How many puts, commits and deletes began before this one.
    pub nth_change: u64,
    /// What is asked.
    pub verb: Verb,
    /// The object, or the directory that is listed; empty while a staged object has no name.
    pub name: String,
    /// Bytes that were put, written or committed; for reads, in the log only, bytes that were found.
    pub bytes: u64,
    /// What went wrong with it on purpose; in the log only.
    pub fault: Option<Fault>,
}

/// What can go wrong with a call. `Fail` to `Torn` are reported to the caller, `Cut` and `Flip` are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens.
    Fail,
    /// Nothing happens, because no room is left.
    Full,
    /// Nothing happens, because it is not allowed.
    Deny,
    /// Nothing happens, now and for every later call: the process is gone.
    Crash,
    /// It happens, and is reported as failed: the answer got lost.
    Unclear,
    /// Only the first bytes are stored under the name, and it is reported as failed: what a store that
    /// is not atomic may do. Where nothing is stored, the same as `Fail`.
    Torn {
        /// How many bytes.
        keep: usize,
    },
    /// Only the first bytes are stored or read (of a listing: the first objects), and nobody is told.
    Cut {
        /// How many bytes.
        keep: usize,
    },
    /// One bit of this byte is stored or read wrong, and nobody is told. An offset beyond the end
    /// counts on from the start.
    Flip {
        /// Which one, counted around if the object is shorter.
        byte: usize,
    },
}

impl Fault {
    /// What becomes of bytes on their way.
    fn pass(self, mut bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Torn { keep } | Self::Cut { keep } => bytes.truncate(keep),
            Self::Flip { byte } if !bytes.is_empty() => {
                let at = byte % bytes.len();
                bytes[at] ^= 1;
            }
            _ => {}
        }
        bytes
    }
}

impl Call {
    /// The bytes that arrive.
    pub(super) fn pass(&self, bytes: Vec<u8>) -> Vec<u8> {
        match self.fault {
            Some(fault) => fault.pass(bytes),
            None => bytes,
        }
    }

    /// Whether other bytes arrive than were sent.
    pub(super) fn alters(&self) -> bool {
        use Fault::{Cut, Flip, Torn};
        matches!(self.fault, Some(Torn { .. } | Cut { .. } | Flip { .. }))
    }
}

pub(super) type Rule = Arc<dyn Fn(&Call) -> Option<Fault> + Send + Sync>;

/// The rules and the log; what clones of a faulty store share.
#[derive(Default)]
pub(super) struct Script(Mutex<State>);

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    /// The call numbered `nth` stands at `nth`.
    log: Vec<Call>,
    changes: u64,
    crashed: bool,
}

impl Script {
    pub(super) fn add(&self, rule: Rule) {
        self.lock().rules.push(rule);
    }

    pub(super) fn log(&self) -> Vec<Call> {
        self.lock().log.clone()
    }

    pub(super) fn restart(&self) {
        *self.lock() = State::default();
    }

    /// Logs a call, and asks the rules about it. Nothing is locked while they think, so that they may
    /// let others use the store.
    pub(super) fn judge(&self, verb: Verb, name: &str, bytes: u64) -> Call {
        let (mut call, rules) = self.lock().begin(verb, name, bytes);
        call.fault = call.fault.or_else(|| rules.iter().find_map(|rule| rule(&call)));
        self.lock().settle(&call);
        call
    }

    pub(super) fn note_bytes(&self, call: &Call, bytes: u64) {
        if let Some(logged) = self.lock().logged(call) {
            logged.bytes = bytes;
        }
    }

    /// A thread that panicked in a rule held no lock; one that panicked elsewhere left whole values.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, verb: Verb, name: &str, bytes: u64) -> (Call, Vec<Rule>) {
        let call = Call {
            nth: self.log.len() as u64,
            nth_change: self.changes,
            verb,
            name: name.to_owned(),
            bytes,
            fault: self.crashed.then_some(Fault::Crash),
        };
        self.changes += u64::from(verb.changes());
        self.log.push(call.clone());
        (call, self.rules.clone())
    }

    fn settle(&mut self, call: &Call) {
        self.crashed |= call.fault == Some(Fault::Crash);
        if let Some(logged) = self.logged(call) {
            logged.fault = call.fault;
        }
    }

    fn logged(&mut self, call: &Call) -> Option<&mut Call> {
        self.log.get_mut(usize::try_from(call.nth).ok()?)
    }
}
