//! Standard output: the one way that results leave. It is buffered, shared between threads, and a reader
//! that has gone away ends the command quietly instead of in a panic.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::exit::Failure;
use super::progress;
use super::render::printable;

/// Where results go.
pub struct Out {
    writer: Mutex<BufWriter<Box<dyn Write + Send>>>,
    is_terminal: bool,
}

impl Out {
    /// The process's standard output.
    pub fn stdout() -> Self {
        Out::to(Box::new(io::stdout()), io::stdout().is_terminal())
    }

    /// Any other place.
    pub fn to(writer: Box<dyn Write + Send>, is_terminal: bool) -> Self {
        Out { writer: Mutex::new(BufWriter::with_capacity(64 << 10, writer)), is_terminal }
    }

    /// Whether a person looks at it.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes `line` and a newline.
    pub fn line(&self, line: impl fmt::Display) -> Result<(), Failure> {
        self.write(|writer| writeln!(writer, "{line}"))
    }

    /// Writes text that ends its own lines: a table.
    pub fn text(&self, text: &impl fmt::Display) -> Result<(), Failure> {
        self.write(|writer| write!(writer, "{text}"))
    }

    /// Writes one JSON document on one line.
    pub fn json(&self, document: &impl Serialize) -> Result<(), Failure> {
        self.write(|writer| {
            serde_json::to_writer(&mut *writer, document)?;
            writer.write_all(b"\n")
        })
    }

    /// Writes bytes as they are: file content, archives.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.write(|writer| writer.write_all(bytes))
    }

    /// A name as this output should get it: escaped for people, as it is for programs.
    pub fn name<'a>(&self, name: &'a [u8]) -> Cow<'a, [u8]> {
        match self.is_terminal {
            true => Cow::Owned(printable(name).into_bytes()),
            false => Cow::Borrowed(name),
        }
    }

    /// Hands on what is buffered. A command is done only when this was.
    pub fn flush(&self) -> Result<(), Failure> {
        self.write(|writer| writer.flush())
    }

    /// A writer for those who need one; the output is theirs until they drop it. Its errors are turned into
    /// a [`Failure`] by [`Failure::of_output`].
    pub fn writer(&self) -> impl Write + '_ {
        Held(self.lock())
    }

    fn write(&self, act: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let mut writer = self.lock();
        let written = match self.is_terminal {
            // Both may be the same terminal; a bar must not be drawn into the middle of a line.
            true => progress::above(|| act(&mut *writer).and_then(|()| writer.flush())),
            false => act(&mut *writer),
        };
        written.map_err(|error| Failure::of_output(&error))
    }

    fn lock(&self) -> MutexGuard<'_, BufWriter<Box<dyn Write + Send>>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out").field("is_terminal", &self.is_terminal).finish_non_exhaustive()
    }
}

struct Held<'a>(MutexGuard<'a, BufWriter<Box<dyn Write + Send>>>);

impl Write for Held<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::super::exit::Exit;
    use super::*;

    /// Keeps what is written, for a test to look at.
    #[derive(Clone, Default)]
    pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        pub(crate) fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
        }
    }
    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_output_ends_quietly() {
        let out = Out::to(Box::new(Closed), false);
        out.line("kept in the buffer").unwrap();
        assert_eq!(out.flush().unwrap_err().exit, Exit::OutputClosed);
        let out = Out::to(Box::new(Closed), false);
        let lost = out.json(&vec!["x"; 100_000]).unwrap_err();
        assert_eq!(lost.exit, Exit::OutputClosed, "the JSON writer hides the kind of the error");
    }

    #[test]
    fn names_are_escaped_for_people_only() {
        let paper = Paper::default();
        assert_eq!(&*Out::to(Box::new(paper.clone()), true).name(b"a\x1bb"), b"a\\x1bb");
        assert_eq!(&*Out::to(Box::new(paper), false).name(b"a\x1bb"), b"a\x1bb");
    }
}
