//! What every store promises. A promise that is missing in the table is dead code, and a warning.

use super::*;
use keepstone::storage::Staged;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

pub fn what_was_put_comes_back(store: &impl Store) {
    for object in ["config", "keys/00", "packs/ab/ab01", "a/b/c/d/e.f-g_h"] {
        store.put(&name(object), object.as_bytes()).unwrap();
        assert_eq!(store.get(&name(object), 100).unwrap(), object.as_bytes());
        assert_eq!(store.len(&name(object)).unwrap(), object.len() as u64);
    }
}

pub fn an_object_that_was_never_put_is_not_found(store: &impl Store) {
    store.put(&name("packs/ab/ab01"), b"bytes").unwrap();
    for absent in ["config", "packs/ab/ab02", "packs/cd/cd01"] {
        let absent = name(absent);
        assert_not_found(store.get(&absent, 100));
        assert_not_found(store.get_range(&absent, 0, 1));
        assert_not_found(store.len(&absent));
    }
}

pub fn an_object_below_an_object_is_not_found(store: &impl Store) {
    store.put(&name("config"), b"bytes").unwrap();
    assert_not_found(store.get(&name("config/below"), 100));
    assert_eq!(names(store, "config"), [""; 0]);
    store.delete(&name("config/below")).unwrap();
}

pub fn an_empty_object_is_an_object(store: &impl Store) {
    store.put(&name("empty"), b"").unwrap();
    assert_eq!(store.get(&name("empty"), 0).unwrap(), b"");
    assert_eq!(store.get_range(&name("empty"), 0, 10).unwrap(), b"");
    assert_eq!(store.len(&name("empty")).unwrap(), 0);
    assert_eq!(names(store, ""), ["empty"]);
}

pub fn a_long_object_comes_back_whole(store: &impl Store) {
    let bytes = pattern(1 << 20);
    store.put(&name("long"), &bytes).unwrap();
    assert!(store.get(&name("long"), 1 << 20).unwrap() == bytes);
}

pub fn a_put_replaces_what_was_there(store: &impl Store) {
    store.put(&name("lease.beat"), b"a longer beat").unwrap();
    store.put(&name("lease.beat"), b"beat").unwrap();
    assert_eq!(store.get(&name("lease.beat"), 100).unwrap(), b"beat");
    assert_eq!(names(store, ""), ["lease.beat"]);
}

pub fn what_is_there_is_not_put_as_new(store: &impl Store) {
    assert!(store.put_new(&name("config"), b"first").unwrap());
    assert!(!store.put_new(&name("config"), b"second").unwrap());
    assert_eq!(store.get(&name("config"), 100).unwrap(), b"first");
    assert_eq!(names(store, ""), ["config"]);
}

pub fn a_deleted_object_is_not_found(store: &impl Store) {
    store.put(&name("packs/ab/ab01"), b"bytes").unwrap();
    store.delete(&name("packs/ab/ab01")).unwrap();
    assert_not_found(store.get(&name("packs/ab/ab01"), 100));
    assert_not_found(store.len(&name("packs/ab/ab01")));
    assert_eq!(names(store, ""), [""; 0]);
}

pub fn deleting_what_is_not_there_is_fine(store: &impl Store) {
    store.delete(&name("config")).unwrap();
    store.delete(&name("packs/ab/ab01")).unwrap();
    store.put(&name("packs/ab/ab01"), b"bytes").unwrap();
    store.delete(&name("packs/ab/ab01")).unwrap();
    store.delete(&name("packs/ab/ab01")).unwrap();
}

pub fn a_deleted_object_can_be_put_again(store: &impl Store) {
    store.put(&name("a/b"), b"first").unwrap();
    store.delete(&name("a/b")).unwrap();
    store.put(&name("a/b"), b"second").unwrap();
    assert_eq!(store.get(&name("a/b"), 100).unwrap(), b"second");
}

pub fn an_object_longer_than_expected_is_refused(store: &impl Store) {
    store.put(&name("config"), &pattern(11)).unwrap();
    let refused = store.get(&name("config"), 10);
    assert!(matches!(refused, Err(StoreError::TooLong { len: 11, max_len: 10, .. })), "{refused:?}");
    assert_eq!(store.get(&name("config"), 11).unwrap(), pattern(11));
}

pub fn a_range_is_read_exactly(store: &impl Store) {
    let bytes = pattern(1000);
    store.put(&name("packs/ab/ab01"), &bytes).unwrap();
    for (offset, len) in [(0, 1000), (0, 1), (1, 998), (999, 1), (500, 0), (256, 256)] {
        let range = store.get_range(&name("packs/ab/ab01"), offset, len).unwrap();
        assert_eq!(range, bytes[offset as usize..][..len as usize], "{offset} {len}");
    }
}

