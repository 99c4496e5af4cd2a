//! Touches the disk. The files that were opened last, kept open: a restore reads a pack in many
//! ranges, and on a network file system each opening is several round trips.

use crate::storage::ObjectName;
use rustix::fs::fstat;
use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Far below the 1024 files that a process may usually hold open.
const MAX_OPEN: usize = 64;

type Queue = VecDeque<(ObjectName, Arc<File>)>;

/// Oldest first. So few that searching them costs nothing beside a read.
#[derive(Debug, Default)]
pub(super) struct Handles(Mutex<Queue>);

impl Handles {
    /// The open file of this name, unless it was deleted or replaced since, by us or by anybody.
    pub(super) fn find(&self, name: &ObjectName) -> Option<Arc<File>> {
        let file = self.kept(name)?;
        let linked = fstat(&*file).is_ok_and(|stat| stat.st_nlink > 0);
        if !linked {
            self.forget(name);
        }
        linked.then_some(file)
    }

    pub(super) fn keep(&self, name: &ObjectName, file: &Arc<File>) {
        self.forget(name);
        let mut queue = self.lock();
        queue.push_back((name.clone(), Arc::clone(file)));
        if queue.len() > MAX_OPEN {
            queue.pop_front();
        }
    }

    /// Lets go of a deleted object, whose room is free only when nobody holds it open.
    pub(super) fn forget(&self, name: &ObjectName) {
        self.lock().retain(|(kept, _)| kept != name);
    }

    fn kept(&self, name: &ObjectName) -> Option<Arc<File>> {
        let queue = self.lock();
        let (_, file) = queue.iter().find(|(kept, _)| kept == name)?;
        Some(Arc::clone(file))
    }

    /// A thread that panicked left the queue whole: each change of it is one call.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
