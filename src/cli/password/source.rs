//! Where a password can be read without asking a person. Touches the world: disk, commands.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use zeroize::Zeroizing;

use super::{PASSWORD_MAX, Password};
use crate::cli::exit::{Exit, Failure};
use crate::cli::signals;

/// Where a password stands. Its `Display` never shows the password itself.
pub(super) enum Source {
    File(PathBuf),
    /// Split into words as a shell does it, and run without one.
    Command(String),
    Variable {
        name: &'static str,
        secret: Zeroizing<Vec<u8>>,
    },
}

impl Source {
    pub(super) fn variable(name: &'static str, secret: OsString) -> Self {
        Source::Variable { name, secret: Zeroizing::new(secret.into_vec()) }
    }

    /// The password that stands there; `what` is what people call it.
    pub(super) fn read(self, what: &str) -> Result<Password, Failure> {
        let failed = |why: String| Failure::new(Exit::Failed, format!("cannot take the {what} from {self}: {why}"));
        let read = match &self {
            Source::File(path) => File::open(path).and_then(|mut file| read_bounded(&mut file)).map_err(to_words),
            Source::Command(line) => run(line),
            Source::Variable { secret, .. } => Ok(secret.clone()),
        };
        // Ctrl-C reaches the command as well; its end is then not worth a word.
        signals::go_on()?;
        read.and_then(|bytes| Password::new(&bytes).map_err(to_words)).map_err(failed)
    }
}

fn to_words(error: impl fmt::Display) -> String {
    error.to_string()
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => write!(f, "file {}", path.display()),
            Source::Command(line) => write!(f, "command {}", program(line)),
            Source::Variable { name, .. } => f.write_str(name),
        }
    }
}

/// The program of a command line; its arguments may be nobody's business.
fn program(line: &str) -> String {
    let words = shell_words::split(line).unwrap_or_default();
    words.into_iter().next().unwrap_or_else(|| "(empty)".into())
}

/// At most one byte more than a password may have. The buffer never grows: growing would leave copies.
fn read_bounded(reader: &mut impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; PASSWORD_MAX + 1]);
    let mut filled = 0;
    while filled < bytes.len() {
        match reader.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// What the command prints. What it says on stderr is kept for an error; what it prints is never shown.
fn run(line: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let words = shell_words::split(line).map_err(|_| "a quote in it is not closed".to_owned())?;
    let (program, arguments) = words.split_first().ok_or("there is no word in it")?;
    // A file, not a pipe: something that the command leaves running may hold it open without holding us up.
    let mut complaints = tempfile::tempfile().map_err(to_words)?;
    let stderr = complaints.try_clone().map_err(to_words)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .map_err(to_words)?;
    let (printed, status) = collect(&mut child).map_err(to_words)?;
    match status.success() || printed.len() > PASSWORD_MAX {
        true => Ok(printed),
        false => Err(complaint(status, &mut complaints)),
    }
}

fn collect(child: &mut Child) -> io::Result<(Zeroizing<Vec<u8>>, ExitStatus)> {
    let printed = child.stdout.take().map_or_else(|| Ok(Zeroizing::default()), |mut stdout| read_bounded(&mut stdout));
    if printed.as_ref().map_or(true, |printed| printed.len() > PASSWORD_MAX) {
        // It may go on printing for ever.
        child.kill()?;
    }
    let status = child.wait()?;
    Ok((printed?, status))
}

fn complaint(status: ExitStatus, complaints: &mut File) -> String {
    match last_line(complaints) {
        Ok(line) if !line.is_empty() => format!("{status}: {line}"),
        _ => status.to_string(),
    }
}

/// The last line that is not blank, of the last few KiB.
fn last_line(file: &mut File) -> io::Result<String> {
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(end.saturating_sub(4096)))?;
    let mut tail = Vec::new();
    file.take(4096).read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    Ok(tail.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned())
}
