//! A store that puts an object on the condition that there is none: of many at the same time one is told that he did.
//! Emulators look and then put, so that this is asked of a real one.

use std::sync::Barrier;

use super::*;

#[test]
fn of_many_who_put_a_new_object_one_did() {
    let Subject { store, .. } = &ceph();
    (0..10).for_each(|round| one_did(store, &name(&format!("config{round}"))));
}

fn one_did(store: &RemoteStore, object: &ObjectName) {
    let together = &Barrier::new(8);
    let did: Vec<bool> = std::thread::scope(|scope| {
        let put = |who: u8| {
            scope.spawn(move || {
                together.wait();
                store.put_new(object, &[who]).unwrap()
            })
        };
        let threads: Vec<_> = (0..8).map(put).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let there = store.get(object, 1).unwrap()[0];
    assert_eq!(did.iter().filter(|did| **did).count(), 1, "{did:?}");
    assert!(did[usize::from(there)], "{there} is there of {did:?}");
}
