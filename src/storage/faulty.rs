//! A store that fails on purpose, and remembers what it was asked: the one double for every test.
//!
//! ```
//! use keepstone::storage::{Fault, FaultyStore, MemoryStore, ObjectName, Store, Verb};
//!
//! let memory = MemoryStore::new();
//! let store = FaultyStore::new(memory.clone())
//!     .fault_once(Fault::Unclear, |call| call.verb == Verb::Put && call.name.starts_with("index/"))
//!     .crash_after(2);
//!
//! let name = ObjectName::new("index/00").unwrap();
//! assert!(store.put(&name, b"segment").is_err()); // its answer got lost …
//! assert_eq!(memory.get(&name, 100).unwrap(), b"segment"); // … after it had happened
//! assert!(store.put(&name, b"segment").is_ok());
//! assert!(store.get(&name, 100).is_err()); // the process is gone
//! assert_eq!(store.count(Verb::Put), 2);
//! ```
//!
//! What a crash leaves is what the store below holds: puts and commits that returned are in it, an
//! object that was staged and not committed is not.

mod rules;

use super::{Listed, ObjectName, Result, Staged, Store, StoreError};
use rules::Script;
pub use rules::{Call, Fault, Verb};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Passes every call on to another store, unless a rule says otherwise. Clones share rules and log.
///
/// Rules are asked in the order in which they were added, and the first that names a fault wins. They
/// may use the store below, so that a rule can let another actor take a step between two calls.
#[derive(Clone)]
pub struct FaultyStore {
    below: Arc<dyn Store>,
    script: Arc<Script>,
}

/// The rules. Each returns the store, so that a test reads as one sentence; to add one later, add it
/// to a clone.
impl FaultyStore {
    /// A store like `below`, without a rule yet.
    pub fn new(below: impl Store + 'static) -> Self {
        Self { below: Arc::new(below), script: Arc::default() }
    }

    /// The general rule: asked before each call is done.
    pub fn rule(self, rule: impl Fn(&Call) -> Option<Fault> + Send + Sync + 'static) -> Self {
        self.script.add(Arc::new(rule));
        self
    }

    /// Every call of this kind fails, and nothing happens.
    pub fn fail(self, which: impl Fn(&Call) -> bool + Send + Sync + 'static) -> Self {
        self.fault(Fault::Fail, which)
    }

    /// Every call of this kind has this fault.
    pub fn fault(self, fault: Fault, which: impl Fn(&Call) -> bool + Send + Sync + 'static) -> Self {
        self.rule(move |call| which(call).then_some(fault))
    }

    /// The first call of this kind has this fault, the later ones are as usual.
    pub fn fault_once(self, fault: Fault, which: impl Fn(&Call) -> bool + Send + Sync + 'static) -> Self {
        let spent = AtomicBool::new(false);
        self.rule(move |call| {
            let strikes = which(call) && !spent.swap(true, Ordering::SeqCst);
            strikes.then_some(fault)
        })
    }

    /// The `nth` call, counted from 0, has this fault.
    pub fn fault_at(self, nth: u64, fault: Fault) -> Self {
        self.fault(fault, move |call| call.nth == nth)
    }

    /// The first `calls` calls are done, and then the process is gone.
    pub fn crash_after(self, calls: u64) -> Self {
        self.fault(Fault::Crash, move |call| call.nth >= calls)
    }

    /// The first `changes` puts, commits and deletes are done, and the next one finds the process gone.
    /// From 0 up to [`changes`](Self::changes) of a run without faults, these are all the states in
    /// which a crash can leave a store.
    pub fn crash_after_changes(self, changes: u64) -> Self {
        self.fault(Fault::Crash, move |call| call.verb.changes() && call.nth_change >= changes)
    }

    /// Forgets rules, log and crash: the same place, a new process.
    pub fn restart(&self) {
        self.script.restart();
    }
}

/// The log.
impl FaultyStore {
    /// Every call so far, in the order in which they began.
    pub fn calls(&self) -> Vec<Call> {
        self.script.log()
    }

    /// How often `verb` was asked for.
    pub fn count(&self, verb: Verb) -> u64 {
        let calls = self.calls();
        calls.iter().filter(|call| call.verb == verb).count() as u64
    }

    /// Puts, commits and deletes so far.
    pub fn changes(&self) -> u64 {
        let calls = self.calls();
        calls.iter().filter(|call| call.verb.changes()).count() as u64
    }

    /// How many calls met a fault: a test that injects one asserts that it struck.
    pub fn faults(&self) -> u64 {
        let calls = self.calls();
        calls.iter().filter(|call| call.fault.is_some()).count() as u64
    }
}

impl FaultyStore {
    /// Logs a call and settles what is to become of it: an error if nothing is.
    fn ask(&self, verb: Verb, name: &str, bytes: u64) -> Result<Call> {
        let call = self.script.judge(verb, name, bytes);
        match call.fault {
            Some(Fault::Fail | Fault::Full | Fault::Deny | Fault::Crash) => Err(self.injected(&call)),
            Some(Fault::Torn { .. }) if !verb.stores() => Err(self.injected(&call)),
            _ => Ok(call),
        }
    }

