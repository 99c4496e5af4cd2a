//! The words of Azure Blob Storage that are not S3's. Pure.

use percent_encoding::percent_decode_str;

use super::error::BucketError;
use super::s3::{Listed, Page, each_field, odd, to_time, unquoted};

/// Understands a page of `List Blobs`.
pub(super) fn page(body: &[u8]) -> Result<Page, BucketError> {
    let (mut page, mut object, mut is_whole) = (Page::default(), Listed::default(), false);
    each_field(body, &mut |field, parent, text| {
        match (parent, field) {
            ("Blob", "Name") => object.key = text.as_bytes().to_vec(),
            // Written so where a key has what XML cannot say.
            ("Blob", "Name encoded") => object.key = percent_decode_str(text).collect(),
            ("Properties", "Content-Length") => object.size = text.parse().map_err(|_| odd("a size is no number"))?,
            ("Properties", "Etag") => object.etag = unquoted(text.as_bytes()).to_vec(),
            ("Properties", "Last-Modified") => {
                let date = jiff::fmt::rfc2822::parse(text).map_err(|_| odd("a time is none"))?;
                object.modified = to_time(date.timestamp());
            }
            (_, "Blob") => page.objects.push(std::mem::take(&mut object)),
            (_, "NextMarker") => page.next = Some(text.to_owned()).filter(|marker| !marker.is_empty()),
            ("", "EnumerationResults") => is_whole = true,
            _ => {}
        }
        Ok(())
    })?;
    if is_whole { Ok(page) } else { Err(odd("it is no listing")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_understood() {
        let body = r#"<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="c"><Blobs>
<Blob><Name>a//b &amp; c</Name><Properties><Last-Modified>Wed, 25 Nov 2026 22:06:04 GMT</Last-Modified>
<Etag>0x8DE2</Etag><Content-Length>7</Content-Length></Properties></Blob>
<Blob><Name Encoded="true">a%01</Name><Properties><Content-Length>0</Content-Length></Properties></Blob>
</Blobs><NextMarker>2!8</NextMarker></EnumerationResults>"#;
        let found = page(body.as_bytes()).unwrap();
        let keys: Vec<&[u8]> = found.objects.iter().map(|object| &object.key[..]).collect();
        assert_eq!(keys, [&b"a//b & c"[..], b"a\x01"]);
        assert_eq!((&found.objects[0].etag[..], found.objects[0].modified.secs), (&b"0x8DE2"[..], 1_795_644_364));
        assert_eq!(found.next.as_deref(), Some("2!8"));
        assert!(page(&body.as_bytes()[..body.len() - 30]).is_err());
        assert!(page(b"<Error/>").is_err());
    }
}
