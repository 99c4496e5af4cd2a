//! Zip archives, as a stream: lengths stand behind the content.

use std::io::{self, Read, Write};

use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{DateTime, ZipWriter};

use super::archive::{Archive, Item};
use crate::format::tree::{Node, Time};

/// A zip archive in the making. Its directory is at its end: so much of each entry is held.
pub(super) struct ZipArchive<'w>(ZipWriter<StreamWriter<&'w mut dyn Write>>);

impl<'w> ZipArchive<'w> {
    pub fn new(out: &'w mut dyn Write) -> Self {
        ZipArchive(ZipWriter::new_stream(out))
    }
}

impl Archive for ZipArchive<'_> {
    const HAS_LINKS: bool = false;

    fn add(&mut self, item: &Item<'_>, content: &mut dyn Read) -> io::Result<Vec<String>> {
        let mut shortcomings = Vec::new();
        let name = text(item.path, "its name", &mut shortcomings);
        let options = SimpleFileOptions::default()
            .unix_permissions(item.entry.meta.mode)
            .last_modified_time(date_time(&item.entry.meta.mtime))
            .large_file(item.entry.bytes() >= u64::from(u32::MAX));
        match &item.entry.node {
            Node::Directory(_) => self.0.add_directory(name, options)?,
            Node::Symlink(target) => {
                let target = text(target, "its target", &mut shortcomings);
                self.0.add_symlink(name, target, options)?;
            }
            Node::File(_) => {
                self.0.start_file(name, options)?;
                io::copy(content, &mut self.0)?;
            }
            _ => return Ok(vec!["a pipe, socket or device, which a zip archive cannot hold".into()]),
        }
        Ok(shortcomings)
    }

    fn finish(self) -> io::Result<()> {
        self.0.finish()?.into_inner().flush()
    }
}

fn text(bytes: &[u8], what: &str, shortcomings: &mut Vec<String>) -> String {
    let text = String::from_utf8_lossy(bytes);
    if matches!(text, std::borrow::Cow::Owned(_)) {
        shortcomings.push(format!("{what} is not UTF-8, and is {text:?} in the archive"));
    }
    text.into_owned()
}

/// Universal time, since an archive does not say which; the nearest that a zip archive can hold.
fn date_time(time: &Time) -> DateTime {
    let civil = jiff::Timestamp::from_second(time.secs).map(|at| at.to_zoned(jiff::tz::TimeZone::UTC).datetime());
    let converted = civil.ok().and_then(|at| {
        let year = u16::try_from(at.year()).ok()?;
        let [month, day, hour, minute, second] =
            [at.month(), at.day(), at.hour(), at.minute(), at.second()].map(|number| number.unsigned_abs());
        DateTime::from_date_and_time(year, month, day, hour, minute, second).ok()
    });
    converted.unwrap_or_default()
}
