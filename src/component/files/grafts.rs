//! Where the given paths stand in the snapshot: which directories lead to them, in one sorted list.
//!
//! A snapshot of `/home/al/docs` and `/etc/hosts` has `etc` and `home` at its top, and of `home` only what
//! leads to `docs`. Pure: no file system is asked.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The given paths, sorted name by name, none twice.
#[derive(Debug)]
pub(super) struct Grafts {
    /// Absolute, without a slash at the end: the top is empty.
    paths: Vec<Vec<u8>>,
    /// What is to be found at the only path, when that is not where it lies.
    elsewhere: Option<PathBuf>,
}

/// A path that leads to given ones, or is one: the given ones from it on, and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Graft {
    from: usize,
    to: usize,
    len: usize,
}

impl Grafts {
    /// Paths that are in the snapshot where they are on disk.
    pub(super) fn in_place(mut paths: Vec<Vec<u8>>) -> Grafts {
        paths.sort_unstable_by(|a, b| by_names(a, b));
        paths.dedup();
        Grafts { paths, elsewhere: None }
    }

    /// What lies at `real`, to stand at `path` in the snapshot.
    pub(super) fn moved(path: Vec<u8>, real: PathBuf) -> Grafts {
        Grafts { paths: vec![path], elsewhere: Some(real) }
    }

    /// The top of the snapshot.
    pub(super) fn root(&self) -> Graft {
        Graft { from: 0, to: self.paths.len(), len: 0 }
    }

    /// Whether no path is left.
    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether it is a given path itself, and not only on the way to some.
    pub(super) fn is_source(&self, graft: Graft) -> bool {
        self.paths.get(graft.from).is_some_and(|path| graft.from < graft.to && path.len() == graft.len)
    }

    /// Where it lies on disk; `None` for a directory that is only there in the snapshot.
    pub(super) fn real(&self, graft: Graft) -> Option<Cow<'_, Path>> {
        if let Some(elsewhere) = &self.elsewhere {
            return self.is_source(graft).then_some(Cow::Borrowed(elsewhere));
        }
        Some(Cow::Borrowed(as_path(self.path(graft))))
    }

    /// Where it stands in the snapshot, for people.
    pub(super) fn show(&self, graft: Graft) -> String {
        as_path(self.path(graft)).display().to_string()
    }

    /// What is in it on the way to given paths, in ascending order of names.
    pub(super) fn children(&self, graft: Graft) -> impl Iterator<Item = (&[u8], Graft)> {
        let mut from = graft.from;
        std::iter::from_fn(move || {
            from += usize::from(self.is_source(Graft { from, ..graft }));
            let name = self.name_below(graft, from).filter(|_| from < graft.to)?;
            let child = self.child(Graft { from, ..graft }, name)?;
            from = child.to;
            Some((name, child))
        })
    }

    /// The one of its children that has a name.
    pub(super) fn child(&self, graft: Graft, name: &[u8]) -> Option<Graft> {
        let below = self.paths.get(graft.from..graft.to)?;
        let before = |path: &Vec<u8>| first_name(path, graft.len).is_none_or(|first| first < name);
        let until = |path: &Vec<u8>| first_name(path, graft.len).is_none_or(|first| first <= name);
        let from = graft.from + below.partition_point(before);
        let to = graft.from + below.partition_point(until);
        (from < to).then_some(Graft { from, to, len: graft.len + 1 + name.len() })
    }

    fn path(&self, graft: Graft) -> &[u8] {
        self.paths.get(graft.from).and_then(|path| path.get(..graft.len)).unwrap_or_default()
    }

    fn name_below(&self, graft: Graft, at: usize) -> Option<&[u8]> {
        first_name(self.paths.get(at)?, graft.len)
    }
}

/// The name that follows the first `len` bytes and a slash.
fn first_name(path: &[u8], len: usize) -> Option<&[u8]> {
    path.get(len + 1..)?.split(|&byte| byte == b'/').next()
}

/// `a/b` before `a!`: a slash ends a name and so comes before everything.
fn by_names(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.iter().map(rank).cmp(b.iter().map(rank))
}

fn as_path(path: &[u8]) -> &Path {
    match path {
        b"" => Path::new("/"),
        path => Path::new(OsStr::from_bytes(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(grafts: &Grafts, graft: Graft, depth: usize, lines: &mut Vec<String>) {
        for (name, child) in grafts.children(graft) {
            let mark = if grafts.is_source(child) { "*" } else { "" };
            lines.push(format!("{}{}{mark}", " ".repeat(depth), String::from_utf8_lossy(name)));
            assert_eq!(grafts.child(graft, name), Some(child));
            outline(grafts, child, depth + 1, lines);
        }
    }

    #[test]
    fn paths_meet_in_the_directories_that_they_share() {
        let given = ["/home/al/docs", "/etc/hosts", "/home/al", "/home!", "/home/al/docs", "/home/bo"];
        let grafts = Grafts::in_place(given.iter().map(|path| path.as_bytes().to_vec()).collect());
        let mut lines = Vec::new();
        outline(&grafts, grafts.root(), 0, &mut lines);
        assert_eq!(lines, ["etc", " hosts*", "home", " al*", "  docs*", " bo*", "home!*"]);
        assert_eq!(grafts.child(grafts.root(), b"hom"), None);
        assert!(!grafts.is_source(grafts.root()));
    }

    #[test]
    fn the_top_can_be_given() {
        let grafts = Grafts::in_place(vec![b"/a".to_vec(), b"".to_vec()]);
        assert!(grafts.is_source(grafts.root()));
        assert_eq!(grafts.children(grafts.root()).count(), 1);
    }

    #[test]
    fn no_path_leaves_an_empty_top() {
        let grafts = Grafts::in_place(Vec::new());
        assert!(grafts.is_empty() && !grafts.is_source(grafts.root()));
        assert_eq!(grafts.children(grafts.root()).count(), 0);
    }
}
