//! Trees split by their content alone, and a small change writes little.

use std::cell::RefCell;
use std::collections::BTreeMap;

use keepstone::crypto::{Keyset, generate_keyring};
use keepstone::format::codec::{Bytes, Text};
use keepstone::format::content::{Body, Content};
use keepstone::format::control::Label;
use keepstone::format::extras::Extras;
use keepstone::format::keys::Slot;
use keepstone::format::pack::BlobKind;
use keepstone::format::tree::{Entry, EntryKey, Meta, Name, Node, Time, TreeNode, TreeRef};
use keepstone::format::{Structure, limits};
use keepstone::id::{BlobId, KeyslotId, RepositoryId};
use keepstone::repo::split::TreeBuilder;
use keepstone::repo::{SystemChance, default_settings};
use proptest::prelude::*;

type Blobs = RefCell<BTreeMap<BlobId, Vec<u8>>>;

fn keys() -> Keyset {
    let slot = Slot {
        id: KeyslotId::from_bytes([1; 32]),
        public: [2; 32],
        label: Label::default(),
        created: Time::default(),
        extras: Extras::default(),
    };
    Keyset::new(&generate_keyring(RepositoryId::from_bytes([3; 32]), slot, default_settings(), &SystemChance))
}

fn entry(name: &str, mtime: i64) -> Entry {
    Entry {
        key: EntryKey { name: Name::new(name).unwrap(), discriminator: 0 },
        node: Node::File(Content { size: 1, body: Body::Inline(Bytes::new([7]).unwrap()) }),
        meta: Meta { mtime: Time { secs: mtime, nanos: 0 }, user: Text::new("al").unwrap(), ..Meta::default() },
        extras: Extras::default(),
    }
}

fn build(keys: &Keyset, entries: &BTreeMap<String, i64>, blobs: &Blobs) -> TreeRef {
    let mut save = |kind, plain: Vec<u8>| {
        let id = keys.namer().name(kind, &plain);
        blobs.borrow_mut().insert(id, plain);
        Ok(id)
    };
    let mut builder = TreeBuilder::default();
    for (name, mtime) in entries {
        builder.push(keys, &entry(name, *mtime), &mut save).unwrap();
    }
    builder.finish(keys, &mut save).unwrap()
}

/// The names in a tree, each node checked against what refers to it.
fn names(tree: &TreeRef, blobs: &Blobs) -> Vec<String> {
    let node = TreeNode::from_bytes(&blobs.borrow()[&tree.id]).unwrap();
    node.is_what(tree).unwrap();
    match node {
        TreeNode::Leaf(entries) => {
            assert!(entries.len() <= limits::NODE_ENTRIES_MAX);
            entries.iter().map(|entry| String::from_utf8(entry.key.name.to_vec()).unwrap()).collect()
        }
        TreeNode::Interior(children) => children.iter().flat_map(|child| names(&child.tree, blobs)).collect(),
    }
}

#[test]
fn one_changed_entry_of_a_million_writes_a_handful_of_small_blobs() {
    let keys = keys();
    let mut entries: BTreeMap<String, i64> = (0..1_000_000).map(|number| (format!("{number:07}"), 1)).collect();
    let blobs = Blobs::default();
    let before = build(&keys, &entries, &blobs);
    assert!(before.level >= 2, "{before:?}");
    assert_eq!((before.entries, before.bytes), (1_000_000, 1_000_000));
    let known = blobs.borrow().len();
    let known_bytes: usize = blobs.borrow().values().map(Vec::len).sum();

    *entries.get_mut("0500000").unwrap() = 2;
    let after = build(&keys, &entries, &blobs);

    assert_ne!(before, after);
    let added = blobs.borrow().len() - known;
    let added_bytes = blobs.borrow().values().map(Vec::len).sum::<usize>() - known_bytes;
    assert!(added <= 4, "{added} nodes");
    assert!(added_bytes < 600 << 10, "{added_bytes} bytes");
}

#[test]
fn an_empty_directory_is_one_empty_leaf() {
    let (keys, blobs) = (keys(), Blobs::default());
    let tree = build(&keys, &BTreeMap::new(), &blobs);
    assert_eq!((tree.level, tree.entries, tree.bytes), (0, 0, 0));
    assert_eq!(names(&tree, &blobs), Vec::<String>::new());
}

#[test]
fn names_that_do_not_ascend_are_refused() {
    let keys = keys();
    let mut save = |kind: BlobKind, plain: Vec<u8>| Ok(keys.namer().name(kind, &plain));
    for second in ["a", "b"] {
        let mut builder = TreeBuilder::default();
        builder.push(&keys, &entry("b", 1), &mut save).unwrap();
        assert!(builder.push(&keys, &entry(second, 1), &mut save).is_err());
    }
}

#[derive(Debug, Clone)]
enum Edit {
    Put(u16, i64),
    Remove(u16),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let put = (0u16..3000, 0i64..3).prop_map(|(name, mtime)| Edit::Put(name, mtime));
    let remove = (0u16..3000).prop_map(Edit::Remove);
    prop::collection::vec(prop_oneof![3 => put, 1 => remove], 0..1800)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_order_of_edits_gives_the_same_root(edits in edits(), every in 200usize..800) {
        let (keys, blobs) = (keys(), Blobs::default());
        let mut entries = BTreeMap::new();
        for (number, edit) in edits.iter().enumerate() {
            match edit {
                Edit::Put(name, mtime) => drop(entries.insert(format!("{name}"), *mtime)),
                Edit::Remove(name) => drop(entries.remove(&format!("{name}"))),
            }
            if number % every == 0 {
                build(&keys, &entries, &blobs);
            }
        }

        let edited = build(&keys, &entries, &blobs);
        let fresh = Blobs::default();
        let at_once = build(&keys, &entries, &fresh);

        prop_assert_eq!(&edited, &at_once);
        prop_assert_eq!(names(&at_once, &fresh), entries.keys().cloned().collect::<Vec<_>>());
    }
}
