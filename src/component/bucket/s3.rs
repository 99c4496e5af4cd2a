//! The words of S3: requests out, bytes in. Pure.

use std::borrow::Cow;

use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

use super::error::BucketError;
use super::words::Words;
use crate::format::tree::Time;

/// What is left as it is in a path: the rest is written `%XX`, as signatures want it.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// The same in a query.
const IN_QUERY: &AsciiSet = &IN_PATH.add(b'/');
/// Objects on one page of a listing; the most that S3 gives.
pub(super) const PAGE: usize = 1000;

/// An object as a listing tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its whole key, as bytes.
    pub key: Vec<u8>,
    /// In bytes.
    pub size: u64,
    /// Without quotes; empty if the store does not tell.
    pub etag: Vec<u8>,
    /// When it was last modified.
    pub modified: Time,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// In the order in which the store gave them.
    pub objects: Vec<Listed>,
    /// What to ask for next, if there is more.
    pub next: Option<String>,
}

/// A key as it stands in a path.
pub(super) fn in_path(key: &[u8]) -> String {
    percent_encode(key, IN_PATH).to_string()
}

/// The query of a request; values are written as they have to be.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| match *value {
        "" => (*name).to_owned() + "=",
        value => format!("{name}={}", percent_encode(value.as_bytes(), IN_QUERY)),
    };
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// Understands a page of `ListObjectsV2` with `encoding-type=url`.
pub(super) fn page(body: &[u8]) -> Result<Page, BucketError> {
    let (mut page, mut object) = (Page::default(), Listed::default());
    let (mut is_truncated, mut is_encoded, mut is_whole) = (false, false, false);
    each_field(body, &mut |field, parent, text| {
        match (parent, field) {
            ("Contents", "Key") => object.key = text.as_bytes().to_vec(),
            ("Contents", "Size") => object.size = text.parse().map_err(|_| odd("a size is no number"))?,
            ("Contents", "ETag") => object.etag = unquoted(text.as_bytes()).to_vec(),
            ("Contents", "LastModified") => object.modified = time(text)?,
            (_, "Contents") => page.objects.push(std::mem::take(&mut object)),
            (_, "IsTruncated") => is_truncated = text == "true",
            (_, "EncodingType") => is_encoded = text == "url",
            (_, "NextContinuationToken") => page.next = Some(text.to_owned()),
            ("", "ListBucketResult") => is_whole = true,
            _ => {}
        }
        Ok(())
    })?;
    if !is_whole {
        return Err(odd("it is no listing"));
    }
    if is_encoded {
        page.objects.iter_mut().for_each(|object| object.key = decoded(&object.key));
    }
    match (is_truncated, &page.next) {
        (true, None) => Err(odd("there is more, and it does not say how to ask for it")),
        (false, Some(_)) => Ok(Page { next: None, ..page }),
        _ => Ok(page),
    }
}

/// Some servers write a blank as `+`; all write a plus as `%2B`.
fn decoded(key: &[u8]) -> Vec<u8> {
    let key: Cow<'_, [u8]> = match key.contains(&b'+') {
        true => key.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect::<Vec<_>>().into(),
        false => key.into(),
    };
    percent_decode(&key).collect()
}

/// The tags in an answer of `GetObjectTagging`.
pub(super) fn tags(body: &[u8]) -> Result<Vec<(String, Vec<u8>)>, BucketError> {
    let (mut tags, mut key, mut value) = (Vec::new(), String::new(), Vec::new());
    each_field(body, &mut |field, parent, text| {
        match (parent, field) {
            ("Tag", "Key") => key = text.to_owned(),
            ("Tag", "Value") => value = text.as_bytes().to_vec(),
            (_, "Tag") => tags.push((std::mem::take(&mut key), std::mem::take(&mut value))),
            _ => {}
        }
        Ok(())
    })?;
    Ok(tags)
}

