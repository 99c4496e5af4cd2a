//! Which objects are meant: `s3://bucket/prefix`, as a value.

use std::fmt;

use crate::storage::remote::Address;

/// The kinds of stores that buckets are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// S3 and its kind.
    S3,
    /// Azure Blob Storage.
    Azblob,
    /// Google Cloud Storage.
    Gcs,
}

impl StoreKind {
    const ALL: [StoreKind; 3] = [StoreKind::S3, StoreKind::Azblob, StoreKind::Gcs];

    /// What stands before `://`.
    pub fn scheme(self) -> &'static str {
        match self {
            StoreKind::S3 => "s3",
            StoreKind::Azblob => "azblob",
            StoreKind::Gcs => "gs",
        }
    }
}

/// A bucket, and what the keys in it that are meant begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketAddress {
    /// The kind of store that it is in.
    pub kind: StoreKind,
    /// The bucket's name.
    pub bucket: String,
    /// Without a slash at its end; empty for the whole bucket. The keys that are meant begin with it and a slash, and
    /// it is one of them itself.
    pub prefix: String,
}

/// What was offered is no bucket that can be backed up or restored to.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("{0}")]
pub struct BadBucket(String);

impl BucketAddress {
    /// Understands `s3://bucket/prefix`; `None` if it is not written so. The prefix is taken as it is, but for one
    /// slash at its end.
    pub fn parse(text: &str) -> Option<Result<BucketAddress, BadBucket>> {
        let (scheme, rest) = text.split_once("://")?;
        let kind = StoreKind::ALL.into_iter().find(|kind| kind.scheme() == scheme)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'$');
        if bucket.is_empty() || !bucket.bytes().all(fits) {
            return Some(Err(BadBucket(format!(
                "{text} names no bucket: a name has letters, digits, '.', '_' and '-'; expected {scheme}://bucket/prefix"
            ))));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        Some(Ok(BucketAddress { kind, bucket: bucket.to_owned(), prefix: prefix.to_owned() }))
    }

    /// Whether some of these objects would be those of a repository there.
    pub fn meets(&self, repository: &Address) -> bool {
        let place = match (self.kind, repository) {
            (StoreKind::S3, Address::S3(place)) => place,
            (StoreKind::Azblob, Address::Azblob(place)) => place,
            (StoreKind::Gcs, Address::Gcs(place)) => place,
            _ => return false,
        };
        let is_below = |path: &str, above: &str| {
            above.is_empty() || path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let (ours, theirs) = (&self.prefix, &place.prefix);
        place.name == self.bucket && (is_below(ours, theirs) || is_below(theirs, ours))
    }

    /// The key that is `name` here, where names are keys without the prefix.
    pub fn key(&self, name: &[u8]) -> Vec<u8> {
        match &*self.prefix {
            "" => name.to_vec(),
            prefix => [prefix.as_bytes(), b"/", name].concat(),
        }
    }
}

impl fmt::Display for BucketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.kind.scheme(), self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> BucketAddress {
        BucketAddress::parse(text).unwrap().unwrap()
    }

    #[test]
    fn an_address_is_shown_as_it_is_written() {
        for text in ["s3://b", "s3://b/a", "azblob://b/a//b", "gs://b/ä b"] {
            assert_eq!(parse(text).to_string(), text);
        }
        assert_eq!(parse("s3://b/a/"), parse("s3://b/a"));
        assert_eq!(parse("s3://b/"), parse("s3://b"));
        assert_eq!(BucketAddress::parse("/srv/s3"), None);
        assert!(BucketAddress::parse("s3:///a").unwrap().is_err());
    }

    #[test]
    fn a_bucket_meets_the_repository_that_is_in_it() {
        let repository = |text: &str| Address::new("s3", text).unwrap();
        assert!(parse("s3://b").meets(&repository("b/backup")));
        assert!(parse("s3://b/backup/packs").meets(&repository("b/backup")));
        assert!(parse("s3://b/backup").meets(&repository("b/backup")));
        assert!(!parse("s3://b/docs").meets(&repository("b/backup")));
        assert!(!parse("s3://b/back").meets(&repository("b/backup")));
        assert!(!parse("gs://b").meets(&repository("b/backup")));
        assert!(!parse("s3://c").meets(&repository("b/backup")));
    }
}
