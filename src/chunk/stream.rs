//! The chunks of a stream that is read as it comes, in bounded memory. Touches the world: reads.

use std::io::{self, ErrorKind, Read};
use std::mem;

use super::Chunker;

/// What is read at first from a stream of unknown length, in bytes.
const FIRST_READ: usize = 64 << 10;

/// Reads a stream and hands it out in chunks.
///
/// Holds at most twice the greatest chunk length, and for a short stream of known length one byte more
/// than that length. A chunk that is the whole stream is not copied, any other once.
pub struct Chunks<'c, R> {
    chunker: &'c Chunker,
    reader: R,
    /// Read and not yet handed out: `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    at_eof: bool,
}

impl<'c, R: Read> Chunks<'c, R> {
    /// `size_hint` is the stream's expected length in bytes. Nothing depends on its truth but the number
    /// of reads: a file may grow or shrink between `stat` and `read`.
    pub fn new(chunker: &'c Chunker, reader: R, size_hint: Option<u64>) -> Self {
        let full = full_buffer(chunker);
        let first = match size_hint {
            // One byte more, so that a last, empty read shows the end without growing the buffer.
            Some(len) => usize::try_from(len).map_or(full, |len| len.saturating_add(1)),
            None => FIRST_READ,
        };
        Self { chunker, reader, buffer: vec![0; first.min(full)], start: 0, end: 0, at_eof: false }
    }

    /// The next chunk, never empty; `None` at the end of the stream, also when asked again.
    ///
    /// # Errors
    ///
    /// The reader's own. Nothing that was read before is lost: asking again goes on from there.
    pub fn next_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.fill()?;
        let len = self.chunker.cut(&self.buffer[self.start..self.end]);
        if len == 0 {
            return Ok(None);
        }
        Ok(Some(self.take(len)))
    }

    /// Reads until a cut can be decided: a greatest chunk is there, or the rest of the stream.
    fn fill(&mut self) -> io::Result<()> {
        let wanted = self.chunker.params().max() as usize;
        while !self.at_eof && self.end - self.start < wanted {
            if self.end == self.buffer.len() {
                self.make_room();
            }
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.at_eof = true,
                Ok(len) => self.end += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes room behind `end`: by moving what is left to the front if that frees half the buffer, as it
    /// always does once the buffer has its full length; else by growing.
    fn make_room(&mut self) {
        if self.start >= self.buffer.len().div_ceil(2) {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else {
            let longer = self.buffer.len().saturating_mul(2).max(FIRST_READ);
            self.buffer.resize(longer.min(full_buffer(self.chunker)), 0);
        }
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        if self.at_eof && self.start == 0 && len == self.end {
            return self.take_whole_buffer();
        }
        let chunk = self.buffer[self.start..self.start + len].to_vec();
        self.start += len;
        chunk
    }

    /// The buffer itself as the last chunk, without what it holds in excess beyond a byte or two.
    fn take_whole_buffer(&mut self) -> Vec<u8> {
        let mut chunk = mem::take(&mut self.buffer);
        chunk.truncate(self.end);
        if chunk.capacity() - chunk.len() > chunk.len() / 8 {
            chunk.shrink_to_fit();
        }
        self.end = 0;
        chunk
    }
}

/// With two greatest chunks, what is left is moved to the front at most once per greatest chunk.
fn full_buffer(chunker: &Chunker) -> usize {
    2 * chunker.params().max() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ChunkerParams;
    use std::collections::VecDeque;

    fn chunker() -> Chunker {
        Chunker::new(&[7; 32], ChunkerParams::new(64, 256, 1024).unwrap())
    }

    /// A reader that does what it is told, and notes the room it was given.
    struct Scripted {
        script: VecDeque<io::Result<Vec<u8>>>,
        rooms: Vec<usize>,
    }

    impl Scripted {
        fn new(script: impl IntoIterator<Item = io::Result<Vec<u8>>>) -> Self {
            Self { script: script.into_iter().collect(), rooms: Vec::new() }
        }
    }

    impl Read for Scripted {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            self.rooms.push(room.len());
            let bytes = self.script.pop_front().unwrap_or(Ok(Vec::new()))?;
            room[..bytes.len()].copy_from_slice(&bytes);
            Ok(bytes.len())
        }
    }

    #[test]
    fn a_small_file_costs_one_allocation_and_two_reads() {
        let chunker = chunker();
        let mut chunks = Chunks::new(&chunker, Scripted::new([Ok(vec![1; 30])]), Some(30));

        let chunk = chunks.next_chunk().unwrap().unwrap();

        assert_eq!(chunk, [1; 30]);
        assert_eq!(chunk.capacity(), 31);
        assert_eq!(chunks.reader.rooms, [31, 1]);
        assert_eq!(chunks.next_chunk().unwrap(), None);
    }

    #[test]
    fn an_empty_stream_has_no_chunks() {
        let chunker = chunker();
        for hint in [None, Some(0), Some(10), Some(u64::MAX)] {
            let mut chunks = Chunks::new(&chunker, io::empty(), hint);
            assert_eq!(chunks.next_chunk().unwrap(), None);
            assert_eq!(chunks.next_chunk().unwrap(), None);
        }
    }

    #[test]
    fn a_huge_hint_allocates_no_more_than_two_chunks() {
        let chunker = chunker();

        let chunks = Chunks::new(&chunker, io::empty(), Some(u64::MAX));

        assert_eq!(chunks.buffer.capacity(), 2 * 1024);
    }

    #[test]
    fn the_buffer_never_outgrows_two_chunks() {
        let chunker = chunker();
        for hint in [None, Some(0), Some(1), Some(1500), Some(1 << 40)] {
            let mut chunks = Chunks::new(&chunker, io::repeat(3).take(100_000), hint);
            while chunks.next_chunk().unwrap().is_some() {
                assert!(chunks.buffer.len() <= 2 * 1024);
            }
        }
    }

    #[test]
    fn a_read_error_is_passed_on_and_loses_nothing() {
        let chunker = chunker();
        let script = [
            Ok(vec![1; 20]),
            Err(io::Error::from(ErrorKind::Interrupted)),
            Ok(vec![2; 20]),
            Err(io::Error::from(ErrorKind::TimedOut)),
            Ok(vec![3; 20]),
        ];
        let mut chunks = Chunks::new(&chunker, Scripted::new(script), None);

        let error = chunks.next_chunk().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);

        let chunk = chunks.next_chunk().unwrap().unwrap();
        assert_eq!(chunk, [[1; 20], [2; 20], [3; 20]].concat());
    }

    #[test]
    fn a_short_stream_keeps_no_long_buffer() {
        let chunker = chunker();
        let mut chunks = Chunks::new(&chunker, &[5; 40][..], Some(1000));

        let chunk = chunks.next_chunk().unwrap().unwrap();

        assert_eq!(chunk.len(), 40);
        assert!(chunk.capacity() < 100);
    }
}
