//! Names of users and groups, asked of the system once for each number. Touches the world: accounts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use nix::unistd::{Gid, Group, Uid, User};

/// What was found out so far.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    users: Mutex<HashMap<u32, String>>,
    groups: Mutex<HashMap<u32, String>>,
}

impl Owners {
    /// The user's name; empty if the system knows none.
    pub(crate) fn user(&self, uid: u32) -> String {
        let ask = || User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
        remembered(&self.users, uid, ask)
    }

    /// The group's name; empty if the system knows none.
    pub(crate) fn group(&self, gid: u32) -> String {
        let ask = || Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name);
        remembered(&self.groups, gid, ask)
    }
}

/// The lock is not held while the system is asked: a directory service may take its time.
fn remembered(names: &Mutex<HashMap<u32, String>>, number: u32, ask: impl Fn() -> Option<String>) -> String {
    let lock = || names.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(name) = lock().get(&number) {
        return name.clone();
    }
    let name = ask().unwrap_or_default();
    lock().insert(number, name.clone());
    name
}
