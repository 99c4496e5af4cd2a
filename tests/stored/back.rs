//! What comes back out of a repository, and what a check says of it.

use std::sync::Mutex;

use keepstone::format::tree::{Node, TreeRef};
use keepstone::ops::check::{Listener, ReadData, Severity, check};
use keepstone::ops::progress::WorkCounters;
use keepstone::repo::Repository;
use keepstone::repo::walk::Entries;
use keepstone::storage::MemoryStore;

use super::stored::{Files, open};

/// All files of a tree.
pub fn read_back(repository: &Repository, root: &TreeRef) -> Files {
    let mut found = Files::new();
    for entry in Entries::new(repository, root) {
        let entry = entry.unwrap();
        let name = String::from_utf8(entry.key.name.to_vec()).unwrap();
        match &entry.node {
            Node::File(content) => drop(found.insert(name, repository.read_content(content, 1 << 20).unwrap())),
            Node::Directory(tree) => {
                found.extend(
                    read_back(repository, tree).into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)),
                );
            }
            other => panic!("{other:?}"),
        }
    }
    found
}

/// The objects that a check finds damaged, every byte of every pack read.
pub fn checked(store: &MemoryStore) -> Vec<String> {
    let found = Mutex::new(Vec::new());
    let listener = Listener {
        counters: &WorkCounters::new("objects"),
        on_finding: &|finding| {
            if finding.severity > Severity::Warning {
                found.lock().unwrap().push(finding.subject.to_string());
            }
        },
        interrupted: &|| false,
    };
    check(&mut open(store.clone()), ReadData::All, &listener).unwrap();
    found.into_inner().unwrap()
}

/// A check finds nothing.
pub fn assert_sound(store: &MemoryStore) {
    assert_eq!(checked(store), Vec::<String>::new());
}
