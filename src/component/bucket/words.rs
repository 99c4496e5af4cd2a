//! What kinds of stores say in words of their own: where headers have other names, and how a listing is asked for. Pure.

use super::error::BucketError;
use super::s3::{self, Page};
use super::{azure, s3::query};

/// The words of one kind of store.
#[derive(Debug)]
pub(super) struct Words {
    /// What the names of user metadata begin with in a header.
    pub metadata: &'static str,
    /// The header that names the version of an object.
    pub version: &'static str,
    /// The parameter that asks for a version.
    pub version_query: &'static str,
    /// The header that says how many tags an object has.
    pub tag_count: &'static str,
    /// The parameter that asks for them, and its value.
    pub tags_query: (&'static str, &'static str),
    /// The header that says where it is stored, and what it usually is.
    pub storage_class: (&'static str, &'static str),
    /// Whether a listing can begin after a key.
    pub lists_after: bool,
    /// Asks for a page of a listing.
    pub list: fn(&Wanted<'_>) -> String,
    /// Understands it.
    pub page: fn(&[u8]) -> Result<Page, BucketError>,
}

/// A page that is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// What its keys begin with.
    pub prefix: &'a str,
    /// What they come after.
    pub after: &'a str,
    /// What the page before said.
    pub token: Option<&'a str>,
    /// Objects on it.
    pub most: usize,
}

/// Amazon's, MinIO's, Ceph's and many others'.
pub(super) static S3: Words = S3_WORDS;

const S3_WORDS: Words = Words {
    metadata: "x-amz-meta-",
    version: "x-amz-version-id",
    version_query: "versionId",
    tag_count: "x-amz-tagging-count",
    tags_query: ("tagging", ""),
    storage_class: ("x-amz-storage-class", "STANDARD"),
    lists_after: true,
    list: list_s3,
    page: s3::page,
};

/// Google's, which speaks S3's language with other names.
pub(super) static GCS: Words = Words {
    metadata: "x-goog-meta-",
    version: "x-goog-generation",
    version_query: "generation",
    tag_count: "",
    storage_class: ("x-goog-storage-class", "STANDARD"),
    ..S3_WORDS
};

/// Azure's.
pub(super) static AZBLOB: Words = Words {
    metadata: "x-ms-meta-",
    version: "x-ms-version-id",
    version_query: "versionid",
    tag_count: "x-ms-tag-count",
    tags_query: ("comp", "tags"),
    storage_class: ("x-ms-access-tier", "Hot"),
    lists_after: false,
    list: list_azblob,
    page: azure::page,
};

fn list_s3(wanted: &Wanted<'_>) -> String {
    let most = wanted.most.to_string();
    let mut pairs = vec![("encoding-type", "url"), ("list-type", "2"), ("max-keys", &*most)];
    pairs.extend((!wanted.prefix.is_empty()).then_some(("prefix", wanted.prefix)));
    match wanted.token {
        Some(token) => pairs.push(("continuation-token", token)),
        None => pairs.extend((!wanted.after.is_empty()).then_some(("start-after", wanted.after))),
    }
    query(&pairs)
}

fn list_azblob(wanted: &Wanted<'_>) -> String {
    let most = wanted.most.to_string();
    let mut pairs = vec![("restype", "container"), ("comp", "list"), ("maxresults", &*most)];
    pairs.extend((!wanted.prefix.is_empty()).then_some(("prefix", wanted.prefix)));
    pairs.extend(wanted.token.map(|token| ("marker", token)));
    query(&pairs)
}
