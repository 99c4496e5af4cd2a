//! Files as a source: the given paths, each where it lies, in one tree. Touches the world: disk, working
//! directory.
//!
//! A snapshot of `/home/al/docs` and `/etc/hosts` has `home` and `etc` at its top; the directories on the
//! way bear their own metadata, but hold only what was given. Paths are made absolute and free of `.` and
//! `..` as text, as a shell shows them. A given path that is a link is backed up as a link. A path within
//! another one is part of it, and no filter hides it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, OFlags, Stat as RawStat};

use super::directory::{Directory, stat_path};
use super::filter::Filter;
use super::grafts::{Graft, Grafts};
use super::listing::{Everything, OnTheWay};
use super::owners::Owners;
use super::reading::FileReading;
use super::stat::{kind, stat};
use crate::ops::pattern::Steps;
use crate::ops::source::{Description, Found, Kind, Listing, Reading, Source, Stat, Trouble};

/// Paths to back up. Cheap to make; the disk is walked as the engine asks.
#[derive(Debug)]
pub struct FilesSource {
    pub(super) grafts: Grafts,
    pub(super) filter: Filter,
    pub(super) owners: Owners,
    /// For directories that are only there in the snapshot.
    pub(super) made_up: Stat,
    pub(super) proc_is_there: bool,
    paths: Vec<Vec<u8>>,
    missing: Vec<Trouble>,
}

/// Paths that cannot be backed up together, or not like this.
#[derive(Debug, thiserror::Error)]
pub enum BadSources {
    /// The working directory, which relative paths begin at, is unknown.
    #[error("the working directory cannot be found out: {0}")]
    NoWorkingDirectory(#[source] io::Error),
    /// Another place in the snapshot was asked for more than one path.
    #[error("only a single path can be given another place in the snapshot, not {0}")]
    NotOne(usize),
    /// A place in the snapshot that is not a path.
    #[error("{0:?} cannot be a place in the snapshot: it has a `..`")]
    BadPlace(PathBuf),
    /// Something other than a directory was to be the snapshot's top.
    #[error("{0:?} cannot be the top of the snapshot: it is not a directory")]
    NotADirectory(PathBuf),
}

/// Where something is: on the way to a given path, or in an open directory.
#[derive(Debug, Clone)]
pub struct Place(pub(super) Spot);

#[derive(Debug, Clone)]
pub(super) enum Spot {
    Graft(Graft),
    Disk { above: Arc<Directory>, name: Arc<[u8]>, enter: Enter },
}

/// What is taken of a directory.
#[derive(Debug, Clone, Copy)]
pub(super) enum Enter {
    /// All that the filter lets through; the source is on this device.
    All { device: u64, graft: Option<Graft> },
    /// What leads to given paths.
    Grafts(Graft),
    /// Nothing: something else is mounted there.
    Nothing,
}

impl FilesSource {
    /// These paths, but what `filter` leaves out. With `place`, the only path stands there in the snapshot
    /// and not where it lies. Paths that are not there are left for [`missing`](Self::missing) to tell.
    pub fn new(given: &[PathBuf], place: Option<&Path>, filter: Filter) -> Result<FilesSource, BadSources> {
        let paths = given.iter().map(|path| absolute(path)).collect::<Result<Vec<_>, _>>()?;
        let mut source = FilesSource {
            grafts: Grafts::in_place(Vec::new()),
            filter,
            owners: Owners::default(),
            made_up: Stat { mode: 0o755, ..Stat::default() },
            proc_is_there: Path::new("/proc/self/fd").is_dir(),
            paths: Vec::new(),
            missing: Vec::new(),
        };
        match (place, given, &paths[..]) {
            (None, ..) => source.take_in_place(given, paths),
            (Some(place), [given], [path]) => source.take_elsewhere(given, path, place)?,
            (Some(_), ..) => return Err(BadSources::NotOne(given.len())),
        }
        Ok(source)
    }

    fn take_in_place(&mut self, given: &[PathBuf], paths: Vec<Vec<u8>>) {
        let mut there = Vec::new();
        for (given, path) in given.iter().zip(&paths) {
            there.extend(self.stat_given(given, path).map(|_| path.clone()));
        }
        self.grafts = Grafts::in_place(there);
        self.paths = paths;
    }

    fn take_elsewhere(&mut self, given: &Path, path: &[u8], place: &Path) -> Result<(), BadSources> {
        let place = place_in_snapshot(place)?;
        if let Some(raw) = self.stat_given(given, path) {
            if place.is_empty() && kind(&raw) != Some(Kind::Directory) {
                return Err(BadSources::NotADirectory(given.to_owned()));
            }
            // Directories made up for it are as old as it is, so that they change only if it does.
            let Stat { uid, gid, mtime, .. } = stat(&raw);
            self.made_up = Stat { uid, gid, mtime, ..self.made_up };
            self.grafts = Grafts::moved(place.clone(), to_path(path));
        }
        self.paths = vec![place];
        Ok(())
    }

