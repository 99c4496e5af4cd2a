//! Touches the world. A bucket as a target: every object under its key, with its content and all that is said of it.
//! What stands there and is right is not sent again.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::address::StoreKind;
use super::client::{Ask, Client};
use super::error::BucketError;
use super::listing::Objects;
use super::meta::{Named, ObjectMeta};
use super::s3::{self, Head};
use super::upload::{NewObject, accepted, hashed, headers};
use crate::format::tree::{Entry, Node, Xattrs};
use crate::ops::source::{Kind, Stat, Trouble};
use crate::ops::target::{DirPath, Names, NewFile, ReadAt, Standing, Target};

/// What can be copied within a store by one request, in bytes.
const COPY_MAX: u64 = 5 << 30;

/// A bucket, or the keys in it that begin with a prefix, to restore to.
#[derive(Debug)]
pub struct BucketTarget {
    client: Client,
    /// Nothing stood there when it was opened.
    is_empty: bool,
    /// What was inspected and is not done with.
    heads: Mutex<HashMap<Vec<u8>, Head>>,
}

impl BucketTarget {
    /// The bucket of `client`, which must be there.
    pub fn open(client: Client) -> Result<BucketTarget, Trouble> {
        let address = client.address();
        if address.kind != StoreKind::S3 {
            let why = "cannot be restored to: only buckets of S3-compatible stores can; restore to a directory instead";
            return Err(Trouble { path: address.to_string(), why: why.into() });
        }
        let prefix = address.key(b"");
        let first = client.wait(client.page(&String::from_utf8_lossy(&prefix), b"", None, 1));
        let first = first
            .map_err(|error| Trouble { path: address.to_string(), why: format!("cannot be restored to: {error}") })?;
        let is_empty = first.objects.is_empty();
        Ok(BucketTarget { client, is_empty, heads: Mutex::default() })
    }

    /// Requests at a time: as many threads keep it busy.
    pub fn connections(&self) -> usize {
        self.client.connections()
    }

    fn key(&self, dir: &DirPath, name: &[u8]) -> Vec<u8> {
        let mut names = dir.names();
        names.push(name);
        self.client.address().key(&names.join(&b'/'))
    }

    fn about(key: &[u8], why: impl std::fmt::Display) -> Trouble {
        Trouble { path: String::from_utf8_lossy(key).into_owned(), why: why.to_string() }
    }

    fn heads(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, Head>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives an object the headers, metadata and tags of its entry, by having the store copy it onto itself.
    fn set_meta(&self, key: &[u8], meta: &ObjectMeta, head: &Head) -> Result<(), BucketError> {
        if head.size > COPY_MAX {
            return Err(BucketError::Odd(
                "its metadata cannot be changed in place: it is over 5 GiB; remove it first".into(),
            ));
        }
        let mut ask = Ask::object(Method::PUT, key, String::new());
        ask.headers = headers(meta)?;
        let source = format!("/{}/{}", self.client.address().bucket, s3::in_path(key));
        let source = HeaderValue::from_str(&source).map_err(|_| BucketError::Odd("its key fits no header".into()))?;
        ask.headers.insert("x-amz-copy-source", source);
        for directive in ["x-amz-metadata-directive", "x-amz-tagging-directive"] {
            ask.headers.insert(directive, HeaderValue::from_static("REPLACE"));
        }
        let answer = accepted(self.client.wait(self.client.ask(&ask))?)?;
        match s3::field(&answer.body, "Code")? {
            None => Ok(()),
            Some(code) => Err(BucketError::Odd(format!("the store did not change its metadata: {code}"))),
        }
    }

    fn settle_object(&self, key: &[u8], entry: &Entry) -> Result<(), BucketError> {
        let remembered = self.heads().remove(key);
        let head = match remembered {
            Some(head) => head,
            None => self.client.wait(self.client.head(key))?,
        };
        let meta = ObjectMeta::of(entry).map_err(BucketError::Odd)?;
        let mut tags = self.client.tags(key, Some(head.tags.unwrap_or(0)))?;
        if !meta.is_that_of(&head) {
            self.set_meta(key, &meta, &head)?;
            // Not every store minds what it is told of them then.
            tags = self.client.tags(key, None)?;
        }
        match same(&meta.tags, &tags) {
            true => Ok(()),
            false => self.set_tags(key, &meta.tags),
        }
    }

    fn set_tags(&self, key: &[u8], tags: &Named) -> Result<(), BucketError> {
        let body = s3::tagging(tags).into_bytes();
        let mut ask = Ask::object(Method::PUT, key, s3::query(&[self.client.words().tags_query]));
        (ask.headers, ask.body) = (hashed(HeaderMap::new(), &body), body.into());
        accepted(self.client.wait(self.client.ask(&ask))?).map(drop)
    }
}

fn same(ours: &Named, theirs: &Named) -> bool {
    let sorted = |named: &Named| {
        let mut named = named.clone();
        named.sort_unstable();
        named
    };
    sorted(ours) == sorted(theirs)
}

impl Target for BucketTarget {
    fn inspect(&self, dir: &Arc<DirPath>, name: &[u8]) -> Result<Option<Standing>, Trouble> {
        if self.is_empty {
            return Ok(None);
        }
        let key = self.key(dir, name);
        let head = match self.client.wait(self.client.head(&key)) {
            Ok(head) => head,
            Err(BucketError::NotThere) => return Ok(None),
            Err(error) => return Err(Self::about(&key, format!("inspecting what stands there: {error}"))),
        };
        let mtime = head.modified.unwrap_or_default();
        let (kind, stat) = (Kind::File { size: Some(head.size) }, Stat { mtime, ctime: mtime, ..Stat::default() });
        self.heads().insert(key, head);
        Ok(Some(Standing { kind, stat }))
    }

