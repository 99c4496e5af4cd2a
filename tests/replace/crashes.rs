//! A replacement that dies at any store call: every snapshot is there, or another one that holds what it should.

use keepstone::ops::replace::Originals;
use keepstone::repo::{Repository, Result};
use keepstone::storage::FaultyStore;

use crate::scene::*;
use crate::stored::{Files, open};

/// Runs `act` with a crash after each store call in turn. What each snapshot holds is one of `good`.
fn crash(act: impl Fn(&Repository) -> Result<()>, good: impl Fn(i64) -> [Files; 2]) -> u64 {
    for calls in 0.. {
        let (store, ids) = scene();
        let faulty = FaultyStore::new(store.clone());
        let repository = open(faulty.clone());
        let opened = faulty.calls().len() as u64;
        let _ = faulty.clone().crash_after(opened + calls);
        let _ = act(&repository);
        drop(repository);

        let repository = open(store.clone());
        let there = by_time(&repository);
        assert_eq!(there.len(), 3, "after {calls} calls");
        for (secs, snapshots) in &there {
            let reported = reported(&repository);
            assert!(snapshots.iter().any(|(id, _)| reported.contains(id)), "{secs} after {calls} calls");
            for (_, snapshot) in snapshots {
                assert!(good(*secs).contains(&held(&repository, &snapshot.root)), "{secs} after {calls} calls");
            }
        }
        let listed: Vec<_> = there.values().flatten().map(|(id, _)| *id).collect();
        let gone = ids.iter().filter(|id| !listed.contains(id));
        assert!(recorded(&repository).is_superset(&gone.copied().collect()), "after {calls} calls");
        assert_eq!(checked(&store).damages, 0, "after {calls} calls");
        act(&repository).unwrap();
        assert!(by_time(&open(store)).values().all(|of| !of.is_empty()), "the next one succeeds");
        if faulty.faults() == 0 {
            return calls;
        }
    }
    unreachable!("it ends when nothing crashes")
}

fn whole(secs: i64) -> Files {
    [first(), second(), third()][secs as usize - 1].clone()
}

#[test]
fn other_tags_at_every_store_call() {
    let points = crash(|repository| tag_all(repository, &add(&["c"])).0, |secs| [whole(secs), whole(secs)]);
    assert!(points > 15, "only {points} crash points were tried");
}

#[test]
fn less_in_them_at_every_store_call() {
    let act = |repository: &Repository| rewrite_all(repository, &["/etc/secret"], &options(Originals::Forget)).0;
    let points = crash(act, |secs| [whole(secs), without(&whole(secs), "etc/secret")]);
    assert!(points > 20, "only {points} crash points were tried");
}