/// The body of a `PutObjectTagging`.
pub(super) fn tagging(tags: &[(String, Vec<u8>)]) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let tag = |(key, value): &(String, Vec<u8>)| {
        let (key, value) = (escaped(key), escaped(&String::from_utf8_lossy(value)));
        format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>")
    };
    format!("<Tagging><TagSet>{}</TagSet></Tagging>", tags.iter().map(tag).collect::<String>())
}

/// The text of the first element of this name.
pub(super) fn field(body: &[u8], name: &str) -> Result<Option<String>, BucketError> {
    let mut found = None;
    each_field(body, &mut |field, _, text| {
        if field == name && found.is_none() {
            found = Some(text.to_owned());
        }
        Ok(())
    })?;
    Ok(found)
}

/// Calls `each` with name, parent and text of every element, when it ends. What has an attribute `Encoded` is called so.
pub(super) fn each_field(
    body: &[u8],
    each: &mut dyn FnMut(&str, &str, &str) -> Result<(), BucketError>,
) -> Result<(), BucketError> {
    let mut reader = Reader::from_reader(body);
    reader.config_mut().expand_empty_elements = true;
    let (mut open, mut text): (Vec<String>, String) = (Vec::new(), String::new());
    loop {
        match reader.read_event().map_err(odd)? {
            Event::Start(start) => {
                let mut name = start.local_name().as_ref().to_owned();
                if matches!(start.try_get_attribute("Encoded"), Ok(Some(_))) {
                    name.push_str(" encoded");
                }
                open.push(name);
                text.clear();
            }
            Event::Text(piece) => text.push_str(&piece),
            Event::CData(piece) => text.push_str(&piece),
            Event::GeneralRef(reference) => text.push(character(&reference)?),
            Event::End(_) => {
                let name = open.pop().unwrap_or_default();
                each(&name, open.last().map_or("", String::as_str), &text)?;
                text.clear();
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

fn character(reference: &BytesRef<'_>) -> Result<char, BucketError> {
    if let Some(character) = reference.resolve_char_ref().map_err(odd)? {
        return Ok(character);
    }
    match reference.as_ref() {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(odd("an entity that nobody knows")),
    }
}

pub(super) fn odd(why: impl std::fmt::Display) -> BucketError {
    BucketError::Odd(format!("the answer cannot be understood: {why}"))
}

fn time(text: &str) -> Result<Time, BucketError> {
    let stamp: jiff::Timestamp = text.parse().map_err(|_| odd("a time is none"))?;
    Ok(to_time(stamp))
}

pub(super) fn to_time(stamp: jiff::Timestamp) -> Time {
    let nanos = stamp.as_nanosecond().rem_euclid(1_000_000_000);
    let secs = stamp.as_nanosecond().div_euclid(1_000_000_000);
    // A time stamp of jiff's is within ten thousand years.
    Time { secs: i64::try_from(secs).unwrap_or_default(), nanos: u32::try_from(nanos).unwrap_or_default() }
}

/// An ETag without the quotes around it.
pub(super) fn unquoted(etag: &[u8]) -> &[u8] {
    etag.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(etag)
}

/// What the headers of an answer say of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// In bytes: of the whole object, also where the answer is a part of it.
    pub size: u64,
    /// Without quotes; empty if the store does not tell.
    pub etag: Vec<u8>,
    /// To the second.
    pub modified: Option<Time>,
    /// Of a bucket that keeps versions.
    pub version: Option<Vec<u8>>,
    /// `content-type` and the like.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Names without what they begin with in a header.
    pub metadata: Vec<(String, Vec<u8>)>,
    /// How many tags it has, if the store tells.
    pub tags: Option<u64>,
    /// If it is not the usual one.
    pub storage_class: Option<Vec<u8>>,
}

/// The headers of an object that come back with it.
pub(super) const CONTENT_HEADERS: [&str; 6] =
    ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"];

impl Head {
    /// Understands the headers of an answer to `GetObject` or `HeadObject`.
    pub(super) fn new(words: &Words, headers: &HeaderMap) -> Head {
        let bytes = |name: &str| headers.get(name).filter(|_| !name.is_empty()).map(|value| value.as_bytes().to_vec());
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let total = text("content-range").and_then(|range| range.rsplit('/').next()?.parse().ok());
        let size = total.or_else(|| text("content-length")?.parse().ok());
        let modified = text("last-modified").and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let mut content: Vec<(String, Vec<u8>)> =
            CONTENT_HEADERS.iter().filter_map(|name| Some(((*name).to_owned(), bytes(name)?))).collect();
        content.sort();
        let metadata = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix(words.metadata)?;
            Some((name.to_owned(), value.as_bytes().to_vec()))
        });
        Head {
            size: size.unwrap_or(0),
            etag: bytes("etag").map(|etag| unquoted(&etag).to_vec()).unwrap_or_default(),
            modified: modified.map(|zoned| to_time(zoned.timestamp())),
            version: bytes(words.version).filter(|version| version != b"null"),
            headers: content,
            metadata: metadata.collect(),
            tags: text(words.tag_count).and_then(|count| count.parse().ok()),
            storage_class: bytes(words.storage_class.0).filter(|class| class != words.storage_class.1.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><IsTruncated>true</IsTruncated>
<EncodingType>url</EncodingType><NextContinuationToken>a&amp;b</NextContinuationToken>
<Contents><Key>a/%C3%A4+b%2B%0A</Key><LastModified>2026-11-25T22:06:04.125Z</LastModified>
<ETag>&quot;d41d8&#34;</ETag><Size>18446744073709551615</Size><Owner><ID>x</ID></Owner></Contents>
<Contents><Key>b</Key><LastModified>2026-11-25T22:06:04Z</LastModified><Size>0</Size></Contents>
</ListBucketResult>"#;

    #[test]
    fn a_page_is_understood() {
        let page = page(PAGE.as_bytes()).unwrap();
        assert_eq!(page.next.as_deref(), Some("a&b"));
        let [first, second] = &page.objects[..] else { panic!("{page:?}") };
        assert_eq!((&first.key[..], &first.etag[..], first.size), ("a/ä b+\n".as_bytes(), &b"d41d8"[..], u64::MAX));
        assert_eq!(first.modified, Time { secs: 1_795_644_364, nanos: 125_000_000 });
        assert_eq!((&second.key[..], second.etag.len()), (&b"b"[..], 0));
    }

    #[test]
    fn what_is_no_page_is_refused_and_nothing_panics() {
        for end in 0..PAGE.len() {
            let cut = page(&PAGE.as_bytes()[..end]);
            assert!(cut.is_err(), "{end}: {cut:?}");
        }
        assert!(page(b"<html>busy</html>").is_err());
        assert!(page(PAGE.replace("<NextContinuationToken>a&amp;b</NextContinuationToken>", "").as_bytes()).is_err());
    }

    #[test]
    fn tags_and_fields_are_found() {
        let body = b"<Tagging><TagSet><Tag><Key>a</Key><Value>1 &lt; 2</Value></Tag><Tag><Key>b</Key><Value/></Tag></TagSet></Tagging>";
        let expected = vec![("a".to_owned(), b"1 < 2".to_vec()), ("b".to_owned(), Vec::new())];
        assert_eq!(tags(body).as_ref(), Ok(&expected));
        assert_eq!(tags(tagging(&expected).as_bytes()), Ok(expected));
        assert_eq!(field(b"<R><UploadId>x</UploadId></R>", "UploadId"), Ok(Some("x".to_owned())));
    }

    #[test]
    fn keys_stand_in_paths_byte_for_byte() {
        assert_eq!(in_path("a//b/../ä b+?".as_bytes()), "a//b/../%C3%A4%20b%2B%3F");
        assert_eq!(query(&[("tagging", ""), ("prefix", "a/b c")]), "tagging=&prefix=a%2Fb%20c");
    }
}
