//! Listings: what is in a directory on disk, and what leads to the given paths. Touches the disk.

use std::ffi::CStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, OFlags, Stat as RawStat, statat};
use rustix::io::Errno;

use super::directory::{Directory, stat_path};
use super::grafts::Graft;
use super::names::Names;
use super::source::{Enter, FilesSource, Place, Spot};
use super::stat::{kind, stat};
use crate::format::codec::TooLong;
use crate::format::tree::{EntryKey, Name};
use crate::ops::pattern::Steps;
use crate::ops::source::{Found, Kind, Trouble};

type Item = Result<Found<Place>, Trouble>;

/// Everything in an open directory that the filter lets through; each thing is examined as it is asked for.
pub(super) struct Everything<'a> {
    source: &'a FilesSource,
    directory: Arc<Directory>,
    /// What in it leads to given paths, which no filter hides.
    graft: Option<Graft>,
    /// Where the directory is; kept only if something is decided by paths.
    path: Option<Steps>,
    names: Names,
    next: usize,
    troubles: std::vec::IntoIter<Trouble>,
}

impl<'a> Everything<'a> {
    /// Reads the names in `directory`, just opened.
    pub(super) fn new(source: &'a FilesSource, mut directory: Directory, graft: Option<Graft>) -> Self {
        let filter = &source.filter;
        let (mut names, error) = Names::read(&directory);
        let mut troubles = Vec::new();
        if let Some(error) = error {
            let path = directory.steps().to_string();
            troubles.push(Trouble { path, why: format!("cannot be listed to its end: {error}") });
        }
        if let Some(rules) = filter.ignore_rules(&directory, &names, &mut troubles) {
            directory.ignore = rules;
        }
        let leads_on = |name: &[u8]| graft.is_some_and(|graft| source.grafts.child(graft, name).is_some());
        filter.cut_marked(&directory, &mut names, leads_on, &mut troubles);
        let by_path = filter.has_patterns() || !directory.ignore.is_empty();
        let path = by_path.then(|| directory.steps());
        let (directory, troubles) = (Arc::new(directory), troubles.into_iter());
        Everything { source, directory, graft, path, names, next: 0, troubles }
    }

    fn examine(&self, name: &CStr, path: Option<&Steps>) -> Result<Option<Found<Place>>, Trouble> {
        let bytes = name.to_bytes();
        let graft = self.graft.and_then(|graft| self.source.grafts.child(graft, bytes));
        let given = graft.is_some_and(|graft| self.source.grafts.is_source(graft));
        let hidden = !given && path.is_some_and(|path| self.source.filter.leaves_out_path(path));
        if hidden && graft.is_none() {
            return Ok(None);
        }
        let trouble = |why| Trouble { path: self.directory.show(bytes), why };
        let raw = look(&self.directory, name).map_err(trouble)?;
        let kind = kind(&raw).ok_or_else(|| trouble("is of a kind that nobody knows".to_owned()))?;
        let hidden = hidden || !given && self.leaves_out(kind, path);
        let enter = match graft {
            Some(graft) if given => Enter::All { device: raw.st_dev, graft: Some(graft) },
            // A link stands in the snapshot as the directory that it leads to, if given paths are below it.
            Some(graft) if kind != Kind::Directory => return self.source.on_the_way(bytes, graft).map(Some),
            Some(graft) if hidden || self.is_foreign(&raw) => Enter::Grafts(graft),
            None if hidden => return Ok(None),
            None if kind == Kind::Directory && self.is_foreign(&raw) => Enter::Nothing,
            graft => Enter::All { device: self.directory.device, graft },
        };
        let key = key(bytes).map_err(|error| trouble(error.to_string()))?;
        let place = Place(Spot::Disk { above: Arc::clone(&self.directory), name: Arc::from(bytes), enter });
        Ok(Some(Found { key, kind, stat: stat(&raw), place }))
    }

    fn leaves_out(&self, kind: Kind, path: Option<&Steps>) -> bool {
        let ignore = &self.directory.ignore;
        let ignored = |path: &Steps| !ignore.is_empty() && ignore.leave_out(&path.to_path(), kind == Kind::Directory);
        self.source.filter.leaves_out_size(kind) || path.is_some_and(ignored)
    }

