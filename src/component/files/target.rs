//! Restoring into a directory of this machine. Touches the world: disk, own user.
//!
//! Promises: nothing outside the directory is written, read or removed, whatever names and links a
//! snapshot holds and whoever else changes the directory meanwhile; whatever replaces something appears
//! whole or not at all; what this system or this user cannot restore is counted, and said once.

mod dirs;
mod making;
mod meta;
mod remove;
mod shortcomings;
mod spot;
mod temp;

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::format::tree::{Device, Entry, Meta, Node, Xattrs};
use crate::ops::source::Trouble;
use crate::ops::target::{DirPath, Names, NewFile, ReadAt, Standing, Target};
use dirs::Dirs;
use making::Making;
use meta::Handle;
use remove::{Removed, remove_at};
use shortcomings::{Shortcoming, Shortcomings};
use spot::{Spot, check_name, file_type, standing};
use temp::{Temp, TempNames};

/// A directory that a snapshot is restored into.
///
/// Owners and groups are restored by number. Changes reach the disk when the system sees fit, or with
/// [`sync`](FilesTarget::sync).
pub struct FilesTarget {
    inside: Arc<Inside>,
}

/// What files in the making share with the target that they are made in.
struct Inside {
    dirs: Dirs,
    temps: TempNames,
    shortcomings: Shortcomings,
}

impl FilesTarget {
    /// The directory at `path`, made for its owner only if it is missing, with all above it.
    pub fn open(path: &Path) -> Result<FilesTarget, Trouble> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| cannot_open(path, "making the target directory", error))?;
        FilesTarget::open_existing(path)
    }

    /// The directory at `path`, which must be there. A link that leads to it is followed.
    pub fn open_existing(path: &Path) -> Result<FilesTarget, Trouble> {
        let open = || -> io::Result<Inside> {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let top = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
            let (temps, shortcomings) = (TempNames::new()?, Shortcomings::default());
            Ok(Inside { dirs: Dirs::new(top), temps, shortcomings })
        };
        let inside = open().map_err(|error| cannot_open(path, "opening the target directory", error))?;
        Ok(FilesTarget { inside: Arc::new(inside) })
    }

    /// Waits until the file system of the target directory has everything on disk; others that are
    /// mounted below it are not waited for.
    pub fn sync(&self) -> io::Result<()> {
        let top = self.inside.dirs.top();
        Ok(rustix::fs::syncfs(dirs::reopen(top.as_fd())?)?)
    }
}

fn cannot_open(path: &Path, doing: &str, error: io::Error) -> Trouble {
    Trouble { path: path.display().to_string(), why: format!("{doing}: {error}") }
}

impl Inside {
    fn spot<'a>(&self, path: &'a Arc<DirPath>, name: &'a [u8]) -> Result<Spot<'a>, Trouble> {
        check_name(name).map_err(|error| spot::trouble(path, name, "refused", error))?;
        let dir = self.dirs.open(path);
        let dir = dir.map_err(|error| spot::trouble(path, name, "opening its directory", error))?;
        Ok(Spot { path, dir, name })
    }

    /// Removes what stands there, if anything does, with all below it.
    fn clear(&self, spot: &Spot) -> io::Result<()> {
        let removed = remove_at(&self.dirs, spot.dir.as_fd(), spot.name);
        // Other threads may hold directories that are gone now, also when not all of them are.
        if !matches!(removed, Ok(Removed::One)) {
            self.dirs.forget_all();
        }
        removed.map(|_| ())
    }

    /// Gives what was made its name, in place of whatever stands there.
    fn place(&self, temp: Temp, spot: &Spot) -> io::Result<()> {
        match temp.rename_to(spot.name) {
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                self.clear(spot)?;
                temp.rename_to(spot.name)?;
            }
            renamed => renamed?,
        }
        temp.placed();
        Ok(())
    }

    /// Gives an entry's metadata, and counts what cannot be given here.
    fn give(&self, handle: &Handle, spot: &Spot, entry: &Entry, xattrs: &Xattrs) -> Result<(), Trouble> {
        let given = meta::give(handle, entry, xattrs).map_err(|error| spot.trouble("inspecting it", error))?;
        for (what, errno) in given.missed {
            self.shortcomings.count(what, errno, || spot.shown());
        }
        match given.failed {
            Some((what, errno)) => Err(spot.trouble(&format!("restoring its {}", what.noun()), errno)),
            None => Ok(()),
        }
    }
}

