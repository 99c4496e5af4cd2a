//! Where a repository is.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use super::BadValue;
use crate::cli::render::printable;
use crate::storage::remote::Address;

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A directory.
    Path(PathBuf),
    /// `scheme://…`: behind a network.
    Url(Address),
}

impl Place {
    /// Understands a path, or `scheme://…`. A path that looks like a URL is written `./scheme://…`.
    pub fn parse(text: &OsStr) -> Result<Self, BadValue> {
        if text.is_empty() {
            return Err(BadValue::expected(Self::expectation()));
        }
        let url = text.to_str().and_then(|text| text.split_once("://"));
        match url.filter(|(scheme, _)| is_scheme(scheme)) {
            None => Ok(Place::Path(text.into())),
            Some((scheme, rest)) if Address::SCHEMES.contains(&scheme) => {
                Address::new(scheme, rest).map(Place::Url).map_err(BadValue::because)
            }
            Some(_) => Err(BadValue::expected(Self::expectation())),
        }
    }

    fn expectation() -> String {
        format!("a path, or a place that begins with {}://", Address::SCHEMES.join("://, "))
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Path(path) => f.write_str(&printable(path.as_os_str().as_encoded_bytes())),
            Place::Url(address) => f.write_str(&printable(address.to_string().as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_path_or_a_known_scheme() {
        let parse = |text: &str| Place::parse(OsStr::new(text));
        for text in ["/mnt/nas", "repo", "./s3://x", "a b://c", "://x", "host:/path"] {
            assert_eq!(parse(text), Ok(Place::Path(text.into())), "{text}");
        }
        assert_eq!(parse("s3://bucket/a"), Ok(Place::Url(Address::new("s3", "bucket/a").unwrap())));
        assert!(parse("s3://").unwrap_err().to_string().contains("expected s3://bucket/prefix"));
        for text in ["", "ftp://host/x", "S3://bucket"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("s3://, azblob://") && error.contains("webdav+https://"), "{error}");
        }
    }
}
