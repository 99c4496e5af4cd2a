//! What of the sources is left out. Touches the disk.
//!
//! A path that was given to be backed up is taken whatever a filter says; what is below it is filtered.
//! What is left out is not looked into.

use std::io::{self, Read};
use std::path::Path;

use super::directory::Directory;
use super::ignore_rules::{IgnoreRules, open_regular};
use super::names::Names;
use crate::ops::pattern::{Patterns, Steps};
use crate::ops::source::{Kind, Trouble};

/// Everything that says what is left out. The default leaves out nothing.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Paths that match one of these sets (`--exclude`, `--iexclude` and their files).
    pub excludes: Vec<Patterns>,
    /// All but the tag itself in directories that hold one of these (`--exclude-if-present`,
    /// `--exclude-caches`).
    pub tags: Vec<Tag>,
    /// Everything but directories that is larger than this many bytes (`--exclude-larger-than`).
    pub larger_than: Option<u64>,
    /// What files of these names say, in the manner of `.gitignore`, about what is below them
    /// (`--ignore-file`).
    pub ignore_files: Vec<Vec<u8>>,
    /// What is in directories on another device than their source's (`--one-file-system`); they
    /// themselves are kept, empty, so that a mount finds its place. Only directories are asked for their
    /// device: files of an overlay may bear another one than the directory that holds them.
    pub one_file_system: bool,
}

/// A file that says that its directory is not worth keeping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    name: Vec<u8>,
    header: Vec<u8>,
}

impl Tag {
    /// `FILE`, or `FILE:HEADER` if the file has to begin with it; `None` without a name.
    pub fn parse(spec: &[u8]) -> Option<Tag> {
        let mut parts = spec.splitn(2, |&byte| byte == b':');
        let name = parts.next().filter(|name| !name.is_empty() && !name.contains(&b'/'))?;
        Some(Tag { name: name.to_vec(), header: parts.next().unwrap_or_default().to_vec() })
    }

    /// The mark of a cache directory (<https://bford.info/cachedir/>).
    pub fn cache() -> Tag {
        let header = b"Signature: 8a477f597d28d172789f06886806bc55";
        Tag { name: b"CACHEDIR.TAG".to_vec(), header: header.to_vec() }
    }

    fn marks(&self, directory: &Directory, names: &Names) -> io::Result<bool> {
        if !names.contains(&self.name) || self.header.is_empty() {
            return Ok(names.contains(&self.name));
        }
        let mut start = Vec::with_capacity(self.header.len());
        let header_len = u64::try_from(self.header.len()).map_err(io::Error::other)?;
        open_regular(directory, &self.name)?.take(header_len).read_to_end(&mut start)?;
        Ok(start == self.header)
    }
}

/// The patterns in a file for `--exclude-file`, `--iexclude-file` and the like: one on each line, blank
/// lines and those that begin with `#` passed over, blanks at both ends removed. Environment variables are
/// not expanded: a pattern must mean the same in a shell, a timer and a container.
pub fn read_patterns(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let text = std::fs::read(path)?;
    let lines = super::files_from::lines(&text).map(<[u8]>::trim_ascii);
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).map(<[u8]>::to_vec).collect())
}

impl Filter {
    /// Whether [`leaves_out_path`](Self::leaves_out_path) needs to be asked.
    pub(super) fn has_patterns(&self) -> bool {
        self.excludes.iter().any(|patterns| !patterns.is_empty())
    }

    /// Whether a path is left out for its names alone.
    pub(super) fn leaves_out_path(&self, path: &Steps) -> bool {
        self.excludes.iter().any(|patterns| patterns.matches(path))
    }

    /// Whether a thing is left out for its size.
    pub(super) fn leaves_out_size(&self, kind: Kind) -> bool {
        match (kind, self.larger_than) {
            (Kind::File { size: Some(size) }, Some(limit)) => size > limit,
            _ => false,
        }
    }

    /// Leaves of the names in a directory only tags, if one of them marks it. `keep` are names that
    /// stay in any case.
    pub(super) fn cut_marked(
        &self,
        directory: &Directory,
        names: &mut Names,
        keep: impl Fn(&[u8]) -> bool,
        troubles: &mut Vec<Trouble>,
    ) {
        for tag in &self.tags {
            match tag.marks(directory, names) {
                Ok(true) => names.retain(|name| name == tag.name || keep(name)),
                Ok(false) => {}
                Err(error) => troubles.push(Trouble {
                    path: directory.show(&tag.name),
                    why: format!("cannot be read, so its directory is not left out: {error}"),
                }),
            }
        }
    }

    /// The rules that hold in a directory: those from above, and its own.
    pub(super) fn ignore_rules(
        &self,
        directory: &Directory,
        names: &Names,
        troubles: &mut Vec<Trouble>,
    ) -> Option<IgnoreRules> {
        let mut rules = None;
        for name in self.ignore_files.iter().filter(|name| names.contains(name)) {
            let trouble = |why: String| Trouble { path: directory.show(name), why };
            match rules.as_ref().unwrap_or(&directory.ignore).with(directory, name) {
                Ok((more, bad)) => {
                    rules = Some(more);
                    troubles.extend(bad.into_iter().map(|why| trouble(format!("a rule is passed over: {why}"))));
                }
                Err(error) => troubles.push(trouble(format!("its rules cannot be read, so none hold: {error}"))),
            }
        }
        rules
    }
}
