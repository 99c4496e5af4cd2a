//! Files whose presence keeps a directory out of a backup.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::BadValue;

/// A file that marks its directory: by its name, or by its name and how it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The file's name, a single one.
    pub name: OsString,
    /// What the file begins with; `None` if anything will do.
    pub header: Option<Vec<u8>>,
}

impl Marker {
    /// Understands `NAME` and `NAME:HEADER`.
    pub fn parse(text: &OsStr) -> Result<Self, BadValue> {
        let bytes = text.as_bytes();
        let (name, header) = match bytes.iter().position(|&byte| byte == b':') {
            Some(colon) => (&bytes[..colon], Some(bytes[colon + 1..].to_vec())),
            None => (bytes, None),
        };
        if name.is_empty() || name.contains(&b'/') || name == b"." || name == b".." {
            return Err(BadValue::expected("NAME or NAME:HEADER, where NAME is a file's name without a slash"));
        }
        Ok(Marker { name: OsStr::from_bytes(name).to_owned(), header: header.filter(|header| !header.is_empty()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_a_name_and_perhaps_a_header() {
        let parse = |text: &str| Marker::parse(OsStr::new(text)).map(|marker| (marker.name, marker.header));
        assert_eq!(parse(".nobackup"), Ok((".nobackup".into(), None)));
        assert_eq!(parse(".nobackup:"), Ok((".nobackup".into(), None)));
        assert_eq!(parse("CACHEDIR.TAG:Sig: 8a"), Ok(("CACHEDIR.TAG".into(), Some(b"Sig: 8a".to_vec()))));
        for text in ["", ":x", "a/b", ".."] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
