//! A target to restore into, and entries to restore.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keepstone::component::files::target::FilesTarget;
use keepstone::format::codec::{Ascending, Bytes, List};
use keepstone::format::content::{Body, Content};
use keepstone::format::extras::Extras;
use keepstone::format::tree::{Entry, EntryKey, Meta, Node, Time, TreeRef, Xattr, Xattrs};
use keepstone::id::BlobId;
use keepstone::ops::target::{DirPath, Target};

pub const MTIME: Time = Time { secs: 1_234_567_890, nanos: 123_456_789 };
pub const NOBODY: u32 = 65534;

/// A target beside which nothing may change.
pub struct Scene {
    pub place: tempfile::TempDir,
    pub target: FilesTarget,
    pub top: Arc<DirPath>,
}

impl Scene {
    /// In /var/tmp, which is on a disk: extended attributes and ACLs are kept there.
    pub fn new() -> Scene {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        let target = FilesTarget::open(&place.path().join("made/target")).unwrap();
        Scene { place, target, top: DirPath::top() }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.place.path().join("made/target").join(name)
    }

    pub fn outside(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub fn file(&self, dir: &Arc<DirPath>, name: &str, content: &[u8]) {
        write(&self.target, dir, &entry(name, file_of(content.len() as u64)), content);
    }

    pub fn dir(&self, dir: &Arc<DirPath>, name: &str) -> Arc<DirPath> {
        self.target.make_dir(dir, name.as_bytes()).unwrap();
        dir.child(name.as_bytes())
    }
}

pub fn write(target: &dyn Target, dir: &Arc<DirPath>, entry: &Entry, content: &[u8]) {
    let file = target.begin(dir, &sized(&entry.key.name, content.len() as u64)).unwrap();
    file.write_at(0, content).unwrap();
    file.finish(entry, &Xattrs::default()).unwrap();
}

pub fn file_of(size: u64) -> Node {
    Node::File(Content { size, body: Body::Items(List::default()) })
}

/// A file of that name and size, of which nothing else is said.
pub fn sized(name: &[u8], size: u64) -> Entry {
    let key = EntryKey { name: Bytes::new(name).unwrap(), discriminator: 0 };
    Entry { key, ..entry("any", file_of(size)) }
}

pub fn directory() -> Node {
    Node::Directory(TreeRef { id: BlobId::from_bytes([0; 32]), level: 0, entries: 0, bytes: 0 })
}

pub fn link_to(target: &str) -> Node {
    Node::Symlink(Bytes::new(target).unwrap())
}

pub fn entry(name: &str, node: Node) -> Entry {
    let key = EntryKey { name: Bytes::new(name).unwrap(), discriminator: 0 };
    let me = fs::metadata("/proc/self").unwrap();
    let meta = Meta { mode: 0o640, uid: me.uid(), gid: me.gid(), mtime: MTIME, ..Meta::default() };
    Entry { key, node, meta, extras: Extras::default() }
}

pub fn owned(mut entry: Entry, mode: u32, uid: u32, gid: u32) -> Entry {
    (entry.meta.mode, entry.meta.uid, entry.meta.gid) = (mode, uid, gid);
    entry
}

pub fn xattrs(list: &[(&str, &[u8])]) -> Xattrs {
    let xattr =
        |(name, value): &(&str, &[u8])| Xattr { name: Bytes::new(*name).unwrap(), value: Bytes::new(*value).unwrap() };
    Xattrs(Ascending::new(list.iter().map(xattr).collect()).unwrap())
}

pub fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 4096];
    let len = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(len);
    Some(value)
}

/// An ACL as the kernel stores it: owner rw-, user 1000 rwx, group as given, mask rwx, others none.
pub fn acl(group: u16) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    let none = u32::MAX;
    for (tag, bits, number) in [(1u16, 6u16, none), (2, 7, 1000), (4, group, none), (16, 7, none), (32, 0, none)] {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(bits.to_le_bytes());
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

pub fn listing(path: &Path) -> Vec<String> {
    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

pub fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

pub fn mtime(path: &Path) -> Time {
    let meta = fs::symlink_metadata(path).unwrap();
    Time { secs: meta.mtime(), nanos: meta.mtime_nsec().try_into().unwrap() }
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

pub fn owned_by_me(name: &str, mode: u32) -> Entry {
    let mut entry = entry(name, directory());
    entry.meta.mode = mode;
    entry
}
