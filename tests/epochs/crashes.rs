//! Rotations, removals and closings that end at any of their calls, and two of them at once.

use std::sync::atomic::{AtomicBool, Ordering};

use keepstone::crypto::Chance;
use keepstone::id::KeyslotId;
use keepstone::repo::{Keychain, RepoError, Result, SystemChance};
use keepstone::storage::{Fault, FaultyStore, MemoryStore, Store, Verb};

use super::scene::{add_key, assert_sound, checked, close, read_back, rotate, saved, scene};
use super::stored::{PASSWORD, open};

type Deed = fn(&mut Keychain, &dyn Store, &dyn Chance) -> Result<()>;

/// Does `deed` on copies of a repository with a second key, ended or failed at each store call in turn, and
/// then looks.
fn at_every_call(deed: impl Fn(&KeyslotId) -> Box<dyn Fn(&mut Keychain, &dyn Store) -> Result<()>>, removes: bool) {
    let scene = scene();
    let slot = add_key(&scene.store, b"second");
    let deed = deed(&slot);
    for fault in [Fault::Crash, Fault::Unclear, Fault::Torn { keep: 20 }] {
        let mut done = false;
        let mut nth = 0;
        while !done {
            let store = MemoryStore::holding(scene.store.objects());
            let mut chain = Keychain::unlock(&store, PASSWORD).unwrap();
            let faulty = FaultyStore::new(store.clone()).rule(move |call| (call.nth == nth).then_some(fault));
            let result = deed(&mut chain, &faulty);
            done = faulty.faults() == 0;
            assert!(!done || result.is_ok(), "{result:?}");
            look(&store, &scene.files, &scene.root, removes && result.is_ok());
            nth += 1;
        }
        assert!(nth > 2, "it makes calls");
    }
}

fn look(
    store: &MemoryStore,
    files: &super::stored::Files,
    root: &keepstone::format::tree::TreeRef,
    second_is_removed: bool,
) {
    let first = Keychain::unlock(store, PASSWORD).unwrap();
    match Keychain::unlock(store, b"second") {
        // His slot may have been left behind: it leads to the keys that he had.
        Ok(second) => {
            let knows_all = second.keyring.epochs.len() == first.keyring.epochs.len();
            assert_eq!(knows_all, second.keyring == first.keyring, "who is left out knows no new epoch");
            assert!(!second_is_removed || !knows_all);
        }
        Err(RepoError::WrongPassword) => assert!(second_is_removed || first.keyring.slots.len() == 1),
        Err(error) => panic!("{error}"),
    }
    let repository = open(store.clone());
    assert_eq!(&read_back(&repository, root), files);
    saved(&repository, &super::stored::files([("next", vec![1; 9_000])]));
    rotate(store);
    let closed = close(store);
    assert_eq!((closed.waits_for.len(), closed.open_from), (0, None));
    let torn = |name: &String| !name.starts_with("keyring/") && !name.starts_with("epochs/");
    assert_eq!(checked(store).into_iter().filter(torn).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_rotation_that_ends_anywhere_locks_nobody_out() {
    at_every_call(|_| Box::new(|chain, store| chain.rotate(store, &SystemChance).map(drop)), false);
}

#[test]
fn a_removal_that_ends_anywhere_leaves_the_repository_to_those_who_stay() {
    at_every_call(
        |slot| {
            let slot = *slot;
            Box::new(move |chain, store| chain.remove(store, &slot, &SystemChance))
        },
        true,
    );
}

#[test]
fn a_closing_that_ends_anywhere_refuses_nothing_that_is_good() {
    at_every_call(
        |_| {
            Box::new(|chain, store| {
                chain.rotate(store, &SystemChance)?;
                chain.close(store, false, &SystemChance).map(drop)
            })
        },
        false,
    );
}

/// A store that lets a rival do his deed just before the first keyring is put.
fn raced(store: &MemoryStore, rival: Deed) -> FaultyStore {
    let (below, done) = (store.clone(), AtomicBool::new(false));
    FaultyStore::new(store.clone()).rule(move |call| {
        if call.verb == Verb::Put && call.name.starts_with("keyring/") && !done.swap(true, Ordering::Relaxed) {
            rival(&mut Keychain::unlock(&below, PASSWORD).unwrap(), &below, &SystemChance).unwrap();
        }
        None
    })
}

#[test]
fn of_two_rotations_at_once_both_begin_an_epoch() {
    let scene = scene();
    let mut chain = Keychain::unlock(&scene.store, PASSWORD).unwrap();
    let raced = raced(&scene.store, |chain, store, chance| chain.rotate(store, chance).map(drop));

    assert_eq!(chain.rotate(&raced, &SystemChance).unwrap(), 3);

    assert_eq!(close(&scene.store).epochs, [1, 2]);
    assert_eq!(read_back(&open(scene.store.clone()), &scene.root), scene.files);
    assert_sound(&scene.store);
}

#[test]
fn of_two_closings_at_once_one_is_enough() {
    let scene = scene();
    rotate(&scene.store);
    let mut chain = Keychain::unlock(&scene.store, PASSWORD).unwrap();
    let raced = raced(&scene.store, |chain, store, chance| chain.close(store, false, chance).map(drop));

    assert!(chain.close(&raced, false, &SystemChance).unwrap().epochs.is_empty(), "the other one did it");

    assert_eq!(Keychain::unlock(&scene.store, PASSWORD).unwrap().keyring.closed_through(), 1);
    assert_eq!(scene.store.objects().keys().filter(|name| name.as_str().starts_with("epochs/")).count(), 1);
    assert_sound(&scene.store);
}
