//! Touches the world. The reading end of a pipe that may stay silent for hours: who is to stop meanwhile does not wait for it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How long a silent pipe is waited for before the flag is looked at.
const PATIENCE: Duration = Duration::from_millis(200);

/// Reads from `input`, which buffers nothing itself, until `stop` is raised: then reading fails.
pub struct Pipe<R> {
    input: R,
    stop: &'static AtomicBool,
}

impl Pipe<File> {
    /// Standard input, without the buffer of `Stdin`, into which a poll would not see.
    pub fn stdin(stop: &'static AtomicBool) -> io::Result<Self> {
        Ok(Pipe::new(File::from(io::stdin().as_fd().try_clone_to_owned()?), stop))
    }
}

impl<R: Read + AsFd> Pipe<R> {
    /// This input and this flag.
    pub fn new(input: R, stop: &'static AtomicBool) -> Self {
        Pipe { input, stop }
    }

    /// Waits for bytes, the end or an error: whatever does not let a read wait.
    fn wait(&self) -> io::Result<()> {
        let patience = Timespec::try_from(PATIENCE).map_err(io::Error::other)?;
        loop {
            if self.stop.load(SeqCst) {
                return Err(io::Error::other("interrupted"));
            }
            match poll(&mut [PollFd::new(&self.input, PollFlags::IN)], Some(&patience)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl<R: Read + AsFd> Read for Pipe<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        self.input.read(buffer)
    }
}