pub fn a_range_beyond_the_end_is_short(store: &impl Store) {
    let bytes = pattern(1000);
    store.put(&name("packs/ab/ab01"), &bytes).unwrap();
    let read = |offset, len| store.get_range(&name("packs/ab/ab01"), offset, len).unwrap();
    assert_eq!(read(990, 11), bytes[990..]);
    assert_eq!(read(1000, 1), b"");
    assert_eq!(read(1001, 1), b"");
    assert_eq!(read(u64::MAX, 1), b"");
}

pub fn a_range_of_any_size_asks_for_no_more_memory_than_there_are_bytes(store: &impl Store) {
    store.put(&name("short"), b"bytes").unwrap();
    let read = |offset, len| store.get_range(&name("short"), offset, len).unwrap();
    assert_eq!(read(0, u64::MAX), b"bytes");
    assert_eq!(read(1, u64::MAX), b"ytes");
    assert_eq!(read(u64::MAX, u64::MAX), b"");
}

pub fn a_range_of_a_replaced_object_is_of_the_new_one(store: &impl Store) {
    store.put(&name("a/b"), b"first").unwrap();
    assert_eq!(store.get_range(&name("a/b"), 0, 5).unwrap(), b"first");
    store.put(&name("a/b"), b"again").unwrap();
    assert_eq!(store.get_range(&name("a/b"), 0, 5).unwrap(), b"again");
}

pub fn a_range_of_a_deleted_object_is_not_found(store: &impl Store) {
    store.put(&name("a/b"), b"bytes").unwrap();
    store.get_range(&name("a/b"), 0, 5).unwrap();
    store.delete(&name("a/b")).unwrap();
    assert_not_found(store.get_range(&name("a/b"), 0, 5));
}

pub fn more_objects_are_read_in_ranges_than_files_stay_open(store: &impl Store) {
    let objects: Vec<_> = (0..200).map(|i| name(&format!("packs/{i}"))).collect();
    for object in &objects {
        store.put(object, object.as_str().as_bytes()).unwrap();
    }
    for object in objects.iter().chain(&objects) {
        let range = store.get_range(object, 6, 3).unwrap();
        assert_eq!(range, &object.as_str().as_bytes()[6..]);
    }
}

pub fn a_listing_shows_every_object_once_with_its_length(store: &impl Store) {
    let mut expected = Vec::new();
    for i in 0..300_u64 {
        let object = name(&format!("packs/{:02x}/{i:04x}", i % 7));
        store.put(&object, &pattern(i as usize)).unwrap();
        expected.push(Listed { name: object, len: i });
    }
    expected.sort();
    assert_eq!(listed(store, ""), expected);
    assert_eq!(listed(store, "packs"), expected);
}

pub fn a_listing_of_a_directory_shows_what_is_below_it_and_nothing_else(store: &impl Store) {
    for object in ["config", "a/b", "a/c/d", "a/c/e", "a-b/c", "ab/c", "b/a"] {
        store.put(&name(object), b"").unwrap();
    }
    assert_eq!(names(store, "a"), ["a/b", "a/c/d", "a/c/e"]);
    assert_eq!(names(store, "a/c"), ["a/c/d", "a/c/e"]);
    assert_eq!(names(store, "a/b"), [""; 0]);
    assert_eq!(names(store, "").len(), 7);
}

pub fn a_listing_of_a_directory_that_is_not_there_is_empty(store: &impl Store) {
    assert_eq!(names(store, ""), [""; 0]);
    assert_eq!(names(store, "packs"), [""; 0]);
    assert_eq!(names(store, "packs/ab"), [""; 0]);
}

pub fn a_listing_of_what_can_be_no_directory_is_refused(store: &impl Store) {
    for dir in ["packs/", "/", "..", "a/../b", ".", "Packs"] {
        let refused = store.list(dir, &mut |_| Ok(()));
        assert!(matches!(refused, Err(StoreError::BadName(_))), "{dir}: {refused:?}");
    }
}

pub fn a_listing_ends_with_the_error_of_its_caller(store: &impl Store) {
    for i in 0..10 {
        store.put(&name(&format!("a/{i}")), b"").unwrap();
    }
    let mut seen = 0;
    let result = store.list("a", &mut |object| {
        seen += 1;
        store.get(&name("enough"), object.len).map(drop)
    });
    assert_not_found(result);
    assert_eq!(seen, 1);
}

pub fn a_lister_may_use_the_store(store: &impl Store) {
    for i in 0..100 {
        store.put(&name(&format!("packs/{:02}/{i}", i % 5)), b"x").unwrap();
    }
    store
        .list("packs", &mut |object| {
            store.get(&object.name, object.len)?;
            store.delete(&object.name)
        })
        .unwrap();
    assert_eq!(names(store, ""), [""; 0]);
}

pub fn a_listing_shows_what_was_there_throughout(store: &impl Store) {
    let steady: BTreeSet<_> = (0..50).map(|i| format!("packs/{:02}/steady-{i:02}", i % 5)).collect();
    for object in &steady {
        store.put(&name(object), b"steady").unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in (0..).take_while(|_| !done.load(Ordering::SeqCst)) {
                let object = name(&format!("packs/{:02}/fleeting-{i}", i % 9));
                store.put(&object, b"fleeting").unwrap();
                store.delete(&object).unwrap();
            }
        });
        for _ in 0..20 {
            let found = BTreeSet::from_iter(names(store, "packs"));
            assert!(found.is_superset(&steady));
        }
        done.store(true, Ordering::SeqCst);
    });
}

