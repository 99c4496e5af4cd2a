//! Snapshots as people name them.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use super::{BadValue, IdPrefix};
use crate::cli::render::printable;

/// Which snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotName {
    /// The newest of those that the filters leave, or the one so many before it.
    Latest {
        /// 0 is the newest.
        back: u32,
    },
    /// The one whose id begins so.
    Id(IdPrefix),
}

impl FromStr for SnapshotName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let expected = || BadValue::expected("a snapshot: latest, latest~N, or the first hex digits of its id");
        match text.strip_prefix("latest") {
            Some("") => Ok(SnapshotName::Latest { back: 0 }),
            Some(back) => {
                let digits = back.strip_prefix('~').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
                let back = digits.and_then(|digits| digits.parse().ok()).ok_or_else(expected)?;
                Ok(SnapshotName::Latest { back })
            }
            None => text.parse().map(SnapshotName::Id).map_err(|_| expected()),
        }
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotName::Latest { back: 0 } => f.write_str("latest"),
            SnapshotName::Latest { back } => write!(f, "latest~{back}"),
            SnapshotName::Id(id) => id.fmt(f),
        }
    }
}

/// A snapshot, or something in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSpec {
    /// Which snapshot.
    pub name: SnapshotName,
    /// The path in it, as bytes; empty is all of it.
    pub path: Vec<u8>,
}

impl SnapshotSpec {
    /// Understands `SNAPSHOT` and `SNAPSHOT:PATH`.
    pub fn parse(text: &OsStr) -> Result<Self, BadValue> {
        let bytes = text.as_bytes();
        let colon = bytes.iter().position(|&byte| byte == b':').unwrap_or(bytes.len());
        let (name, path) = bytes.split_at(colon);
        let name = String::from_utf8_lossy(name).parse()?;
        Ok(SnapshotSpec { name, path: path.get(1..).unwrap_or_default().to_vec() })
    }
}

impl fmt::Display for SnapshotSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.is_empty() {
            true => self.name.fmt(f),
            false => write!(f, "{}:{}", self.name, printable(&self.path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<SnapshotSpec, BadValue> {
        SnapshotSpec::parse(OsStr::from_bytes(text))
    }

    #[test]
    fn a_snapshot_is_the_latest_or_an_id_and_may_carry_a_path() {
        let id = || SnapshotName::Id("4f2a".parse().unwrap());
        let cases: [(&[u8], SnapshotName, &[u8]); 7] = [
            (b"latest", SnapshotName::Latest { back: 0 }, b""),
            (b"latest~0", SnapshotName::Latest { back: 0 }, b""),
            (b"latest~12:/etc", SnapshotName::Latest { back: 12 }, b"/etc"),
            (b"4f2a", id(), b""),
            (b"4F2A:", id(), b""),
            (b"4f2a:/a:b", id(), b"/a:b"),
            (b"4f2a:/\xff", id(), b"/\xff"),
        ];
        for (text, name, path) in cases {
            assert_eq!(parse(text), Ok(SnapshotSpec { name, path: path.to_vec() }));
        }
    }

    #[test]
    fn other_words_name_no_snapshot() {
        for text in ["", ":/etc", "newest", "latest~", "latest~-1", "latest~+1", "latest~99999999999", "latest2", "xyz"]
        {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("latest, latest~N"), "{text}: {error}");
        }
        assert!(parse(b"\xff").is_err());
    }

    #[test]
    fn a_snapshot_prints_as_it_is_typed() {
        for text in ["latest", "latest~3", "4f2a:/etc/hosts"] {
            assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
        }
    }
}