    fn is_foreign(&self, raw: &RawStat) -> bool {
        self.source.filter.one_file_system && raw.st_dev != self.directory.device
    }
}

impl Iterator for Everything<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if let Some(trouble) = self.troubles.next() {
            return Some(Err(trouble));
        }
        let mut path = self.path.take();
        let item = loop {
            let Some(name) = self.names.get(self.next) else { break None };
            self.next += 1;
            path.iter_mut().for_each(|path| path.push(name.to_bytes()));
            let item = self.examine(name, path.as_ref()).transpose();
            path.iter_mut().for_each(Steps::pop);
            if item.is_some() {
                break item;
            }
        };
        self.path = path;
        item
    }
}

/// Only what leads to given paths.
pub(super) struct OnTheWay<'a, I> {
    source: &'a FilesSource,
    children: I,
    /// The directory that the given paths among the children are in, once it is needed.
    directory: Option<Arc<Directory>>,
}

impl<'a, I: Iterator<Item = (&'a [u8], Graft)>> OnTheWay<'a, I> {
    pub(super) fn new(source: &'a FilesSource, children: I) -> Self {
        OnTheWay { source, children, directory: None }
    }

    fn given(&mut self, name: &[u8], graft: Graft) -> Item {
        let trouble = |why| Trouble { path: self.source.grafts.show(graft), why };
        let real = self.source.grafts.real(graft).unwrap_or_default();
        let (Some(parent), Some(real_name)) = (real.parent(), real.file_name()) else {
            return Err(trouble("is no path that could be backed up".to_owned()));
        };
        let unreachable = |error: io::Error| trouble(format!("cannot be reached: {error}"));
        let directory = match self.directory.take() {
            Some(directory) => directory,
            None => Arc::new(Directory::at(parent, OFlags::PATH).map_err(unreachable)?),
        };
        self.directory = Some(Arc::clone(&directory));
        let real_name = real_name.as_encoded_bytes();
        let raw = look(&directory, real_name).map_err(trouble)?;
        let kind = kind(&raw).ok_or_else(|| trouble("is of a kind that nobody knows".to_owned()))?;
        let key = key(name).map_err(|error| trouble(error.to_string()))?;
        let enter = Enter::All { device: raw.st_dev, graft: Some(graft) };
        let place = Place(Spot::Disk { above: directory, name: Arc::from(real_name), enter });
        Ok(Found { key, kind, stat: stat(&raw), place })
    }
}

impl<'a, I: Iterator<Item = (&'a [u8], Graft)>> Iterator for OnTheWay<'a, I> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let (name, graft) = self.children.next()?;
        Some(match self.source.grafts.is_source(graft) {
            true => self.given(name, graft),
            false => self.source.on_the_way(name, graft),
        })
    }
}

impl FilesSource {
    /// A directory of which only what leads to given paths is taken. Links to it are followed, as the system
    /// does with the paths that were given.
    fn on_the_way(&self, name: &[u8], graft: Graft) -> Item {
        let real = self.grafts.real(graft).and_then(|path| directory_stat(&path));
        let stat = real.map_or(self.made_up, |raw| stat(&raw));
        let trouble = |error: TooLong| Trouble { path: self.grafts.show(graft), why: error.to_string() };
        Ok(Found { key: key(name).map_err(trouble)?, kind: Kind::Directory, stat, place: Place(Spot::Graft(graft)) })
    }
}

fn directory_stat(path: &Path) -> Option<RawStat> {
    stat_path(path, AtFlags::empty()).ok().filter(|raw| kind(raw) == Some(Kind::Directory))
}

fn look(directory: &Directory, name: impl rustix::path::Arg) -> Result<RawStat, String> {
    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT).map_err(|errno| match errno {
        Errno::NOENT => "vanished while its directory was listed".to_owned(),
        errno => format!("cannot be examined: {}", io::Error::from(errno)),
    })
}

fn key(name: &[u8]) -> Result<EntryKey, TooLong> {
    Ok(EntryKey { name: Name::new(name)?, discriminator: 0 })
}
