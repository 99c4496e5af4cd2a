//! Tar archives: ustar headers, and a pax header before each for what does not fit.

use std::io::{self, Read, Write};

use tar::{Builder, EntryType, Header};

use super::archive::{Archive, Item};
use crate::format::tree::{Device, Node, Time};

/// What fits into eleven and into seven octal digits.
const OCTAL_11: u64 = (1 << 33) - 1;
const OCTAL_7: u32 = (1 << 21) - 1;

/// A tar archive in the making.
pub(super) struct TarArchive<'w>(Builder<&'w mut dyn Write>);

impl<'w> TarArchive<'w> {
    pub fn new(out: &'w mut dyn Write) -> Self {
        TarArchive(Builder::new(out))
    }
}

impl Archive for TarArchive<'_> {
    const HAS_LINKS: bool = true;

    fn add(&mut self, item: &Item<'_>, content: &mut dyn Read) -> io::Result<Vec<String>> {
        let mut record = Record { header: Header::new_ustar(), pax: Vec::new(), shortcomings: Vec::new() };
        let Some(kind) = record.kind(item) else {
            return Ok(vec!["a socket, which an archive cannot hold".into()]);
        };
        record.header.set_entry_type(kind);
        record.names(item, kind);
        record.numbers(item, kind);
        record.owner_names(item);
        record.xattrs(item);
        record.header.set_cksum();
        let pax = record.pax.iter().map(|(key, value)| (&key[..], &value[..]));
        self.0.append_pax_extensions(pax)?;
        self.0.append(&record.header, content)?;
        Ok(record.shortcomings)
    }

    fn finish(self) -> io::Result<()> {
        self.0.into_inner()?.flush()
    }
}

/// The headers of one entry.
struct Record {
    header: Header,
    pax: Vec<(String, Vec<u8>)>,
    shortcomings: Vec<String>,
}

impl Record {
    fn extend(&mut self, key: &str, value: impl Into<Vec<u8>>) {
        self.pax.push((key.to_owned(), value.into()));
    }

    fn kind(&mut self, item: &Item<'_>) -> Option<EntryType> {
        if item.link_to.is_some() {
            return Some(EntryType::Link);
        }
        Some(match &item.entry.node {
            Node::File(_) => EntryType::Regular,
            Node::Directory(_) => EntryType::Directory,
            Node::Symlink(_) => EntryType::Symlink,
            Node::Fifo => EntryType::Fifo,
            Node::Socket => return None,
            Node::CharDevice(device) => self.device(EntryType::Char, device),
            Node::BlockDevice(device) => self.device(EntryType::Block, device),
        })
    }

    fn device(&mut self, kind: EntryType, device: &Device) -> EntryType {
        if device.major > OCTAL_7 || device.minor > OCTAL_7 {
            self.shortcomings.push("device numbers that an archive cannot hold".into());
        }
        if let Some(ustar) = self.header.as_ustar_mut() {
            ustar.set_device_major(device.major.min(OCTAL_7));
            ustar.set_device_minor(device.minor.min(OCTAL_7));
        }
        kind
    }

    fn names(&mut self, item: &Item<'_>, kind: EntryType) {
        let mut path = item.path.to_vec();
        if kind == EntryType::Directory {
            path.push(b'/');
        }
        let link = match (&item.entry.node, item.link_to) {
            (_, Some(first)) => first,
            (Node::Symlink(target), None) => target,
            _ => b"",
        };
        for (key, name) in [("path", &path[..]), ("linkpath", link)] {
            let field = match (self.header.as_ustar_mut(), key) {
                (Some(ustar), "path") => &mut ustar.name,
                (Some(ustar), _) => &mut ustar.linkname,
                (None, _) => return,
            };
            let len = name.len().min(field.len());
            field[..len].copy_from_slice(&name[..len]);
            // Beyond ASCII, only a pax header says that it is UTF-8; and if it is not, bytes are all there is.
            if len < name.len() || !name.is_ascii() {
                self.extend(key, name);
            }
        }
    }

    fn numbers(&mut self, item: &Item<'_>, kind: EntryType) {
        let meta = &item.entry.meta;
        self.header.set_mode(meta.mode);
        let size = if kind == EntryType::Regular { item.entry.bytes() } else { 0 };
        self.header.set_size(size);
        if size > OCTAL_11 {
            self.extend("size", size.to_string());
        }
        for (key, number) in [("uid", meta.uid), ("gid", meta.gid)] {
            let fits = number <= OCTAL_7;
            let field = u64::from(if fits { number } else { 0 });
            if key == "uid" {
                self.header.set_uid(field)
            } else {
                self.header.set_gid(field)
            }
            if !fits {
                self.extend(key, number.to_string());
            }
        }
        let whole = u64::try_from(meta.mtime.secs).ok().filter(|secs| *secs <= OCTAL_11);
        self.header.set_mtime(whole.unwrap_or(0));
        if whole.is_none() || meta.mtime.nanos != 0 {
            self.extend("mtime", decimal(&meta.mtime));
        }
    }

    fn owner_names(&mut self, item: &Item<'_>) {
        let (user, group) = (&item.entry.meta.user, &item.entry.meta.group);
        let user_fits = user.is_ascii() && self.header.set_username(user).is_ok();
        let group_fits = group.is_ascii() && self.header.set_groupname(group).is_ok();
        for (key, name, fits) in [("uname", user, user_fits), ("gname", group, group_fits)] {
            if !fits {
                self.extend(key, name.as_bytes());
            }
        }
    }

    fn xattrs(&mut self, item: &Item<'_>) {
        for xattr in item.xattrs.0.iter() {
            match std::str::from_utf8(&xattr.name) {
                // A keyword ends at the first `=`; other tars write and read it so.
                Ok(name) => {
                    let keyword = name.replace('%', "%25").replace('=', "%3D");
                    self.extend(&format!("SCHILY.xattr.{keyword}"), &xattr.value[..]);
                }
                Err(_) => self.shortcomings.push("an attribute whose name is not UTF-8 is not in the archive".into()),
            }
        }
    }
}

/// Seconds with their fraction; before 1970 the fraction counts backwards.
fn decimal(time: &Time) -> String {
    let nanos = i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos);
    let sign = if nanos < 0 { "-" } else { "" };
    let (secs, nanos) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    match nanos {
        0 => format!("{sign}{secs}"),
        _ => format!("{sign}{secs}.{nanos:09}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_decimals_on_both_sides_of_1970() {
        let cases = [
            (0, 0, "0"),
            (1, 500_000_000, "1.500000000"),
            (-1, 0, "-1"),
            (-2, 500_000_000, "-1.500000000"),
            (-1, 999_999_999, "-0.000000001"),
        ];
        for (secs, nanos, expected) in cases {
            assert_eq!(decimal(&Time { secs, nanos }), expected);
        }
    }
}
