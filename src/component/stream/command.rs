//! A command's standard output, which ends well only if the command does. Runs commands.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use super::Pipe;

/// What is kept of standard error: the end, where the reason stands.
const COMPLAINT_MAX: usize = 4096;
const COMPLAINT_LINES: usize = 10;
/// How long to wait for the rest of standard error once the command has ended: something that it left
/// running may hold it open for ever.
const PATIENCE: Duration = Duration::from_secs(1);

/// A running command; killed if it is dropped before it has ended.
pub(super) struct CommandOutput {
    name: String,
    child: Child,
    stdout: Pipe<ChildStdout>,
    complaint: Complaint,
    ended: Option<ExitStatus>,
}

impl CommandOutput {
    /// Starts it, with nothing on its standard input. Nobody waits for it once `stop` is raised.
    pub(super) fn start(
        program: &OsStr,
        arguments: &[OsString],
        stop: &'static AtomicBool,
    ) -> io::Result<CommandOutput> {
        let name = program.display().to_string();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let about = |error: io::Error| io::Error::new(error.kind(), format!("{name} cannot be run: {error}"));
        let mut child = command.spawn().map_err(about)?;
        match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), Some(stderr)) => {
                let (stdout, complaint) = (Pipe::new(stdout, stop), Complaint::listen(stderr));
                Ok(CommandOutput { name, child, stdout, complaint, ended: None })
            }
            _ => Err(io::Error::other(format!("{name} was started without pipes"))),
        }
    }

    /// Nothing more comes: waits for the end, and says whether it was a good one.
    fn end(&mut self) -> io::Result<()> {
        let status = match self.ended {
            Some(status) => status,
            None => self.child.wait()?,
        };
        self.ended = Some(status);
        if status.success() {
            return Ok(());
        }
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with exit status {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => format!("ended with {status}"),
        };
        let complaint = self.complaint.last_lines();
        let said = if complaint.is_empty() { " and said nothing".to_owned() } else { format!(":\n{complaint}") };
        Err(io::Error::other(format!("{} {how}{said}", self.name)))
    }
}

impl Read for CommandOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stdout.read(buffer)? {
            0 if !buffer.is_empty() => self.end().map(|()| 0),
            got => Ok(got),
        }
    }
}

impl Drop for CommandOutput {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // It may have ended by itself just now; either way nobody is left to tell.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The end of what a command writes to standard error, read by a thread so that the command never waits.
struct Complaint {
    tail: Arc<Mutex<VecDeque<u8>>>,
    closed: Receiver<()>,
}

impl Complaint {
    fn listen(stderr: ChildStderr) -> Complaint {
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let (closing, closed) = bounded(0);
        let kept = Arc::clone(&tail);
        thread::spawn(move || {
            keep_tail(stderr, &kept);
            drop(closing);
        });
        Complaint { tail, closed }
    }

    fn last_lines(&self) -> String {
        // Disconnected when standard error is closed; never sent to.
        let _ = self.closed.recv_timeout(PATIENCE);
        let tail: Vec<u8> = self.tail.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        let text = String::from_utf8_lossy(&tail);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        lines.get(lines.len().saturating_sub(COMPLAINT_LINES)..).unwrap_or_default().join("\n")
    }
}

fn keep_tail(mut stderr: ChildStderr, tail: &Mutex<VecDeque<u8>>) {
    let mut buffer = [0; 1024];
    loop {
        match stderr.read(&mut buffer) {
            Ok(0) => return,
            Ok(got) => {
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                tail.extend(buffer.get(..got).unwrap_or_default());
                let over = tail.len().saturating_sub(COMPLAINT_MAX);
                tail.drain(..over);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
