//! Touches the disk. Rules of ignore files (`.gitignore` and the like): each holds for its directory and
//! below, and the nearest that says something about a path decides.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};

use super::directory::Directory;

/// What an ignore file may hold, in bytes.
const IGNORE_FILE_MAX: u64 = 1 << 20;

/// The rules that hold in a directory, from the outermost file to the nearest.
#[derive(Debug, Clone, Default)]
pub(super) struct IgnoreRules(Option<Arc<[Arc<Gitignore>]>>);

impl IgnoreRules {
    /// Whether there are any.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the thing at `path` is to be left out.
    pub(super) fn leave_out(&self, path: &[u8], is_dir: bool) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        let nearest_first = self.0.iter().flat_map(|files| files.iter().rev());
        let said = nearest_first.map(|file| file.matched(path, is_dir)).find(|said| !said.is_none());
        matches!(said, Some(Match::Ignore(_)))
    }

    /// These, and those of the file `name` in `directory`; with them what could not be understood.
    pub(super) fn with(&self, directory: &Directory, name: &[u8]) -> io::Result<(IgnoreRules, Vec<String>)> {
        let root = directory.steps().to_path();
        let mut builder = GitignoreBuilder::new(OsStr::from_bytes(&root));
        let mut bad = Vec::new();
        for line in read_small(directory, name)?.split(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match std::str::from_utf8(line) {
                Ok(line) => bad.extend(builder.add_line(None, line).err().map(|error| error.to_string())),
                Err(_) => bad.push(format!("{:?} is not UTF-8", String::from_utf8_lossy(line))),
            }
        }
        let file = builder.build().map_err(io::Error::other)?;
        let files = self.0.iter().flat_map(|files| files.iter().cloned()).chain([Arc::new(file)]);
        Ok((IgnoreRules(Some(files.collect())), bad))
    }
}

/// All of a small regular file; anything else that bears the name is an error, and never waited for.
fn read_small(directory: &Directory, name: &[u8]) -> io::Result<Vec<u8>> {
    let mut file = open_regular(directory, name)?.take(IGNORE_FILE_MAX + 1);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(len) if len <= IGNORE_FILE_MAX => Ok(bytes),
        _ => Err(io::Error::other(format!("it is longer than {IGNORE_FILE_MAX} bytes"))),
    }
}

/// Opens a regular file in a directory, and nothing else.
pub(super) fn open_regular(directory: &Directory, name: &[u8]) -> io::Result<std::fs::File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = openat(directory, name, flags, Mode::empty())?;
    match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
        FileType::RegularFile => Ok(fd.into()),
        _ => Err(io::Error::other("it is not a regular file")),
    }
}
