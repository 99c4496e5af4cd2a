//! Touches the world. Streams: what comes from standard input or a command, as one file at a path of the
//! caller's choice.
//!
//! Unlike with files, trouble ends everything: half a dump is worse than none.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use crate::component::files::owners::Owners;
use crate::format::tree::{EntryKey, Name, Time};
use crate::ops::pattern::Steps;
use crate::ops::source::{Description, Extent, Found, Kind, Listing, OnTrouble, Reading, Source, Stat, Trouble};
use command::CommandOutput;

pub use pipe::Pipe;

mod command;
mod pipe;

/// One file, with the directories that lead to it.
pub struct StreamSource {
    names: Vec<Name>,
    made: Time,
    input: Input,
    owners: Owners,
}

/// A path at which a stream cannot stand in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} cannot be a file's path in the snapshot: {why}")]
pub struct BadStreamPath {
    /// The path as it was given.
    pub path: String,
    /// What is wrong with it.
    pub why: &'static str,
}

enum Input {
    /// Can be read once.
    Reader(Mutex<Option<Box<dyn Read + Send>>>),
    Command {
        program: OsString,
        arguments: Vec<OsString>,
        stop: &'static AtomicBool,
    },
}

impl StreamSource {
    /// What `reader` gives (standard input, for one), at `path`; `now` is when it is said to be from.
    pub fn reader(path: &Path, now: Time, reader: Box<dyn Read + Send>) -> Result<Self, BadStreamPath> {
        StreamSource::new(path, now, Input::Reader(Mutex::new(Some(reader))))
    }

    /// What a command writes to its standard output. It fails if the command does: what it wrote to its
    /// standard error last is in the error. When `stop` is raised, the command is killed.
    pub fn command(
        path: &Path,
        now: Time,
        program: impl Into<OsString>,
        arguments: Vec<OsString>,
        stop: &'static AtomicBool,
    ) -> Result<Self, BadStreamPath> {
        StreamSource::new(path, now, Input::Command { program: program.into(), arguments, stop })
    }

    fn new(path: &Path, made: Time, input: Input) -> Result<Self, BadStreamPath> {
        let bytes = path.as_os_str().as_encoded_bytes();
        let bad = |why| BadStreamPath { path: path.display().to_string(), why };
        let steps = Steps::from_path(bytes);
        let names = steps.iter().filter(|name| *name != b".").map(|name| match name {
            b".." => Err(bad("it has a `..`")),
            name => Name::new(name).map_err(|_| bad("a name in it is too long")),
        });
        let names = names.collect::<Result<Vec<_>, _>>()?;
        match (names.is_empty(), bytes.last()) {
            (true, _) => Err(bad("it names nothing")),
            (false, Some(b'/')) => Err(bad("it ends in a slash, as a directory's does")),
            _ => Ok(StreamSource { names, made, input, owners: Owners::default() }),
        }
    }

    fn found(&self, depth: usize, name: &Name) -> Found<usize> {
        let is_file = depth + 1 == self.names.len();
        let stat = Stat {
            mode: if is_file { 0o644 } else { 0o755 },
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            mtime: self.made,
            ctime: self.made,
            ..Stat::default()
        };
        let kind = if is_file { Kind::File { size: None } } else { Kind::Directory };
        Found { key: EntryKey { name: name.clone(), discriminator: 0 }, kind, stat, place: depth + 1 }
    }

    fn trouble(&self, why: String) -> Trouble {
        let names: Vec<&[u8]> = self.names.iter().map(|name| &name[..]).collect();
        Trouble { path: String::from_utf8_lossy(&names.join(&b'/')).into_owned(), why }
    }
}

impl Source for StreamSource {
    /// How many names lead there.
    type Place = usize;

    fn root(&self) -> usize {
        0
    }

    fn list<'a>(&'a self, directory: &usize) -> Result<Listing<'a, usize>, Trouble> {
        let depth = *directory;
        Ok(Box::new(self.names.get(depth).map(|name| Ok(self.found(depth, name))).into_iter()))
    }

    fn describe(&self, found: &Found<usize>) -> Result<Description, Trouble> {
        let (user, group) = (self.owners.user(found.stat.uid), self.owners.group(found.stat.gid));
        Ok(Description { user, group, ..Description::default() })
    }

    fn open(&self, _: &Found<usize>) -> Result<Box<dyn Reading + Send>, Trouble> {
        let reader: Box<dyn Read + Send> = match &self.input {
            Input::Reader(reader) => {
                let reader = reader.lock().unwrap_or_else(PoisonError::into_inner).take();
                reader.ok_or_else(|| self.trouble("a stream can be read only once".to_owned()))?
            }
            Input::Command { program, arguments, stop } => {
                let command = CommandOutput::start(program, arguments, stop);
                Box::new(command.map_err(|error| self.trouble(error.to_string()))?)
            }
        };
        Ok(Box::new(StreamReading { reader, begun: false }))
    }

    fn on_trouble(&self) -> OnTrouble {
        OnTrouble::Stop
    }
}

struct StreamReading {
    reader: Box<dyn Read + Send>,
    begun: bool,
}

impl Reading for StreamReading {
    fn next_extent(&mut self) -> io::Result<Option<Extent>> {
        let first = !std::mem::replace(&mut self.begun, true);
        Ok(first.then_some(Extent::Data(None)))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    fn finish(self: Box<Self>) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