    /// What is reported of a call that was done.
    fn answer<T>(&self, call: &Call, value: T) -> Result<T> {
        match call.fault {
            Some(Fault::Unclear | Fault::Torn { .. }) => Err(self.injected(call)),
            _ => Ok(value),
        }
    }

    fn read(&self, call: &Call, bytes: Vec<u8>) -> Result<Vec<u8>> {
        self.script.note_bytes(call, bytes.len() as u64);
        self.answer(call, call.pass(bytes))
    }

    fn injected(&self, call: &Call) -> StoreError {
        let kind = match call.fault {
            Some(Fault::Full) => io::ErrorKind::StorageFull,
            Some(Fault::Deny) => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::Other,
        };
        let reason = format!("a fault was injected: {:?}", call.fault);
        self.failed(call, io::Error::new(kind, reason))
    }

    fn broken(&self, call: &Call) -> StoreError {
        let reason = "an earlier write of this object failed";
        self.failed(call, io::Error::other(reason))
    }

    fn failed(&self, call: &Call, error: io::Error) -> StoreError {
        let verb = format!("{:?}", call.verb).to_lowercase();
        StoreError::from_io(format!("{verb} {} in {}", call.name, self.place()), error)
    }
}

impl Store for FaultyStore {
    fn place(&self) -> String {
        self.below.place()
    }

    fn get(&self, name: &ObjectName, max_len: u64) -> Result<Vec<u8>> {
        let call = self.ask(Verb::Get, name.as_str(), 0)?;
        self.read(&call, self.below.get(name, max_len)?)
    }

    fn get_range(&self, name: &ObjectName, offset: u64, len: u64) -> Result<Vec<u8>> {
        let call = self.ask(Verb::GetRange, name.as_str(), 0)?;
        self.read(&call, self.below.get_range(name, offset, len)?)
    }

    fn len(&self, name: &ObjectName) -> Result<u64> {
        let call = self.ask(Verb::Len, name.as_str(), 0)?;
        self.answer(&call, self.below.len(name)?)
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        let call = self.ask(Verb::Put, name.as_str(), bytes.len() as u64)?;
        self.below.put(name, &call.pass(bytes.to_vec()))?;
        self.answer(&call, ())
    }

    fn put_once(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        let call = self.ask(Verb::Put, name.as_str(), bytes.len() as u64)?;
        self.below.put_once(name, &call.pass(bytes.to_vec()))?;
        self.answer(&call, ())
    }

    fn stage(&self) -> Result<Box<dyn Staged>> {
        let call = self.ask(Verb::Stage, "", 0)?;
        let staged = StagedFaulty { store: self.clone(), below: self.below.stage()?, written: Some(Vec::new()) };
        self.answer(&call, Box::new(staged))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        let call = self.ask(Verb::Delete, name.as_str(), 0)?;
        self.below.delete(name)?;
        self.answer(&call, ())
    }

    fn list(&self, dir: &str, each: &mut dyn FnMut(Listed) -> Result<()>) -> Result<()> {
        let call = self.ask(Verb::List, dir, 0)?;
        let mut shown = match call.fault {
            Some(Fault::Cut { keep }) => keep,
            _ => usize::MAX,
        };
        self.below.list(dir, &mut |object| match shown {
            0 => Ok(()),
            _ => {
                shown -= 1;
                each(object)
            }
        })?;
        self.answer(&call, ())
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({:?})", self.below)
    }
}

struct StagedFaulty {
    store: FaultyStore,
    below: Box<dyn Staged>,
    /// A copy, for a commit that stores something else; `None` once a write failed.
    written: Option<Vec<u8>>,
}

impl StagedFaulty {
    fn write_through(&mut self, bytes: &[u8]) -> Result<()> {
        let call = self.store.ask(Verb::Write, "", bytes.len() as u64)?;
        let bytes = call.pass(bytes.to_vec());
        match &mut self.written {
            Some(written) => written.extend_from_slice(&bytes),
            None => return Err(self.store.broken(&call)),
        }
        self.below.write(&bytes)?;
        self.store.answer(&call, ())
    }
}

impl Staged for StagedFaulty {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let result = self.write_through(bytes);
        if result.is_err() {
            self.written = None;
        }
        result
    }

    fn commit(self: Box<Self>, name: &ObjectName) -> Result<()> {
        let Self { store, below, written } = *self;
        let len = written.as_ref().map_or(0, Vec::len) as u64;
        let call = store.ask(Verb::Commit, name.as_str(), len)?;
        match written {
            None => return Err(store.broken(&call)),
            Some(written) if call.alters() => store.below.put(name, &call.pass(written))?,
            Some(_) => below.commit(name)?,
        }
        store.answer(&call, ())
    }
}