pub fn a_staged_object_appears_whole_when_it_is_committed(store: &impl Store) {
    let bytes = pattern(1 << 20);
    let mut staged = store.stage().unwrap();
    for piece in bytes.chunks(100_000) {
        staged.write(piece).unwrap();
        assert_eq!(names(store, ""), [""; 0]);
    }
    staged.commit(&name("packs/ab/ab01")).unwrap();
    assert!(store.get(&name("packs/ab/ab01"), 1 << 20).unwrap() == bytes);
    assert_eq!(names(store, ""), ["packs/ab/ab01"]);
}

/// Longer than what any store takes in one piece.
pub fn an_object_of_many_parts_comes_back_whole(store: &impl Store) {
    let bytes = pattern((30 << 20) + 12_345);
    let mut staged = store.stage().unwrap();
    for piece in bytes.chunks(3 << 20) {
        staged.write(piece).unwrap();
    }
    staged.commit(&name("packs/ab/ab01")).unwrap();
    assert_eq!(store.len(&name("packs/ab/ab01")).unwrap(), bytes.len() as u64);
    assert!(store.get_range(&name("packs/ab/ab01"), (8 << 20) - 5, 100).unwrap() == bytes[(8 << 20) - 5..][..100]);
    assert!(store.get(&name("packs/ab/ab01"), 1 << 30).unwrap() == bytes);
}

pub fn a_staged_object_that_is_dropped_leaves_nothing(store: &impl Store) {
    let mut staged = store.stage().unwrap();
    staged.write(b"bytes").unwrap();
    drop(staged);
    assert_eq!(names(store, ""), [""; 0]);
}

pub fn a_staged_object_replaces_what_was_there(store: &impl Store) {
    store.put(&name("a/b"), b"put").unwrap();
    let mut staged = store.stage().unwrap();
    staged.write(b"staged").unwrap();
    staged.commit(&name("a/b")).unwrap();
    assert_eq!(store.get(&name("a/b"), 100).unwrap(), b"staged");
}

pub fn a_staged_object_may_be_empty(store: &impl Store) {
    store.stage().unwrap().commit(&name("a/b")).unwrap();
    assert_eq!(store.len(&name("a/b")).unwrap(), 0);
}

pub fn staged_objects_do_not_disturb_each_other(store: &impl Store) {
    let mut staged: Vec<Box<dyn Staged>> = (0..8).map(|_| store.stage().unwrap()).collect();
    for round in 0..10_u8 {
        for (i, staged) in staged.iter_mut().enumerate() {
            staged.write(&[i as u8, round]).unwrap();
        }
    }
    for (i, staged) in staged.into_iter().enumerate() {
        staged.commit(&name(&format!("packs/{i}"))).unwrap();
    }
    for i in 0..8_u8 {
        let expected: Vec<u8> = (0..10).flat_map(|round| [i, round]).collect();
        assert_eq!(store.get(&name(&format!("packs/{i}")), 100).unwrap(), expected);
    }
}

pub fn of_concurrent_puts_one_wins_whole(store: &impl Store) {
    let whole = |bytes: &[u8]| bytes.len() == 50_000 && bytes.iter().all(|b| *b == bytes[0]);
    store.put(&name("a/b"), &[0; 50_000]).unwrap();
    std::thread::scope(|scope| {
        for writer in 1..=4 {
            scope.spawn(move || {
                for _ in 0..10 {
                    store.put(&name("a/b"), &[writer; 50_000]).unwrap();
                }
            });
        }
        for _ in 0..100 {
            assert!(whole(&store.get(&name("a/b"), 50_000).unwrap()));
            assert!(whole(&store.get_range(&name("a/b"), 0, 50_000).unwrap()));
        }
    });
    assert!(whole(&store.get(&name("a/b"), 50_000).unwrap()));
    assert_eq!(names(store, ""), ["a/b"]);
}

pub fn many_threads_use_one_store(store: &impl Store) {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for i in 0..10 {
                    let object = name(&format!("packs/{i:02}/{thread}"));
                    store.put(&object, &[thread]).unwrap();
                    assert_eq!(store.get_range(&object, 0, 1).unwrap(), [thread]);
                }
            });
        }
    });
    assert_eq!(names(store, "packs").len(), 80);
}

pub fn a_message_names_object_and_place(store: &impl Store) {
    store.put(&name("packs/ab/ab01"), b"bytes").unwrap();
    let messages = [
        store.get(&name("packs/ab/ab02"), 1).unwrap_err().to_string(),
        store.get(&name("packs/ab/ab01"), 1).unwrap_err().to_string(),
    ];
    for message in messages {
        assert!(message.contains("packs/ab/ab0"), "{message}");
        assert!(message.contains(&store.place()), "{message}");
    }
}
