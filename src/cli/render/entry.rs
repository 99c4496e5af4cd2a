//! What stands in a snapshot: a line for people, an object for programs.

use serde::Serialize;

use super::{NameFields, PathFields, local, rfc3339, size};
use crate::format::tree::{Entry, Node};

/// "drwxr-xr-x", as `ls -l` shows it.
pub fn permissions(entry: &Entry) -> String {
    let mode = entry.meta.mode;
    let mut shown = String::with_capacity(10);
    shown.push(letter(&entry.node));
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        shown.push(if bits & 4 != 0 { 'r' } else { '-' });
        shown.push(if bits & 2 != 0 { 'w' } else { '-' });
        shown.push(match (bits & 1 != 0, mode & special != 0) {
            (true, false) => 'x',
            (false, false) => '-',
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
        });
    }
    shown
}

fn letter(node: &Node) -> char {
    match node {
        Node::File(_) => '-',
        Node::Directory(_) => 'd',
        Node::Symlink(_) => 'l',
        Node::Fifo => 'p',
        Node::Socket => 's',
        Node::CharDevice(_) => 'c',
        Node::BlockDevice(_) => 'b',
    }
}

/// Mode, owner, size and time, in columns that line up as long as nothing is unusually wide.
pub fn details(entry: &Entry) -> String {
    let meta = &entry.meta;
    let owner = |name: &str, number: u32| if name.is_empty() { number.to_string() } else { name.to_owned() };
    let (user, group) = (owner(&meta.user, meta.uid), owner(&meta.group, meta.gid));
    let shown_size = match &entry.node {
        Node::File(content) => size(content.size),
        Node::CharDevice(device) | Node::BlockDevice(device) => format!("{}, {}", device.major, device.minor),
        _ => "-".into(),
    };
    format!("{}  {user:<8}  {group:<8}  {shown_size:>10}  {}", permissions(entry), local(meta.mtime))
}

/// Where a symbolic link leads.
pub fn link_target(entry: &Entry) -> Option<&[u8]> {
    match &entry.node {
        Node::Symlink(target) => Some(target),
        _ => None,
    }
}

/// An entry for programs, with restic's names where it has one.
#[derive(Debug, Serialize)]
pub struct EntryFields {
    #[serde(flatten)]
    name: NameFields,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    path: PathFields,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    mode: u32,
    permissions: String,
    mtime: String,
    ctime: String,
    #[serde(skip_serializing_if = "is_zero")]
    inode: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    linktarget: Option<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl EntryFields {
    /// The fields for what stands at `path`, which begins with a slash.
    pub fn of(path: &[u8], entry: &Entry) -> Self {
        let meta = &entry.meta;
        EntryFields {
            name: NameFields::of(&entry.key.name),
            kind: kind(&entry.node),
            path: PathFields::of(path),
            uid: meta.uid,
            gid: meta.gid,
            user: meta.user.to_string(),
            group: meta.group.to_string(),
            size: matches!(entry.node, Node::File(_)).then(|| entry.bytes()),
            mode: meta.mode,
            permissions: permissions(entry),
            mtime: rfc3339(meta.mtime),
            ctime: rfc3339(meta.ctime),
            inode: meta.inode,
            linktarget: link_target(entry).map(|target| String::from_utf8_lossy(target).into_owned()),
        }
    }
}

fn kind(node: &Node) -> &'static str {
    match node {
        Node::File(_) => "file",
        Node::Directory(_) => "dir",
        Node::Symlink(_) => "symlink",
        Node::Fifo => "fifo",
        Node::Socket => "socket",
        Node::CharDevice(_) => "chardev",
        Node::BlockDevice(_) => "dev",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::codec::Text;
    use crate::format::extras::Extras;
    use crate::format::tree::{EntryKey, Meta, Name, Time};

    fn fifo(mode: u32) -> Entry {
        let time = Time { secs: 0, nanos: 0 };
        let (user, group) = (Text::truncated("www"), Text::truncated(""));
        let meta = Meta { mode, uid: 33, gid: 34, user, group, mtime: time, ctime: time, inode: 0 };
        let key = EntryKey { name: Name::new("pipe").unwrap(), discriminator: 0 };
        Entry { key, node: Node::Fifo, meta, extras: Extras::default() }
    }

    #[test]
    fn permissions_look_as_ls_shows_them() {
        let cases = [(0o644, "prw-r--r--"), (0o7755, "prwsr-sr-t"), (0o7000, "p--S--S--T"), (0o4100, "p--s------")];
        for (mode, shown) in cases {
            assert_eq!(permissions(&fifo(mode)), shown);
        }
    }

    #[test]
    fn an_owner_without_a_name_is_a_number() {
        let details = details(&fifo(0o600));
        assert!(details.starts_with("prw-------  www       34                 -  "), "{details}");
    }
}