    fn holds(&self, dir: &Arc<DirPath>, entry: &Entry, _: &Standing) -> bool {
        let heads = self.heads();
        let Some(head) = heads.get(&self.key(dir, &entry.key.name)) else { return false };
        let etag = ObjectMeta::of(entry).map(|meta| meta.etag).unwrap_or_default();
        !etag.is_empty() && head.etag == etag && head.size == entry.bytes()
    }

    fn make_dir(&self, _: &Arc<DirPath>, _: &[u8]) -> Result<(), Trouble> {
        // It is there as soon as a key begins so.
        Ok(())
    }

    fn begin(&self, dir: &Arc<DirPath>, entry: &Entry) -> Result<Box<dyn NewFile>, Trouble> {
        let key = self.key(dir, &entry.key.name);
        self.heads().remove(&key);
        match NewObject::begin(&self.client, key.clone(), entry) {
            Ok(object) => Ok(Box::new(object)),
            Err(error) => Err(Self::about(&key, format!("cannot be put: {error}"))),
        }
    }

    fn make_node(&self, dir: &Arc<DirPath>, entry: &Entry, _: &Xattrs) -> Result<(), Trouble> {
        Err(Self::about(&self.key(dir, &entry.key.name), "a bucket holds no links, pipes, sockets or devices"))
    }

    fn link(&self, dir: &Arc<DirPath>, name: &[u8], _: (&Arc<DirPath>, &[u8])) -> Result<(), Trouble> {
        Err(Self::about(&self.key(dir, name), "a bucket holds no hard links"))
    }

    fn read_standing(&self, dir: &Arc<DirPath>, name: &[u8]) -> Result<Box<dyn ReadAt>, Trouble> {
        let key = self.key(dir, name);
        let head = self.client.wait(self.client.head(&key)).map_err(|error| Self::about(&key, error))?;
        Ok(Box::new(StandingObject { client: self.client.clone(), key, head }))
    }

    fn settle(&self, dir: &Arc<DirPath>, entry: &Entry, _: &Xattrs) -> Result<(), Trouble> {
        if matches!(entry.node, Node::Directory(_)) {
            return Ok(());
        }
        let key = self.key(dir, &entry.key.name);
        self.settle_object(&key, entry).map_err(|error| Self::about(&key, format!("giving it its metadata: {error}")))
    }

    fn names(&self, dir: &Arc<DirPath>) -> Result<Names<'_>, Trouble> {
        if dir.split().is_some() {
            return Err(Self::about(
                &self.key(dir, b""),
                "what is below a directory of files is not looked for in a bucket",
            ));
        }
        let prefix = self.client.address().key(b"");
        let len = prefix.len();
        let objects = Objects::new(&self.client, &String::from_utf8_lossy(&prefix), Vec::new());
        Ok(Box::new(objects.map(move |object| match object {
            Ok(object) => Ok(object.key.get(len..).unwrap_or_default().to_vec()),
            Err(error) => Err(Self::about(&prefix, format!("cannot be listed: {error}"))),
        })))
    }

    fn remove(&self, dir: &Arc<DirPath>, name: &[u8]) -> Result<(), Trouble> {
        let key = self.key(dir, name);
        match self.client.wait(self.client.ask(&Ask::object(Method::DELETE, &key, String::new()))) {
            Ok(answer) if answer.status.is_success() || answer.status == StatusCode::NOT_FOUND => Ok(()),
            Ok(answer) => Err(Self::about(&key, format!("cannot be removed: the store answered {}", answer.status))),
            Err(error) => Err(Self::about(&key, format!("cannot be removed: {error}"))),
        }
    }

    fn takes_keys(&self) -> bool {
        true
    }

    fn takes_any_order(&self) -> bool {
        false
    }

    fn shortcomings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// An object that stands in the bucket.
struct StandingObject {
    client: Client,
    key: Vec<u8>,
    head: Head,
}

impl ReadAt for StandingObject {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let len = (buffer.len() as u64).min(self.head.size.saturating_sub(offset));
        if len == 0 {
            return Ok(0);
        }
        let part = self.client.wait(self.client.part(&self.key, &self.head, offset, len)).map_err(io::Error::other)?;
        buffer[..part.len()].copy_from_slice(&part);
        Ok(part.len())
    }
}
