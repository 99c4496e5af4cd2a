//! Lists of paths to back up, from a file or standard input. Touches the disk.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::ops::pattern::NamePattern;

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// A pattern on each line, as a shell would expand it, but that `*` finds hidden files too; blank lines
    /// and those that begin with `#` are passed over, blanks at both ends removed (`--files-from`).
    Patterns,
    /// A path on each line, as it stands; empty lines are passed over (`--files-from-verbatim`).
    Verbatim,
    /// Paths, each with a NUL after it, as `find -print0` gives them (`--files-from-raw`).
    Raw,
}

/// What a list says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// The paths, in the order of the list.
    pub paths: Vec<PathBuf>,
    /// Patterns that no path matches, for a warning.
    pub unmatched: Vec<String>,
}

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadList {
    /// It cannot be read.
    #[error("the list {list:?} cannot be read: {source}")]
    Unreadable {
        /// Its path.
        list: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// One of its lines is no pattern.
    #[error("the pattern {pattern:?} in the list {list:?} cannot be used: {why}")]
    Pattern {
        /// Its path.
        list: PathBuf,
        /// The line.
        pattern: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It is not a list of paths that each end in NUL.
    #[error("the list {list:?} is no list of paths with a NUL after each: {why}")]
    Raw {
        /// Its path.
        list: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The paths in the list `list`; `-` is standard input.
pub fn read_list(list: &Path, manner: Manner) -> Result<Listed, BadList> {
    let mut text = Vec::new();
    let read = match list.as_os_str().as_bytes() {
        b"-" => io::stdin().lock().read_to_end(&mut text),
        _ => std::fs::File::open(list).and_then(|mut file| file.read_to_end(&mut text)),
    };
    read.map_err(|source| BadList::Unreadable { list: list.to_owned(), source })?;
    parse_list(list, &text, manner)
}

fn parse_list(list: &Path, text: &[u8], manner: Manner) -> Result<Listed, BadList> {
    match manner {
        Manner::Patterns => {
            let patterns = lines(text).map(<[u8]>::trim_ascii);
            let patterns = patterns.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
            patterns.map(|pattern| (pattern, expand(pattern))).try_fold(
                Listed::default(),
                |mut listed, (word, found)| {
                    let pattern = || String::from_utf8_lossy(word).into_owned();
                    let found =
                        found.map_err(|why| BadList::Pattern { list: list.to_owned(), pattern: pattern(), why })?;
                    if found.is_empty() {
                        listed.unmatched.push(pattern());
                    }
                    listed.paths.extend(found);
                    Ok(listed)
                },
            )
        }
        Manner::Verbatim => Ok(all_paths(lines(text).filter(|line| !line.is_empty()))),
        Manner::Raw => {
            let bad = |why| Err(BadList::Raw { list: list.to_owned(), why });
            let Some(names) = text.strip_suffix(b"\0") else {
                return if text.is_empty() { Ok(Listed::default()) } else { bad("the last has none") };
            };
            match names.split(|&byte| byte == 0).any(<[u8]>::is_empty) {
                // The empty path would be taken for the working directory.
                true => bad("one of them is empty"),
                false => Ok(all_paths(names.split(|&byte| byte == 0))),
            }
        }
    }
}

fn all_paths<'a>(names: impl Iterator<Item = &'a [u8]>) -> Listed {
    let paths = names.map(|name| PathBuf::from(OsString::from_vec(name.to_vec())));
    Listed { paths: paths.collect(), unmatched: Vec::new() }
}

/// Lines, whatever editor wrote them: without the mark that some begin UTF-8 with, and without `\r`.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The paths that match a pattern, sorted within each directory.
fn expand(pattern: &[u8]) -> Result<Vec<PathBuf>, &'static str> {
    let start = if pattern.starts_with(b"/") { PathBuf::from("/") } else { PathBuf::new() };
    let names = pattern.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
    let names = names.map(NamePattern::parse).collect::<Result<Vec<_>, _>>()?;
    let found = names.iter().fold(vec![start], |found, name| match name.literal() {
        Some(literal) => found.into_iter().map(|path| path.join(OsStr::from_bytes(literal))).collect(),
        None => found.iter().flat_map(|path| matching(path, name)).collect(),
    });
    Ok(found.into_iter().filter(|path| std::fs::symlink_metadata(path).is_ok()).collect())
}

/// What in a directory matches; nothing, if it cannot be listed: then there is nothing to be found by it.
fn matching(directory: &Path, pattern: &NamePattern) -> Vec<PathBuf> {
    let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let entries = std::fs::read_dir(here).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name()).filter(|name| pattern.matches(name.as_bytes()));
    let mut paths: Vec<PathBuf> = names.map(|name| directory.join(name)).collect();
    paths.sort_unstable();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8], manner: Manner) -> Result<Listed, BadList> {
        parse_list(Path::new("list"), text, manner)
    }

    fn paths(listed: Listed) -> Vec<String> {
        listed.paths.iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn patterns_are_expanded_and_comments_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a.txt", ".hidden.txt", "c.log", "with space"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let root = dir.path().display();
        let text = format!("# txt\n\n  {root}/*.txt \r\n{root}/with space\n{root}/*.none\n{root}/gone\n");
        let listed = parse(text.as_bytes(), Manner::Patterns).unwrap();
        assert_eq!(listed.unmatched, [format!("{root}/*.none"), format!("{root}/gone")]);
        let names = [".hidden.txt", "a.txt", "b.txt", "with space"];
        assert_eq!(paths(listed), names.map(|name| format!("{root}/{name}")));
        let error = parse(b"/x/[", Manner::Patterns).unwrap_err().to_string();
        assert!(error.contains("\"/x/[\""), "{error}");
    }

    #[test]
    fn verbatim_lines_keep_their_blanks_and_stars() {
        let listed = parse(b" #a \n\n*\n", Manner::Verbatim).unwrap();
        assert_eq!(paths(listed), [" #a ", "*"]);
    }

    #[test]
    fn raw_lists_hold_any_name_but_the_empty_one() {
        assert_eq!(paths(parse(b"a\nb\0/c\0", Manner::Raw).unwrap()), ["a\nb", "/c"]);
        assert!(parse(b"", Manner::Raw).unwrap().paths.is_empty());
        assert!(parse(b"a\0b", Manner::Raw).is_err());
        assert!(parse(b"a\0\0b\0", Manner::Raw).is_err());
    }
}
