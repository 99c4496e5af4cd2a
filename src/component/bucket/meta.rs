//! What is known of an object, as an entry holds it, and back. Pure.

use super::s3::Head;
use crate::format::codec::{Ascending, Bytes, Structure, Text};
use crate::format::extras::Extra;
use crate::format::object_meta::{Pair, Pairs};
use crate::format::tree::{Entry, tag};

/// Names and what they stand for.
pub(super) type Named = Vec<(String, Vec<u8>)>;

/// What an entry says of an object beside its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ObjectMeta {
    /// Without quotes; empty if it is not known.
    pub etag: Vec<u8>,
    /// `content-type` and the like, ascending.
    pub headers: Named,
    /// Ascending.
    pub metadata: Named,
    /// Ascending.
    pub tags: Named,
    /// If it is not the store's usual one.
    pub storage_class: Option<Vec<u8>>,
}

/// The extras of an object's entry; what does not fit is named.
pub(super) fn extras(head: &Head, tags: Named) -> (Vec<Extra>, Vec<&'static str>) {
    let mut extras = Extras::default();
    extras.text(tag::ETAG, "its ETag", Some(&head.etag));
    extras.text(tag::VERSION, "its version", head.version.as_ref());
    extras.pairs(tag::HEADERS, "its headers", &head.headers);
    extras.pairs(tag::USER_METADATA, "its user metadata", &head.metadata);
    extras.pairs(tag::OBJECT_TAGS, "its tags", &tags);
    extras.text(tag::STORAGE_CLASS, "its storage class", head.storage_class.as_ref());
    (extras.there, extras.too_long)
}

#[derive(Default)]
struct Extras {
    there: Vec<Extra>,
    too_long: Vec<&'static str>,
}

impl Extras {
    fn text(&mut self, tag: u32, what: &'static str, bytes: Option<&Vec<u8>>) {
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else { return };
        match Bytes::new(bytes.clone()) {
            Ok(value) => self.there.push(Extra { tag, value }),
            Err(_) => self.too_long.push(what),
        }
    }

    fn pairs(&mut self, tag: u32, what: &'static str, named: &Named) {
        if named.is_empty() {
            return;
        }
        let encoded = pairs(named).map(|pairs| Bytes::new(pairs.to_bytes()));
        match encoded {
            Some(Ok(value)) => self.there.push(Extra { tag, value }),
            _ => self.too_long.push(what),
        }
    }
}

fn pairs(named: &Named) -> Option<Pairs> {
    // A header that was given several times means its values with commas between them.
    let mut joined: Named = Vec::new();
    for (name, value) in named {
        match joined.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.extend([b",", &value[..]].concat()),
            None => joined.push((name.clone(), value.clone())),
        }
    }
    let pair = |(name, value)| Some(Pair { name: Text::new(name).ok()?, value: Bytes::new(value).ok()? });
    let pairs = joined.into_iter().map(pair).collect::<Option<Vec<_>>>()?;
    Ascending::new(pairs).ok().map(Pairs)
}

impl ObjectMeta {
    /// What an entry says; why not, if it does not obey the spec.
    pub fn of(entry: &Entry) -> Result<ObjectMeta, String> {
        let bytes = |tag| entry.extras.get(tag).map(<[u8]>::to_vec);
        let named = |tag| match entry.extras.get(tag).map(Pairs::from_bytes).transpose() {
            Ok(pairs) => Ok(pairs.map(unpaired).unwrap_or_default()),
            Err(error) => Err(error.to_string()),
        };
        Ok(ObjectMeta {
            etag: bytes(tag::ETAG).unwrap_or_default(),
            headers: named(tag::HEADERS)?,
            metadata: named(tag::USER_METADATA)?,
            tags: named(tag::OBJECT_TAGS)?,
            storage_class: bytes(tag::STORAGE_CLASS),
        })
    }

    /// Whether an object that stands somewhere has these headers and metadata.
    pub fn is_that_of(&self, head: &Head) -> bool {
        let sorted = |named: &Named| pairs(named).map(unpaired);
        Some(&self.headers) == sorted(&head.headers).as_ref() && Some(&self.metadata) == sorted(&head.metadata).as_ref()
    }
}

fn unpaired(pairs: Pairs) -> Named {
    let pairs = pairs.0.into_vec().into_iter();
    pairs.map(|Pair { name, value }| (name.to_string(), value.into_vec())).collect()
}