impl Target for FilesTarget {
    fn inspect(&self, dir: &Arc<DirPath>, name: &[u8]) -> Result<Option<Standing>, Trouble> {
        check_name(name).map_err(|error| spot::trouble(dir, name, "refused", error))?;
        let stat = self.inside.dirs.open(dir).and_then(|fd| Ok(spot::stat_at(fd.as_fd(), name)?));
        match stat {
            Ok(stat) => Ok(standing(&stat)),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(spot::trouble(dir, name, "inspecting what stands there", error)),
        }
    }

    fn make_dir(&self, dir: &Arc<DirPath>, name: &[u8]) -> Result<(), Trouble> {
        let spot = self.inside.spot(dir, name)?;
        make_dir(&spot).map_err(|error| spot.trouble("making the directory", error))
    }

    fn begin(&self, dir: &Arc<DirPath>, entry: &Entry) -> Result<Box<dyn NewFile>, Trouble> {
        let spot = self.inside.spot(dir, &entry.key.name)?;
        let making = Making::begin(&self.inside, &spot, entry.bytes());
        let making = making.map_err(|error| spot.trouble("making the file", error))?;
        Ok(Box::new(making))
    }

    fn make_node(&self, dir: &Arc<DirPath>, entry: &Entry, xattrs: &Xattrs) -> Result<(), Trouble> {
        let spot = self.inside.spot(dir, &entry.key.name)?;
        let temp = match make_temp_node(&self.inside.temps, &spot, &entry.node) {
            Err(error) if is_device(&entry.node) && Errno::from_io_error(&error) == Some(Errno::PERM) => {
                self.inside.shortcomings.count(Shortcoming::Device, Errno::PERM, || spot.shown());
                return Ok(());
            }
            made => made.map_err(|error| spot.trouble("making it", error))?,
        };
        let handle = Handle::pin(spot.dir.as_fd(), temp.name());
        let handle = handle.map_err(|error| spot.trouble("opening it", error))?;
        let given = self.inside.give(&handle, &spot, entry, xattrs);
        self.inside.place(temp, &spot).map_err(|error| spot.trouble("giving it its name", error))?;
        given
    }

    fn link(&self, dir: &Arc<DirPath>, name: &[u8], of: (&Arc<DirPath>, &[u8])) -> Result<(), Trouble> {
        let spot = self.inside.spot(dir, name)?;
        let of = self.inside.spot(of.0, of.1)?;
        let linked = link(&self.inside, &spot, &of);
        linked.map_err(|error| spot.trouble(&format!("making it a link of {}", of.shown()), error))
    }

    fn read_standing(&self, dir: &Arc<DirPath>, name: &[u8]) -> Result<Box<dyn ReadAt>, Trouble> {
        let spot = self.inside.spot(dir, name)?;
        let file = open_regular(&spot).map_err(|error| spot.trouble("opening what stands there", error))?;
        Ok(Box::new(StandingFile(file)))
    }

    fn settle(&self, dir: &Arc<DirPath>, entry: &Entry, xattrs: &Xattrs) -> Result<(), Trouble> {
        let spot = self.inside.spot(dir, &entry.key.name)?;
        let handle = Handle::standing(spot.dir.as_fd(), spot.name, node_type(&entry.node));
        let handle = handle.map_err(|error| spot.trouble("opening it", error))?;
        self.inside.give(&handle, &spot, entry, xattrs)
    }

    fn names(&self, dir: &Arc<DirPath>) -> Result<Names<'_>, Trouble> {
        let names = self.inside.dirs.open(dir).and_then(|fd| Ok(dirs::names_in(fd.as_fd())?));
        let mut names = names.map_err(|error| spot::trouble(dir, b"", "listing the directory", error))?;
        names.retain(|name| !self.inside.temps.is_one(name));
        names.sort_unstable();
        Ok(Box::new(names.into_iter().map(Ok)))
    }

    fn adopt(&self, meta: &mut Meta) {
        (meta.uid, meta.gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        meta.mode = if meta.mode & 0o111 == 0 { 0o644 } else { 0o755 };
    }

    fn remove(&self, dir: &Arc<DirPath>, name: &[u8]) -> Result<(), Trouble> {
        let spot = self.inside.spot(dir, name)?;
        self.inside.clear(&spot).map_err(|error| spot.trouble("removing it", error))
    }

    fn shortcomings(&self) -> Vec<String> {
        self.inside.shortcomings.sentences()
    }
}

