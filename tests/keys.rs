//! Who can open a repository: added, removed, changed, forged, put back.

use keepstone::format::control::SessionKind;
use keepstone::repo::{
    Argon2Profile, CacheDir, Keychain, RepoError, Repository, SystemChance, Who, Writer, default_settings, init,
};
use keepstone::storage::{FaultyStore, MemoryStore, ObjectName, Store, Verb};
use tempfile::TempDir;

const CHEAP: Argon2Profile = Argon2Profile::Cheap;

fn made() -> MemoryStore {
    let store = MemoryStore::new();
    init(&store, b"first", "al@host", default_settings(), CHEAP, &SystemChance).unwrap();
    store
}

fn unlock(store: &impl Store, password: &[u8]) -> keepstone::repo::Result<Keychain> {
    Keychain::unlock(store, password)
}

fn objects(store: &MemoryStore, dir: &str) -> Vec<(ObjectName, Vec<u8>)> {
    let all = store.objects().into_iter().filter(|(name, _)| name.as_str().starts_with(dir));
    all.map(|(name, bytes)| (name, bytes.to_vec())).collect()
}

#[test]
fn every_password_opens_and_no_other_does() {
    let store = made();
    unlock(&store, b"first").unwrap().add(&store, b"second", "bo", CHEAP, &SystemChance).unwrap();

    assert_eq!(unlock(&store, b"first").unwrap().keyring, unlock(&store, b"second").unwrap().keyring);
    assert!(matches!(unlock(&store, b"third"), Err(RepoError::WrongPassword)));
}

#[test]
fn a_removed_password_opens_nothing_and_a_new_epoch_begins() {
    let store = made();
    let mut keychain = unlock(&store, b"first").unwrap();
    let slot = keychain.add(&store, b"second", "bo", CHEAP, &SystemChance).unwrap();
    let epochs = keychain.keyring.epochs.len();

    keychain.remove(&store, &slot, &SystemChance).unwrap();

    assert!(matches!(unlock(&store, b"second"), Err(RepoError::WrongPassword)));
    assert_eq!(unlock(&store, b"first").unwrap().keyring.epochs.len(), epochs + 1);
    assert!(keychain.remove(&store, &keychain.slot.clone(), &SystemChance).is_err(), "nobody locks himself out");
}

#[test]
fn a_changed_password_takes_the_place_of_the_old_one() {
    let store = made();
    let mut keychain = unlock(&store, b"first").unwrap();
    keychain.change_passphrase(&store, b"changed", CHEAP, &SystemChance).unwrap();
    keychain.add(&store, b"third", "bo", CHEAP, &SystemChance).unwrap();

    assert!(matches!(unlock(&store, b"first"), Err(RepoError::WrongPassword)));
    let reopened = unlock(&store, b"changed").unwrap();
    assert_eq!((reopened.keyring.generation, reopened.keyring.slots.len()), (3, 2));
    assert_eq!(reopened.keyring.slots.find(&reopened.slot).unwrap().label.to_string(), "al@host");
}

#[test]
fn a_slot_that_was_put_back_does_not_hide_newer_generations() {
    // Names are hashes: whether the old or the new slot is listed first is chance, so it is tried often.
    for _ in 0..12 {
        let store = made();
        let old = objects(&store, "keys/");
        let mut keychain = unlock(&store, b"first").unwrap();
        keychain.change_passphrase(&store, b"first", CHEAP, &SystemChance).unwrap();
        old.iter().for_each(|(name, bytes)| store.put(name, bytes).unwrap());

        assert_eq!(unlock(&store, b"first").unwrap().keyring.generation, 2);
    }
}

#[test]
fn planted_slots_do_not_lock_anybody_out() {
    let store = made();
    let other = made();
    let foreign = objects(&other, "keys/");
    for number in 0..200u32 {
        let mut bytes = foreign[0].1.clone();
        bytes[200..204].copy_from_slice(&number.to_le_bytes());
        store.put(&ObjectName::new(&format!("keys/{}", blake3::hash(&bytes).to_hex())).unwrap(), &bytes).unwrap();
    }

    assert!(unlock(&store, b"first").is_ok());
}

#[test]
fn of_two_that_change_keys_at_once_both_have_their_way() {
    let store = made();
    let mut first = unlock(&store, b"first").unwrap();
    // Just before its keyring is put, another one adds a key.
    let (below, done) = (store.clone(), std::sync::atomic::AtomicBool::new(false));
    let raced = FaultyStore::new(store.clone()).rule(move |call| {
        let is_put = call.verb == Verb::Put && call.name.starts_with("keyring/");
        if is_put && !done.swap(true, std::sync::atomic::Ordering::Relaxed) {
            unlock(&below, b"first").unwrap().add(&below, b"rival", "bo", CHEAP, &SystemChance).unwrap();
        }
        None
    });

    first.add(&raced, b"mine", "cy", CHEAP, &SystemChance).unwrap();

    for password in [&b"first"[..], b"rival", b"mine"] {
        assert_eq!(unlock(&store, password).unwrap().keyring.slots.len(), 3);
    }
}

#[test]
fn a_lost_config_is_no_loss_and_a_lost_keyring_is_named() {
    let store = made();
    store.remove(&ObjectName::new("config").unwrap());
    assert!(unlock(&store, b"first").is_ok());

    objects(&store, "keyring/").iter().for_each(|(name, _)| drop(store.remove(name)));
    assert!(matches!(unlock(&store, b"first"), Err(RepoError::Missing { .. })));
    assert!(matches!(unlock(&MemoryStore::new(), b"first"), Err(RepoError::NoRepository { .. })));
}

#[test]
fn another_repository_in_the_same_place_is_refused() {
    let cache = TempDir::new().unwrap();
    let open = |store: &MemoryStore| {
        let cache = CacheDir::Kept(cache.path().to_owned());
        Repository::open(Box::new(store.clone()), b"first", &cache, Box::new(SystemChance))
    };
    open(&made()).unwrap();

    assert!(matches!(open(&made()), Err(RepoError::Conflict(_))));
}

#[test]
fn keys_that_do_not_descend_from_known_ones_are_refused() {
    let store = made();
    let cache = TempDir::new().unwrap();
    let open = || {
        let cache = CacheDir::Kept(cache.path().to_owned());
        Repository::open(Box::new(store.clone()), b"first", &cache, Box::new(SystemChance))
    };
    let early = store.objects();
    unlock(&store, b"first").unwrap().add(&store, b"second", "bo", CHEAP, &SystemChance).unwrap();
    open().unwrap();

    // Rolled back: read with, and never written under, since a removed holder would know the keys.
    let late = objects(&store, "keyring/");
    let newer: Vec<&ObjectName> = late.iter().map(|(name, _)| name).filter(|name| !early.contains_key(*name)).collect();
    newer.iter().for_each(|name| drop(store.remove(name)));
    let mut rolled_back = open().unwrap();
    let who = Who::default();
    assert!(matches!(Writer::begin(&rolled_back, SessionKind::Backup, &who), Err(RepoError::Conflict(_))));
    let (keychain, below, chance) = rolled_back.keychain_mut();
    assert!(matches!(keychain.add(below, b"x", "x", CHEAP, chance), Err(RepoError::Conflict(_))));

    // Rolled back, and led on elsewhere: someone who held a key long ago could do that.
    let mut elsewhere = unlock(&store, b"first").unwrap();
    elsewhere.add(&store, b"other", "x", CHEAP, &SystemChance).unwrap();
    elsewhere.add(&store, b"another", "y", CHEAP, &SystemChance).unwrap();
    assert!(matches!(open(), Err(RepoError::Conflict(_))));
}
