//! Making a repository while someone else does so in the same place: whoever is told that he made it has it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use keepstone::crypto::Argon2Profile;
use keepstone::repo::{Keychain, RepoError, SystemChance, default_settings, init};
use keepstone::storage::{FaultyStore, MemoryStore, Store};

use super::support::{MemorySource, PASSWORD, assert_holds, back_up, fresh, make, open, saved};

fn make_with(store: &dyn Store, password: &[u8]) -> keepstone::repo::Result<()> {
    init(store, password, "al", default_settings(), Argon2Profile::Cheap, &SystemChance).map(drop)
}

#[test]
fn of_two_who_make_a_repository_at_once_whoever_succeeds_has_it() {
    let mut wins = [0; 3];
    for step in 0.. {
        let store = MemoryStore::new();
        let (below, other) = (store.clone(), Arc::new(Mutex::new(None)));
        let (result, struck) = (Arc::clone(&other), AtomicBool::new(false));
        let faulty = FaultyStore::new(store.clone()).rule(move |call| {
            if call.nth == step && !struck.swap(true, Ordering::SeqCst) {
                *result.lock().unwrap() = Some(make_with(&below, b"second"));
            }
            None
        });

        let first = make_with(&faulty, b"first");

        let Some(second) = other.lock().unwrap().take() else { break };
        for (made, password) in [(&first, &b"first"[..]), (&second, b"second")] {
            let opens = Keychain::unlock(&store, password).is_ok();
            assert!(made.is_err() || opens, "step {step}: {made:?}");
            let is_said = matches!(made, Ok(()) | Err(RepoError::Conflict(_) | RepoError::Occupied { .. }));
            assert!(is_said, "step {step}: {made:?}");
        }
        wins[usize::from(first.is_ok()) + usize::from(second.is_ok())] += 1;
    }
    assert!(wins[2] == 0 && wins[1] >= 4, "{wins:?}");
}

#[test]
fn a_repository_whose_config_is_not_there_is_no_place_for_another() {
    let (store, cache) = (MemoryStore::new(), tempfile::tempdir().unwrap());
    make(&store);
    let source = MemorySource::of([("a", b"bytes")]);
    let id = saved(&back_up(&open(store.clone(), cache.path()), &source));
    store.remove(&keepstone::repo::config_name()).unwrap();

    assert!(matches!(make_with(&store, PASSWORD), Err(RepoError::Occupied { .. })));

    assert_holds(&fresh(&store), &id, &source);
}
