//! Opaque objects in a place: the only door to where a repository is kept.
//!
//! A [`Store`] holds named byte strings and knows nothing of what is in them. What the layers above
//! lean on, and what one contract suite (`tests/storage_contract.rs`) asks of every store:
//!
//! - a put that returned is durable, and no reader ever sees half of it;
//! - a listing shows every object that was there throughout it;
//! - a read after a finished delete fails with [`StoreError::NotFound`];
//! - nothing is allocated that the caller did not ask for.
//!
//! After a put, a commit or a delete that failed, the object is as it was or as it should have become,
//! never in between; the caller cannot know which, and looks if it matters.

mod error;
mod faulty;
mod limit;
mod local;
mod memory;
mod name;
pub mod remote;

pub use error::{Result, StoreError};
pub use faulty::{Call, Fault, FaultyStore, Verb};
pub use limit::{LimitedStore, Limits, Rate};
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use name::{BadName, ObjectName};

use std::fmt::Debug;

/// One object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listed {
    /// Its name.
    pub name: ObjectName,
    /// Bytes.
    pub len: u64,
}

/// A place that holds objects. Shared by threads: every method takes `&self` and may run at any time.
///
/// No name should also be the directory of another (`packs` beside `packs/ab`): some stores can hold
/// both, a file system cannot, and says so when it is asked.
pub trait Store: Send + Sync + Debug {
    /// Where this is, for people: `/srv/backup`.
    fn place(&self) -> String;

    /// The whole object. One that is longer than `max_len` is [`StoreError::TooLong`], found out before
    /// any memory is given to it.
    fn get(&self, name: &ObjectName, max_len: u64) -> Result<Vec<u8>>;

    /// `len` bytes from `offset`, or as many of them as the object has: a short read shows in the
    /// length, and one that begins beyond the end is empty. Never allocates more than `len`.
    fn get_range(&self, name: &ObjectName, offset: u64, len: u64) -> Result<Vec<u8>>;

    /// How many bytes the object has.
    fn len(&self, name: &ObjectName) -> Result<u64>;

    /// Stores a whole object, replacing one of the same name in one step. Durable when it returns.
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()>;

    /// The same, and never more than once: a store that tries again by itself what may have failed does not do so
    /// here. For what must not appear after its writer has given it up.
    fn put_once(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        self.put(name, bytes)
    }

    /// Stores an object unless there is one of that name, and says whether it did. Only where the store does that in one
    /// step is one of two at the same time told so for certain; elsewhere it is looked, and then put.
    fn put_new(&self, name: &ObjectName, bytes: &[u8]) -> Result<bool> {
        look_and_put(self, name, bytes)
    }

    /// Begins an object whose name is not known yet: packs are named by the hash of their bytes.
    fn stage(&self) -> Result<Box<dyn Staged>>;

    /// Removes an object, durably. One that is not there is as good as removed.
    fn delete(&self, name: &ObjectName) -> Result<()>;

    /// Calls `each` for every object below the directory `dir` (`""` for all), in any order and in
    /// constant memory, until it returns an error, which is passed on.
    ///
    /// What appears, vanishes or is replaced meanwhile may be listed or not; what was there throughout
    /// is listed. Whatever is no object (names that are none, temporaries, links) is passed over.
    /// `each` may call this store.
    fn list(&self, dir: &str, each: &mut dyn FnMut(Listed) -> Result<()>) -> Result<()>;
}

/// Puts an object if none of that name is seen; says whether it did.
fn look_and_put<S: Store + ?Sized>(store: &S, name: &ObjectName, bytes: &[u8]) -> Result<bool> {
    match store.len(name) {
        Ok(_) => Ok(false),
        Err(StoreError::NotFound { .. }) => store.put(name, bytes).map(|()| true),
        Err(error) => Err(error),
    }
}

/// An object in the making, seen by nobody until it is committed. Dropping discards it.
pub trait Staged: Send {
    /// Appends. After an error the object is lost: no later write or commit of it succeeds.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Stores what was written as `name`, with the promises of [`Store::put`].
    fn commit(self: Box<Self>, name: &ObjectName) -> Result<()>;
}
