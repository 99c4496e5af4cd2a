//! What every store promises, asked of every store; then what only some of them promise.
//!
//! To add a store, add a line to the table at [`for_every_store`].

use keepstone::storage::remote::RemoteStore;
use keepstone::storage::{FaultyStore, Listed, LocalStore, MemoryStore, ObjectName, Store, StoreError};

mod servers;

#[path = "storage_contract/conditions.rs"]
mod conditions;
#[path = "storage_contract/faults.rs"]
mod faults;
#[path = "storage_contract/files.rs"]
mod files;
#[path = "storage_contract/promises.rs"]
mod promises;

/// A store, and whatever has to outlive it.
struct Subject<S> {
    store: S,
    _place: Option<tempfile::TempDir>,
}

fn local() -> Subject<LocalStore> {
    let place = tempfile::tempdir().unwrap();
    Subject { store: LocalStore::create(place.path()).unwrap(), _place: Some(place) }
}

fn memory() -> Subject<MemoryStore> {
    Subject { store: MemoryStore::new(), _place: None }
}

fn faulty() -> Subject<FaultyStore> {
    Subject { store: FaultyStore::new(MemoryStore::new()), _place: None }
}

fn faulty_local() -> Subject<FaultyStore> {
    let Subject { store, _place } = local();
    Subject { store: FaultyStore::new(store), _place }
}

fn remote(kind: servers::Kind) -> Subject<RemoteStore> {
    Subject { store: servers::spot(kind).store(), _place: None }
}

fn s3() -> Subject<RemoteStore> {
    remote(servers::Kind::S3)
}

fn s3_strict() -> Subject<RemoteStore> {
    remote(servers::Kind::S3Strict)
}

fn ceph() -> Subject<RemoteStore> {
    remote(servers::Kind::Ceph)
}

fn azblob() -> Subject<RemoteStore> {
    remote(servers::Kind::Azblob)
}

fn gcs() -> Subject<RemoteStore> {
    remote(servers::Kind::Gcs)
}

fn sftp() -> Subject<RemoteStore> {
    remote(servers::Kind::Sftp)
}

fn webdav() -> Subject<RemoteStore> {
    remote(servers::Kind::Webdav)
}

/// Runs every promise of [`promises`] against every store of the table.
macro_rules! for_every_store {
    ($($promise:ident),+ $(,)?) => {
        for_every_store!(@table [$($promise),+]
            local_store => local,
            memory_store => memory,
            faulty_store => faulty,
            faulty_store_over_a_local_one => faulty_local,
            s3_store => s3,
            s3_strict_store => s3_strict,
            ceph_store => ceph,
            azblob_store => azblob,
            gcs_store => gcs,
            sftp_store => sftp,
            webdav_store => webdav,
        );
    };
    (@table $promises:tt $($module:ident => $make:ident,)+) => {
        $(for_every_store!(@store $module $make $promises);)+
    };
    (@store $module:ident $make:ident [$($promise:ident),+]) => {
        mod $module {
            $(#[test]
            fn $promise() {
                super::promises::$promise(&super::$make().store);
            })+
        }
    };
}

for_every_store!(
    what_was_put_comes_back,
    an_object_that_was_never_put_is_not_found,
    an_object_below_an_object_is_not_found,
    an_empty_object_is_an_object,
    a_long_object_comes_back_whole,
    a_put_replaces_what_was_there,
    what_is_there_is_not_put_as_new,
    a_deleted_object_is_not_found,
    deleting_what_is_not_there_is_fine,
    a_deleted_object_can_be_put_again,
    an_object_longer_than_expected_is_refused,
    a_range_is_read_exactly,
    a_range_beyond_the_end_is_short,
    a_range_of_any_size_asks_for_no_more_memory_than_there_are_bytes,
    a_range_of_a_replaced_object_is_of_the_new_one,
    a_range_of_a_deleted_object_is_not_found,
    more_objects_are_read_in_ranges_than_files_stay_open,
    a_listing_shows_every_object_once_with_its_length,
    a_listing_of_a_directory_shows_what_is_below_it_and_nothing_else,
    a_listing_of_a_directory_that_is_not_there_is_empty,
    a_listing_of_what_can_be_no_directory_is_refused,
    a_listing_ends_with_the_error_of_its_caller,
    a_lister_may_use_the_store,
    a_listing_shows_what_was_there_throughout,
    a_staged_object_appears_whole_when_it_is_committed,
    an_object_of_many_parts_comes_back_whole,
    a_staged_object_that_is_dropped_leaves_nothing,
    a_staged_object_replaces_what_was_there,
    a_staged_object_may_be_empty,
    staged_objects_do_not_disturb_each_other,
    of_concurrent_puts_one_wins_whole,
    many_threads_use_one_store,
    a_message_names_object_and_place,
);

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn listed(store: &impl Store, dir: &str) -> Vec<Listed> {
    let mut found = Vec::new();
    let mut collect = |object| {
        found.push(object);
        Ok(())
    };
    store.list(dir, &mut collect).unwrap();
    found.sort();
    found
}

fn names(store: &impl Store, dir: &str) -> Vec<String> {
    let objects = listed(store, dir);
    objects.iter().map(|object| object.name.to_string()).collect()
}

/// Bytes that differ from place to place.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

#[track_caller]
fn assert_not_found<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::NotFound { .. })), "{result:?}");
}

/// What the memory store adds for tests.
mod memory_for_tests {
    use super::*;

    #[test]
    fn clones_share_their_content_and_copies_do_not() {
        let store = MemoryStore::new();
        let clone = store.clone();
        store.put(&name("a"), b"bytes").unwrap();
        assert_eq!(clone.get(&name("a"), 100).unwrap(), b"bytes");

        let copy = MemoryStore::holding(store.objects());
        copy.set(&name("a"), "altered");
        assert_eq!(copy.remove(&name("a")).unwrap(), b"altered");
        assert_eq!(store.get(&name("a"), 100).unwrap(), b"bytes");
    }
}
