//! Paths taken out of history.

use keepstone::format::control::SnapshotState;
use keepstone::ops::replace::{Originals, ReplaceOptions};
use keepstone::repo::pack_name;
use keepstone::storage::Store;

use crate::scene::*;
use crate::stored::{About, Files, commit, init, noise, open};

#[test]
fn what_matches_is_gone_from_all_snapshots_and_the_rest_is_as_it_was() {
    let (store, ids) = scene();
    let repository = open(store.clone());

    let (result, told) = rewrite_all(&repository, &["/srv/app/cache", "secret"], &options(Originals::Forget));

    result.unwrap();
    assert_eq!(told.outcomes, outcomes(&ids, &["replaced", "replaced", "unchanged"]));
    assert_eq!(told.removed, ["/etc/secret", "/srv/app/cache", "/etc/secret", "/srv/app/cache"]);
    let after = by_time(&repository);
    for (secs, files) in [(1, first()), (2, second())] {
        let expected = without(&without(&files, "srv/app/cache"), "etc/secret");
        let (_, snapshot) = &after[&secs][0];
        assert!(held(&repository, &snapshot.root) == expected);
        assert_eq!((after[&secs].len(), snapshot.state), (1, SnapshotState::Complete));
        let tags = if secs == 1 { vec!["a"] } else { vec!["a", "b"] };
        assert_eq!(tags_of(snapshot), tags, "an original that is gone needs no telling apart");
    }
    assert_eq!((after[&3][0].0, recorded(&repository)), (ids[2], ids[..2].iter().copied().collect()));
    let report = checked(&store);
    assert_eq!((report.damages, report.warnings), (0, 0));
}

#[test]
fn originals_are_kept_unless_told_otherwise_and_the_new_ones_are_tagged() {
    let (store, ids) = scene();
    let repository = open(store.clone());
    rewrite_all(&repository, &["/etc/secret"], &options(Originals::Keep)).0.unwrap();
    let after = by_time(&repository);
    for (secs, old) in [(1, ids[0]), (2, ids[1])] {
        let new: Vec<_> = after[&secs].iter().filter(|(id, _)| *id != old).collect();
        assert_eq!((after[&secs].len(), new.len()), (2, 1));
        assert!(tags_of(&new[0].1).contains(&"rewrite"));
    }
    assert!(recorded(&repository).is_empty());
    assert_eq!(checked(&store).damages, 0);
}

#[test]
fn the_new_tree_is_the_one_that_a_backup_without_it_makes() {
    let store = init(1 << 16);
    let repository = open(store);
    let mut files: Files = (0..3000).map(|number| (format!("many/{number:05}"), vec![number as u8])).collect();
    files.insert("large".into(), noise(1, 100_000));
    let (_, root) = commit(&repository, &files, &About::default());
    rewrite_all(&repository, &["/many/*[05]", "/large"], &options(Originals::Forget)).0.unwrap();

    let gone = |path: &String| path == "large" || path.ends_with('0') || path.ends_with('5');
    files.retain(|path, _| !gone(path));
    let (_, expected) = commit(&repository, &files, &About { secs: 2, ..About::default() });

    assert_eq!(by_time(&repository)[&1000][0].1.root, expected);
    assert_ne!(root, expected);
}

#[test]
fn a_dry_run_says_what_it_would_take_out_and_writes_nothing() {
    let (store, ids) = scene();
    let before = store.objects();
    let dry = ReplaceOptions { dry_run: true, ..options(Originals::Forget) };
    let (result, told) = rewrite_all(&open(store.clone()), &["cache"], &dry);
    result.unwrap();
    assert_eq!(told.outcomes, outcomes(&ids, &["replaced", "replaced", "unchanged"]));
    assert_eq!(told.removed, ["/srv/app/cache"; 2]);
    assert_eq!(store.objects(), before);
}

#[test]
fn a_snapshot_of_which_nothing_would_be_left_is_left_as_it_is() {
    let (store, ids) = scene();
    let repository = open(store);
    let (result, told) = rewrite_all(&repository, &["/etc", "/srv"], &options(Originals::Forget));
    result.unwrap();
    assert_eq!(told.outcomes, outcomes(&ids, &["left", "left", "unchanged"]));
    assert!(recorded(&repository).is_empty());
}

#[test]
fn what_is_damaged_can_be_taken_out_and_what_stays_must_be_there() {
    let store = init(1 << 16);
    let repository = open(store.clone());
    let kept = crate::stored::files([("a/kept", noise(1, 9000))]);
    let (one, _) = commit(&repository, &kept, &About { secs: 1, ..About::default() });
    let sound = repository.view().packs();
    let mut more = kept.clone();
    more.insert("b/lost".into(), noise(2, 9000));
    more.insert("b/other".into(), noise(3, 9000));
    let (two, _) = commit(&repository, &more, &About { secs: 2, ..About::default() });
    let packs = repository.view().packs();
    let data = packs.keys().filter(|pack| !sound.contains_key(pack));
    let largest = data.max_by_key(|pack| packs[*pack].len).unwrap();
    store.delete(&pack_name(largest)).unwrap();

    let (result, told) = rewrite_all(&open(store.clone()), &["/b/other"], &options(Originals::Forget));
    result.unwrap();
    assert_eq!(told.outcomes, outcomes(&[one, two], &["unchanged", "left"]));

    let repository = open(store.clone());
    let (result, told) = rewrite_all(&repository, &["/b"], &options(Originals::Forget));
    result.unwrap();
    assert_eq!(told.outcomes, outcomes(&[one, two], &["unchanged", "replaced"]));
    assert!(held(&repository, &by_time(&repository)[&2][0].1.root) == kept);
}
