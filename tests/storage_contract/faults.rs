//! What a faulty store does wrong, and what it remembers.

use super::*;
use keepstone::storage::{Fault, Verb};
use std::collections::BTreeSet;

fn pair() -> (MemoryStore, FaultyStore) {
    let memory = MemoryStore::new();
    (memory.clone(), FaultyStore::new(memory))
}

fn held(memory: &MemoryStore, object: &str) -> Option<Vec<u8>> {
    memory.objects().remove(&name(object))
}

/// A small backup: a staged pack, an index, a snapshot, and a lease that goes.
fn run(store: &impl Store) -> Result<(), StoreError> {
    store.put(&name("sessions/1"), b"lease")?;
    let mut pack = store.stage()?;
    pack.write(b"blob")?;
    pack.write(b"blob")?;
    pack.commit(&name("packs/1"))?;
    store.put(&name("index/1"), b"packs/1")?;
    store.put(&name("snapshots/1"), b"index/1")?;
    store.delete(&name("sessions/1"))
}

#[test]
fn every_call_is_logged_in_order() {
    let (_, store) = pair();
    run(&store).unwrap();
    store.get(&name("packs/1"), 100).unwrap();
    store.get_range(&name("packs/1"), 6, 100).unwrap();
    let log: Vec<_> =
        store.calls().into_iter().map(|call| (call.nth, call.nth_change, call.verb, call.name, call.bytes)).collect();
    let expected = [
        (0, 0, Verb::Put, "sessions/1", 5),
        (1, 1, Verb::Stage, "", 0),
        (2, 1, Verb::Write, "", 4),
        (3, 1, Verb::Write, "", 4),
        (4, 1, Verb::Commit, "packs/1", 8),
        (5, 2, Verb::Put, "index/1", 7),
        (6, 3, Verb::Put, "snapshots/1", 7),
        (7, 4, Verb::Delete, "sessions/1", 0),
        (8, 5, Verb::Get, "packs/1", 8),
        (9, 5, Verb::GetRange, "packs/1", 2),
    ];
    assert_eq!(log, expected.map(|(n, c, verb, name, len)| (n, c, verb, name.to_owned(), len)));
    assert_eq!(store.count(Verb::Put), 3);
    assert_eq!((store.changes(), store.faults()), (5, 0));
}

#[test]
fn a_crash_at_any_call_leaves_what_was_durable_before_it() {
    let (_, whole) = pair();
    run(&whole).unwrap();
    let calls = whole.calls();
    assert_eq!(calls.len(), 8);
    for crash_after in 0..calls.len() {
        let (memory, store) = pair();
        let store = store.crash_after(crash_after as u64);
        run(&store).unwrap_err();
        store.get(&name("index/1"), 100).unwrap_err();
        store.list("", &mut |_| Ok(())).unwrap_err();

        let done = |object: &str| {
            let mut stored = calls[..crash_after].iter().filter(|call| call.verb.changes());
            stored.any(|call| call.name == object)
        };
        for object in ["packs/1", "index/1", "snapshots/1"] {
            assert_eq!(held(&memory, object).is_some(), done(object), "{crash_after} {object}");
        }
    }
}

#[test]
fn crashes_between_changes_are_all_states_a_crash_can_leave() {
    let states = |crash: fn(FaultyStore, u64) -> FaultyStore, count| {
        let state = |at| {
            let (memory, store) = pair();
            let _ = run(&crash(store, at));
            memory.objects()
        };
        (0..=count).map(state).collect::<BTreeSet<_>>()
    };
    let by_calls = states(FaultyStore::crash_after, 8);
    let by_changes = states(FaultyStore::crash_after_changes, 5);
    assert_eq!(by_calls, by_changes);
    assert_eq!(by_changes.len(), 6);
}

#[test]
fn after_a_restart_the_store_works_and_counts_anew() {
    let (_, store) = pair();
    let store = store.crash_after_changes(1);
    run(&store).unwrap_err();
    store.restart();
    assert_eq!(store.get(&name("sessions/1"), 100).unwrap(), b"lease");
    assert_eq!(store.calls().len(), 1);
    run(&store).unwrap();
}

#[test]
fn a_call_that_fails_does_nothing() {
    let (memory, store) = pair();
    memory.set(&name("a"), "before");
    let store = store.fail(|call| call.name == "a");
    store.put(&name("a"), b"after").unwrap_err();
    store.delete(&name("a")).unwrap_err();
    store.stage().unwrap().commit(&name("a")).unwrap_err();
    store.put(&name("b"), b"after").unwrap();
    assert_eq!(held(&memory, "a").unwrap(), b"before");
    assert_eq!(store.faults(), 3);
}

