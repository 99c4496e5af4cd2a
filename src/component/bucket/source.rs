//! Touches the world. A bucket as a source: one flat directory of whole keys, listed in order.
//!
//! What the store names a content by, its ETag, tells whether it changed: an object whose ETag, size and time are
//! those of the parent snapshot is not asked for.

use std::sync::Arc;

use super::client::Client;
use super::error::BucketError;
use super::fetch::Object;
use super::listing::Objects;
use super::meta;
use super::s3::Listed;
use crate::format::tree::{EntryKey, Name};
use crate::ops::pattern::{Patterns, Steps};
use crate::ops::source::{Description, Found, Kind, Listing, Reading, Source, Stat, Trouble};

/// Objects of a bucket to back up.
#[derive(Debug)]
pub struct BucketSource {
    client: Client,
    filter: KeyFilter,
}

/// What is left out of a bucket.
#[derive(Debug, Default)]
pub struct KeyFilter {
    /// By key, where a slash divides names as in a path.
    pub excludes: Vec<Patterns>,
    /// In bytes: what is larger.
    pub larger_than: Option<u64>,
}

/// Where something is.
#[derive(Debug, Clone)]
pub enum Place {
    /// The bucket.
    Top,
    /// An object.
    Object(ObjectPlace),
}

/// Where an object is.
#[derive(Debug, Clone)]
pub struct ObjectPlace(Arc<Object>);

impl BucketSource {
    /// The objects of a bucket, but what `filter` leaves out.
    pub fn new(client: Client, filter: KeyFilter) -> Self {
        BucketSource { client, filter }
    }

    fn trouble(&self, error: &BucketError) -> Trouble {
        Trouble { path: self.client.address().to_string(), why: format!("cannot be listed: {error}") }
    }

    /// The prefix itself may be the key of an object: it comes before all that are below it.
    fn single(&self) -> Result<Option<Listed>, BucketError> {
        let prefix = &self.client.address().prefix;
        if prefix.is_empty() {
            return Ok(None);
        }
        let first = self.client.wait(self.client.page(prefix, b"", None, 1))?.objects.into_iter().next();
        Ok(first.filter(|object| object.key == prefix.as_bytes()))
    }

    fn find(&self, marks: Vec<EntryKey>) -> Result<Listing<'_, Place>, Trouble> {
        let single = self.single().map_err(|error| self.trouble(&error))?;
        let below = match &*self.client.address().prefix {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let marks = marks.into_iter().map(|key| key.name.into_vec()).collect();
        let mut objects = Objects::new(&self.client, &below, marks).peekable();
        // Nothing is to be said of a bucket that cannot be listed at all, or where nothing is.
        match (objects.peek(), &single) {
            (Some(Err(error)), None) => return Err(self.trouble(error)),
            (None, None) if !below.is_empty() => {
                let why = format!("there is no object of that key, and none whose key begins with {below}");
                return Err(Trouble { path: self.client.address().to_string(), why });
            }
            _ => {}
        }
        let objects = single.map(Ok).into_iter().chain(objects);
        Ok(Box::new(objects.filter_map(|listed| match listed {
            Ok(listed) => self.found(listed),
            Err(error) => Some(Err(self.trouble(&error))),
        })))
    }

    fn found(&self, listed: Listed) -> Option<Result<Found<Place>, Trouble>> {
        let (size, steps) = (listed.size, || Steps::from_path(&listed.key));
        let is_excluded =
            self.filter.excludes.iter().any(|patterns| !patterns.is_empty() && patterns.matches(&steps()));
        if is_excluded || self.filter.larger_than.is_some_and(|most| size > most) {
            return None;
        }
        let name = match Name::new(listed.key.clone()) {
            Ok(name) if !name.is_empty() => name,
            _ => return Some(Err(self.about(&listed.key, "has a key that no snapshot can hold".into()))),
        };
        let stat = Stat { mtime: listed.modified, ctime: listed.modified, ..Stat::default() };
        let place = Place::Object(ObjectPlace(Object::new(listed)));
        let key = EntryKey { name, discriminator: 0 };
        Some(Ok(Found { key, kind: Kind::File { size: Some(size) }, stat, place }))
    }

    fn about(&self, key: &[u8], why: String) -> Trouble {
        Trouble { path: String::from_utf8_lossy(key).into_owned(), why }
    }
}

impl Source for BucketSource {
    type Place = Place;

    fn root(&self) -> Place {
        Place::Top
    }

    fn list<'a>(&'a self, directory: &Place) -> Result<Listing<'a, Place>, Trouble> {
        self.list_marked(directory, Vec::new())
    }

    fn list_marked<'a>(&'a self, directory: &Place, marks: Vec<EntryKey>) -> Result<Listing<'a, Place>, Trouble> {
        match directory {
            Place::Top => self.find(marks),
            // No object has anything below it.
            Place::Object(_) => Ok(Box::new(std::iter::empty())),
        }
    }

    fn version<'f>(&self, found: &'f Found<Place>) -> Option<&'f [u8]> {
        match &found.place {
            Place::Object(ObjectPlace(object)) => Some(&object.listed.etag[..]).filter(|etag| !etag.is_empty()),
            Place::Top => None,
        }
    }

    fn expect(&self, found: &Found<Place>) {
        if let Place::Object(ObjectPlace(object)) = &found.place {
            object.expect(&self.client);
        }
    }

    fn describe(&self, found: &Found<Place>) -> Result<Description, Trouble> {
        let Place::Object(ObjectPlace(object)) = &found.place else { return Ok(Description::default()) };
        let key = &object.listed.key;
        let Some(head) = object.head() else { return Ok(Description::default()) };
        // A store that does not say how many there are has none to most of them.
        let tags = self.client.tags(key, Some(head.tags.unwrap_or(0)));
        let tags = tags.map_err(|error| self.about(key, format!("cannot read its tags: {error}")))?;
        let (extras, too_long) = meta::extras(&head, tags);
        if let Some(what) = too_long.first() {
            return Err(self.about(key, format!("{what} cannot be kept: too long")));
        }
        let is_listed = object.is_listed(&head);
        let modified = head.modified.filter(|_| !is_listed);
        let stat = modified.map(|modified| Stat { mtime: modified, ctime: modified, ..Stat::default() });
        Ok(Description { extras, stat, ..Description::default() })
    }

    fn open(&self, found: &Found<Place>) -> Result<Box<dyn Reading + Send>, Trouble> {
        let Place::Object(ObjectPlace(object)) = &found.place else {
            return Err(self.about(b"/", "is no object".into()));
        };
        match object.open(&self.client) {
            Ok(reading) => Ok(Box::new(reading)),
            Err(error) => Err(self.about(&object.listed.key, error.to_string())),
        }
    }
}