    /// What is at a given path; if nothing, that is noted. The empty path is not there: made absolute, it
    /// would be the working directory.
    fn stat_given(&mut self, given: &Path, path: &[u8]) -> Option<RawStat> {
        let found = match given.as_os_str().is_empty() {
            true => Err(io::ErrorKind::NotFound.into()),
            false => stat_path(&to_path(path), AtFlags::SYMLINK_NOFOLLOW),
        };
        let path = given.display().to_string();
        let note = |error| self.missing.push(Trouble { path, why: format!("cannot be backed up: {error}") });
        found.map_err(note).ok()
    }

    /// The given paths that are not there or cannot be reached. The root's listing tells them as well.
    pub fn missing(&self) -> &[Trouble] {
        &self.missing
    }

    /// Whether none of the given paths is there.
    pub fn is_empty(&self) -> bool {
        self.grafts.is_empty()
    }

    /// Where the given paths stand in the snapshot, sorted, missing ones among them: the name under which
    /// snapshots of the same things are known, also on a night when one was not there.
    pub fn paths(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = self.paths.iter().map(|path| to_path(path)).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    fn enter_root(&self, root: Graft) -> Result<Listing<'_, Place>, Trouble> {
        let missing = self.missing.iter().cloned().map(Err);
        if !self.grafts.is_source(root) {
            return Ok(Box::new(missing.chain(OnTheWay::new(self, self.grafts.children(root)))));
        }
        let real = self.grafts.real(root).unwrap_or_default();
        let directory = Directory::at(&real, OFlags::RDONLY);
        let directory = directory.map_err(|error| unopened(real.display().to_string(), &error))?;
        Ok(Box::new(missing.chain(Everything::new(self, directory, Some(root)))))
    }
}

impl Source for FilesSource {
    type Place = Place;

    fn root(&self) -> Place {
        Place(Spot::Graft(self.grafts.root()))
    }

    fn list<'a>(&'a self, directory: &Place) -> Result<Listing<'a, Place>, Trouble> {
        match &directory.0 {
            Spot::Graft(graft) if *graft == self.grafts.root() => self.enter_root(*graft),
            Spot::Graft(graft) | Spot::Disk { enter: Enter::Grafts(graft), .. } => {
                Ok(Box::new(OnTheWay::new(self, self.grafts.children(*graft))))
            }
            Spot::Disk { enter: Enter::Nothing, .. } => Ok(Box::new(std::iter::empty())),
            Spot::Disk { above, name, enter: Enter::All { device, graft } } => {
                let opened = Directory::below(above, name, *device);
                let opened = opened.map_err(|error| unopened(above.show(name), &error))?;
                Ok(Box::new(Everything::new(self, opened, *graft)))
            }
        }
    }

    fn describe(&self, found: &Found<Place>) -> Result<Description, Trouble> {
        self.describe_found(found)
    }

    fn open(&self, found: &Found<Place>) -> Result<Box<dyn Reading + Send>, Trouble> {
        match &found.place.0 {
            Spot::Graft(graft) => Err(Trouble { path: self.grafts.show(*graft), why: "is a directory".to_owned() }),
            Spot::Disk { above, name, .. } => match FileReading::open(above, name, found) {
                Ok(reading) => Ok(Box::new(reading)),
                Err(why) => Err(Trouble { path: above.show(name), why }),
            },
        }
    }
}

fn unopened(path: String, error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::NotFound => Trouble { path, why: "vanished before it was listed".to_owned() },
        _ => Trouble { path, why: format!("cannot be listed: {error}") },
    }
}

/// The path from the top, without a slash at the end.
fn absolute(path: &Path) -> Result<Vec<u8>, BadSources> {
    let whole = match path.is_absolute() {
        true => path.to_owned(),
        false => std::env::current_dir().map_err(BadSources::NoWorkingDirectory)?.join(path),
    };
    let mut steps = Steps::new();
    for name in whole.as_os_str().as_bytes().split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => steps.pop(),
            name => steps.push(name),
        }
    }
    Ok(without_last_slash(steps.to_path()))
}

fn place_in_snapshot(place: &Path) -> Result<Vec<u8>, BadSources> {
    let names = place.as_os_str().as_bytes().split(|&byte| byte == b'/').filter(|name| *name != b".");
    let path = names.collect::<Vec<_>>().join(&b'/');
    let steps = Steps::from_path(&path);
    match steps.iter().any(|name| name == b"..") {
        true => Err(BadSources::BadPlace(place.to_owned())),
        false => Ok(without_last_slash(steps.to_path())),
    }
}

fn without_last_slash(path: Vec<u8>) -> Vec<u8> {
    if path == b"/" { Vec::new() } else { path }
}

fn to_path(path: &[u8]) -> PathBuf {
    match path {
        b"" => PathBuf::from("/"),
        path => PathBuf::from(OsString::from(OsStr::from_bytes(path))),
    }
}