#[test]
fn an_unclear_call_happens_and_reports_failure() {
    let (memory, store) = pair();
    let store = store.fault(Fault::Unclear, |call| call.verb.changes());
    store.put(&name("a"), b"put").unwrap_err();
    store.stage().unwrap().commit(&name("b")).unwrap_err();
    assert_eq!(held(&memory, "a").unwrap(), b"put");
    assert_eq!(held(&memory, "b").unwrap(), b"");
    store.delete(&name("a")).unwrap_err();
    assert_eq!(held(&memory, "a"), None);
}

#[test]
fn a_torn_put_stores_the_beginning_and_reports_failure() {
    let (memory, store) = pair();
    let store = store.fault(Fault::Torn { keep: 3 }, |call| call.verb.changes());
    store.put(&name("a"), b"bytes").unwrap_err();
    let mut staged = store.stage().unwrap();
    staged.write(b"staged").unwrap();
    staged.commit(&name("b")).unwrap_err();
    assert_eq!(held(&memory, "a").unwrap(), b"byt");
    assert_eq!(held(&memory, "b").unwrap(), b"sta");
    store.delete(&name("a")).unwrap_err();
    assert!(held(&memory, "a").is_some());
}

#[test]
fn cut_and_flipped_reads_report_success() {
    let (memory, store) = pair();
    memory.set(&name("a"), [0; 4]);
    memory.set(&name("empty"), "");
    let store = store
        .fault(Fault::Cut { keep: 3 }, |call| call.verb == Verb::Get)
        .fault(Fault::Flip { byte: 5 }, |call| call.verb == Verb::GetRange);
    assert_eq!(store.get(&name("a"), 100).unwrap(), [0, 0, 0]);
    assert_eq!(store.get_range(&name("a"), 0, 4).unwrap(), [0, 1, 0, 0]);
    assert_eq!(store.get_range(&name("empty"), 0, 4).unwrap(), b"");
}

#[test]
fn a_lying_medium_stores_something_else() {
    let (memory, store) = pair();
    let store = store.fault_at(0, Fault::Cut { keep: 2 }).fault_at(1, Fault::Flip { byte: 0 });
    store.put(&name("a"), b"bytes").unwrap();
    store.put(&name("b"), b"bytes").unwrap();
    assert_eq!(held(&memory, "a").unwrap(), b"by");
    assert_eq!(held(&memory, "b").unwrap(), b"cytes");
}

#[test]
fn a_cut_listing_hides_objects() {
    let (memory, store) = pair();
    for object in ["a/1", "a/2", "a/3"] {
        memory.set(&name(object), "");
    }
    let store = store.fault_once(Fault::Cut { keep: 2 }, |call| call.verb == Verb::List);
    assert_eq!(names(&store, "a").len(), 2);
    assert_eq!(names(&store, "a").len(), 3);
}

#[test]
fn a_full_store_says_so() {
    let (_, store) = pair();
    let store = store.fault(Fault::Full, |call| call.verb == Verb::Write);
    let mut staged = store.stage().unwrap();
    let full = staged.write(b"bytes");
    assert!(matches!(full, Err(StoreError::Full { .. })), "{full:?}");
}

#[test]
fn a_staged_object_that_missed_a_write_is_never_committed() {
    let (memory, store) = pair();
    let store = store.fault_once(Fault::Fail, |call| call.verb == Verb::Write);
    let mut staged = store.stage().unwrap();
    staged.write(b"lost").unwrap_err();
    staged.write(b"kept").unwrap_err();
    staged.commit(&name("a")).unwrap_err();
    assert!(memory.objects().is_empty());
}

#[test]
fn a_rule_lets_another_actor_take_a_step() {
    let (memory, store) = pair();
    let other = memory.clone();
    let store = store.rule(move |call| {
        if call.verb == Verb::Get {
            other.remove(&name("a"));
        }
        None
    });
    store.put(&name("a"), b"bytes").unwrap();
    assert_not_found(store.get(&name("a"), 100));
}

#[test]
fn a_message_names_the_injected_fault() {
    let (_, store) = pair();
    let error = store.crash_after(0).put(&name("a/b"), b"").unwrap_err();
    let expected = "cannot put a/b in memory: a fault was injected: Some(Crash)";
    assert_eq!(error.to_string(), expected);
}