/// Nothing stands in a directory that is missing, nor behind what is no directory.
fn is_absence(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

fn make_dir(spot: &Spot) -> io::Result<()> {
    // Whoever plants something between the two calls may win a few times, not for ever.
    for _ in 0..8 {
        match rustix::fs::mkdirat(&spot.dir, spot.name, Mode::RWXU) {
            Err(Errno::EXIST) => {}
            made => return Ok(made?),
        }
        match spot.stat() {
            Ok(stat) if file_type(&stat) == FileType::Directory => return dirs::make_workable(spot, &stat),
            Ok(_) => ignore_absent(rustix::fs::unlinkat(&spot.dir, spot.name, AtFlags::empty()))?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(io::Error::other("something else appears there again and again"))
}

fn ignore_absent(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    if result == Err(Errno::NOENT) { Ok(()) } else { result }
}

fn node_type(node: &Node) -> FileType {
    match node {
        Node::File(_) => FileType::RegularFile,
        Node::Directory(_) => FileType::Directory,
        Node::Symlink(_) => FileType::Symlink,
        Node::Fifo => FileType::Fifo,
        Node::Socket => FileType::Socket,
        Node::CharDevice(_) => FileType::CharacterDevice,
        Node::BlockDevice(_) => FileType::BlockDevice,
    }
}

fn is_device(node: &Node) -> bool {
    matches!(node, Node::CharDevice(_) | Node::BlockDevice(_))
}

fn make_temp_node(temps: &TempNames, spot: &Spot, node: &Node) -> io::Result<Temp> {
    let device = match node {
        Node::File(_) | Node::Directory(_) => return Err(io::Error::other("it is not a node")),
        Node::CharDevice(device) | Node::BlockDevice(device) => device_number(device)?,
        _ => 0,
    };
    let (temp, ()) = Temp::make(temps, &spot.dir, |name| match node {
        Node::Symlink(target) => rustix::fs::symlinkat(&target[..], &spot.dir, name),
        _ => rustix::fs::mknodat(&spot.dir, name, node_type(node), Mode::RUSR | Mode::WUSR, device),
    })?;
    Ok(temp)
}

/// The kernel would cut larger numbers, and so make another device than the one that is meant.
fn device_number(device: &Device) -> io::Result<u64> {
    if device.major >= 1 << 12 || device.minor >= 1 << 20 {
        return Err(io::Error::other(format!("no device is {}:{} on this system", device.major, device.minor)));
    }
    Ok(rustix::fs::makedev(device.major, device.minor))
}

fn link(inside: &Inside, spot: &Spot, of: &Spot) -> io::Result<()> {
    let link_as = |name: &[u8]| rustix::fs::linkat(&of.dir, of.name, &spot.dir, name, AtFlags::empty());
    match link_as(spot.name) {
        Err(Errno::EXIST) => {}
        linked => return Ok(linked?),
    }
    // Renaming a name of a file over another name of it does nothing, and leaves both.
    if let (Ok(old), Ok(new)) = (spot.stat(), of.stat())
        && (old.st_dev, old.st_ino) == (new.st_dev, new.st_ino)
    {
        return Ok(());
    }
    let (temp, ()) = Temp::make(&inside.temps, &spot.dir, |name| link_as(name.as_bytes()))?;
    inside.place(temp, spot)
}

fn open_regular(spot: &Spot) -> io::Result<File> {
    // NONBLOCK: a pipe that stands there must not make us wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd: OwnedFd = rustix::fs::openat(&spot.dir, spot.name, flags, Mode::empty())?;
    match file_type(&rustix::fs::fstat(&fd)?) {
        FileType::RegularFile => Ok(File::from(fd)),
        _ => Err(io::Error::other("it is not a regular file")),
    }
}

struct StandingFile(File);

impl ReadAt for StandingFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
}
