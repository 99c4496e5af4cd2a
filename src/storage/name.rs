//! The name of an object: what every kind of store can hold and tell apart.
//!
//! Lower case only, because some file systems fold case; no leading dot and no `..`, so that a name
//! never leaves the store and never meets a temporary; short enough for every path and object key.

use std::fmt;

/// The longest name, in bytes.
const MAX_NAME_LEN: usize = 200;

/// 1 to 200 bytes: segments of `[a-z0-9._-]` that do not begin with a dot, separated by single `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

/// What was offered is no name of an object.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("{offered:?} is no name of an object: {reason}")]
pub struct BadName {
    /// As much of it as a message can bear.
    offered: String,
    reason: &'static str,
}

impl ObjectName {
    /// The name that this text is, if every kind of store can hold it.
    pub fn new(name: &str) -> Result<Self, BadName> {
        match flaw(name) {
            None => Ok(Self(name.to_owned())),
            Some(reason) => Err(BadName { offered: name.chars().take(MAX_NAME_LEN).collect(), reason }),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name lies below the directory `dir`; every name lies below `""`.
    pub(super) fn is_below(&self, dir: &str) -> bool {
        dir.is_empty() || self.0.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
    }

    /// `packs/ab/cd` as `packs/ab` and `cd`; a name without a directory has an empty one.
    pub(super) fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }
}

fn flaw(name: &str) -> Option<&'static str> {
    let foreign = |b: u8| !matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/');
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > MAX_NAME_LEN {
        Some("it is longer than 200 bytes")
    } else if name.bytes().any(foreign) {
        Some("only a-z, 0-9, '.', '_', '-' and '/' may stand in it")
    } else if name.split('/').any(str::is_empty) {
        Some("a part between slashes is empty")
    } else if name.split('/').any(|segment| segment.starts_with('.')) {
        Some("a part begins with a dot")
    } else {
        None
    }
}

/// Refuses what can be the directory of no object: `packs/` would list nothing, and hide a mistake.
pub(super) fn check_directory(dir: &str) -> Result<(), BadName> {
    match dir {
        "" => Ok(()),
        dir => ObjectName::new(dir).map(drop),
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectName({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_store_can_hold_is_a_name() {
        let longest = "a".repeat(MAX_NAME_LEN);
        for good in ["config", "packs/ab/ab01", "sessions/0f.beat", "a-b_c.d", "0", &longest] {
            assert_eq!(ObjectName::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn what_could_leave_the_store_or_be_mistaken_is_no_name() {
        let too_long = "a".repeat(MAX_NAME_LEN + 1);
        let bad = [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "../a",
            "a/..",
            "a/./b",
            ".hidden",
            "a/.b",
            "A",
            "a b",
            "a\\b",
            "a\0b",
            "a\nb",
            "é",
            "a:b",
            "lost+found",
            &too_long,
        ];
        for name in bad {
            assert!(ObjectName::new(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_name_lies_below_its_directories_and_no_others() {
        let name = ObjectName::new("packs/ab/cd").unwrap();
        for dir in ["", "packs", "packs/ab"] {
            assert!(name.is_below(dir), "{dir}");
        }
        for dir in ["pack", "packs/a", "packs/ab/cd", "index"] {
            assert!(!name.is_below(dir), "{dir}");
        }
    }

    #[test]
    fn the_message_about_a_bad_name_is_bounded_and_one_line() {
        let message = ObjectName::new(&"\n".repeat(1 << 20)).unwrap_err().to_string();
        assert!(message.len() < 1000 && !message.contains('\n'));
    }
}
