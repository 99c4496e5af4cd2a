//! What a listing does not tell: owners' names, extended attributes, where a link leads. Touches the disk.

use std::io;
use std::path::Path;

use rustix::fs::{OFlags, readlinkat};

use super::directory::{Directory, open_path};
use super::owners::Owners;
use super::source::{FilesSource, Place, Spot};
use super::xattrs::Holder;
use crate::format::limits::TARGET_MAX;
use crate::format::tree::Xattrs;
use crate::ops::source::{Description, Found, Kind, Stat, Trouble};

impl FilesSource {
    pub(super) fn describe_found(&self, found: &Found<Place>) -> Result<Description, Trouble> {
        let described = named(&self.owners, &found.stat);
        let (xattrs, target) = match &found.place.0 {
            Spot::Graft(graft) => {
                let xattrs = self.grafts.real(*graft).map(|path| self.xattrs_of_directory(&path)).transpose();
                let trouble = |error| Trouble { path: self.grafts.show(*graft), why: unreadable(&error) };
                (xattrs.map_err(trouble)?.unwrap_or_default(), Vec::new())
            }
            Spot::Disk { above, name, .. } => {
                let trouble = |why| Trouble { path: above.show(name), why };
                let target = match found.kind {
                    Kind::Symlink => target(above, name).map_err(trouble)?,
                    _ => Vec::new(),
                };
                (self.xattrs(above, name, found.kind).map_err(|error| trouble(unreadable(&error)))?, target)
            }
        };
        Ok(Description { xattrs, target, ..described })
    }

    fn xattrs(&self, above: &Directory, name: &[u8], kind: Kind) -> io::Result<Xattrs> {
        match kind {
            _ if self.proc_is_there => Holder::link(above, name).read(),
            Kind::File { .. } | Kind::Directory => Holder::opened(above, name)?.read(),
            _ => Ok(Xattrs::default()),
        }
    }

    fn xattrs_of_directory(&self, path: &Path) -> io::Result<Xattrs> {
        if self.proc_is_there {
            let directory = open_path(path, OFlags::PATH | OFlags::DIRECTORY)?;
            return Holder::link(&directory, b".").read();
        }
        Holder::Opened(open_path(path, OFlags::RDONLY | OFlags::DIRECTORY)?).read()
    }
}

/// A description with the owners' names and nothing else.
fn named(owners: &Owners, stat: &Stat) -> Description {
    Description { user: owners.user(stat.uid), group: owners.group(stat.gid), ..Description::default() }
}

fn target(above: &Directory, name: &[u8]) -> Result<Vec<u8>, String> {
    let target = readlinkat(above, name, Vec::new());
    let target = target.map_err(|errno| format!("the link cannot be read: {}", io::Error::from(errno)))?;
    match target.count_bytes() {
        len if len <= TARGET_MAX => Ok(target.into_bytes()),
        len => Err(format!("the link's target of {len} bytes is over the limit of {TARGET_MAX}")),
    }
}

fn unreadable(error: &io::Error) -> String {
    format!("its extended attributes cannot be read: {error}")
}
