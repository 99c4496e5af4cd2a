//! Touches the disk. Which blobs are needed: a sorted set of ids in constant memory, however many there are.
//!
//! Half an id is kept. Two blobs that share it would both be needed if one is: garbage is kept, nothing is
//! lost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::id::BlobId;
use crate::repo::{RepoError, Result};

/// Marks that are sorted in memory; more are spilled to a file.
const IN_MEMORY: usize = 1 << 21;
const MARK_LEN: usize = 16;
/// Marks that are read at a time around where one is expected.
const WINDOW: u64 = 256;

/// The first half of a blob's id, as a number that sorts as ids do.
type Mark = u128;

/// The mark of a blob.
fn mark_of(id: &BlobId) -> Mark {
    Mark::from_be_bytes(*id.as_bytes().first_chunk().expect("an id is 32 bytes long"))
}

/// Collects marks in any order, as often as they come.
pub struct Marking {
    dir: PathBuf,
    at_hand: Vec<Mark>,
    spilled: Vec<File>,
}

impl Marking {
    /// Spills to files without names in `dir`.
    pub fn new(dir: &Path) -> Self {
        Marking { dir: dir.to_owned(), at_hand: Vec::new(), spilled: Vec::new() }
    }

    /// Marks a blob.
    pub fn mark(&mut self, id: &BlobId) -> Result<()> {
        self.at_hand.push(mark_of(id));
        if self.at_hand.len() < IN_MEMORY {
            return Ok(());
        }
        self.sort();
        // Snapshots share most of what they reach: what is there twice is not worth a file.
        if self.at_hand.len() > IN_MEMORY / 2 {
            self.spill().map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    fn sort(&mut self) {
        self.at_hand.sort_unstable();
        self.at_hand.dedup();
    }

    fn spill(&mut self) -> io::Result<()> {
        let mut file = BufWriter::new(tempfile::tempfile_in(&self.dir)?);
        for mark in self.at_hand.drain(..) {
            file.write_all(&mark.to_be_bytes())?;
        }
        self.spilled.push(file.into_inner().map_err(io::IntoInnerError::into_error)?);
        Ok(())
    }

    /// All marks, each once.
    pub fn finish(mut self) -> Result<Marks> {
        self.sort();
        if self.spilled.is_empty() {
            return Ok(Marks { count: self.at_hand.len() as u64, held: Held::InMemory(self.at_hand) });
        }
        self.merge().map_err(|error| self.failed(&error))
    }

    fn merge(&mut self) -> io::Result<Marks> {
        self.spill()?;
        self.at_hand = Vec::new();
        let mut sources: Vec<BufReader<File>> = Vec::new();
        let mut heads = BinaryHeap::new();
        for (number, mut file) in self.spilled.drain(..).enumerate() {
            file.seek(SeekFrom::Start(0))?;
            let mut source = BufReader::with_capacity(1 << 16, file);
            heads.extend(next_mark(&mut source)?.map(|mark| Reverse((mark, number))));
            sources.push(source);
        }
        let mut merged = BufWriter::with_capacity(1 << 16, tempfile::tempfile_in(&self.dir)?);
        let (mut last, mut count) = (None, 0);
        while let Some(Reverse((mark, number))) = heads.pop() {
            if last != Some(mark) {
                merged.write_all(&mark.to_be_bytes())?;
                (last, count) = (Some(mark), count + 1);
            }
            heads.extend(next_mark(&mut sources[number])?.map(|mark| Reverse((mark, number))));
        }
        let file = merged.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Marks { count, held: Held::OnDisk(file) })
    }

    fn failed(&self, error: &io::Error) -> RepoError {
        RepoError::Local { attempted: format!("sort ids in {}", self.dir.display()), why: error.to_string() }
    }
}

fn next_mark(source: &mut impl Read) -> io::Result<Option<Mark>> {
    let mut bytes = [0; MARK_LEN];
    match source.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(Mark::from_be_bytes(bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// The marked blobs.
pub struct Marks {
    count: u64,
    held: Held,
}

enum Held {
    InMemory(Vec<Mark>),
    OnDisk(File),
}

impl Marks {
    /// Whether a blob is marked.
    pub fn contains(&self, id: &BlobId) -> Result<bool> {
        let mark = mark_of(id);
        match &self.held {
            Held::InMemory(marks) => Ok(marks.binary_search(&mark).is_ok()),
            Held::OnDisk(file) => search(file, self.count, mark).map_err(|error| failed(&error)),
        }
    }

    /// Goes through the marks beside a stream of ascending ids.
    pub fn beside(&self) -> Result<Beside<'_>> {
        let source = match &self.held {
            Held::InMemory(marks) => Source::InMemory(marks.iter()),
            Held::OnDisk(file) => {
                let file = file.try_clone().map_err(|error| failed(&error))?;
                Source::OnDisk(BufReader::with_capacity(1 << 16, At { file, at: 0 }))
            }
        };
        let mut beside = Beside { source, next: None };
        beside.step()?;
        Ok(beside)
    }
}

fn failed(error: &io::Error) -> RepoError {
    RepoError::Local { attempted: "read sorted ids".into(), why: error.to_string() }
}

/// Marks are hashes: one lies about as far into the file as it lies between the least and the greatest.
fn search(file: &File, count: u64, mark: Mark) -> io::Result<bool> {
    let (mut low, mut high) = (0, count);
    let mut guess = (((mark >> 64) * Mark::from(count)) >> 64) as u64;
    let mut window = Vec::new();
    while low < high {
        let begin = guess.saturating_sub(WINDOW / 2).clamp(low, high - 1);
        let len = WINDOW.min(high - begin);
        window.resize(len as usize * MARK_LEN, 0);
        file.read_exact_at(&mut window, begin * MARK_LEN as u64)?;
        let (marks, _) = window.as_chunks::<MARK_LEN>();
        let at = marks.partition_point(|other| Mark::from_be_bytes(*other) < mark) as u64;
        match marks.get(at as usize) {
            Some(found) if Mark::from_be_bytes(*found) == mark => return Ok(true),
            Some(_) if at > 0 || begin == low => return Ok(false),
            Some(_) => high = begin,
            None => low = begin + len,
        }
        guess = low + (high - low) / 2;
    }
    Ok(false)
}

/// Marks in order, beside ids in order.
pub struct Beside<'m> {
    source: Source<'m>,
    next: Option<Mark>,
}

enum Source<'m> {
    InMemory(std::slice::Iter<'m, Mark>),
    OnDisk(BufReader<At>),
}

/// A file that is read from where this reader is, whoever else reads it.
struct At {
    file: File,
    at: u64,
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Beside<'_> {
    fn step(&mut self) -> Result<()> {
        self.next = match &mut self.source {
            Source::InMemory(marks) => marks.next().copied(),
            Source::OnDisk(file) => next_mark(file).map_err(|error| failed(&error))?,
        };
        Ok(())
    }

    /// Whether `id`, greater than all before it, is marked; `passed` is told how many marks lie before it that no
    /// id had.
    pub fn is_marked(&mut self, id: &BlobId, passed: &mut u64) -> Result<bool> {
        let mark = mark_of(id);
        while self.next.is_some_and(|next| next < mark) {
            *passed += 1;
            self.step()?;
        }
        if self.next != Some(mark) {
            return Ok(false);
        }
        self.step()?;
        Ok(true)
    }

    /// How many marks are left after the last id.
    pub fn rest(mut self) -> Result<u64> {
        let mut left = 0;
        while self.next.is_some() {
            left += 1;
            self.step()?;
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> BlobId {
        BlobId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    fn assert_holds(marks: &Marks, numbers: u64) {
        assert_eq!(marks.count, numbers);
        for number in (0..numbers).step_by(997) {
            assert!(marks.contains(&id(number)).unwrap(), "{number}");
        }
        assert!((numbers..numbers + 1000).all(|number| !marks.contains(&id(number)).unwrap()));
        let mut ids: Vec<BlobId> = (0..numbers).step_by(2).map(id).collect();
        ids.extend((numbers..numbers + 1000).map(id));
        ids.sort_unstable();
        let mut beside = marks.beside().unwrap();
        let (mut passed, mut marked) = (0, 0);
        for id in &ids {
            marked += u64::from(beside.is_marked(id, &mut passed).unwrap());
        }
        assert_eq!(marked, numbers.div_ceil(2));
        assert_eq!(passed + beside.rest().unwrap(), numbers / 2);
    }

    #[test]
    fn few_marks_are_a_set_in_memory() {
        let mut marking = Marking::new(&std::env::temp_dir());
        (0..3000).chain(0..3000).for_each(|number| marking.mark(&id(number)).unwrap());
        let marks = marking.finish().unwrap();
        assert!(matches!(marks.held, Held::InMemory(_)));
        assert_holds(&marks, 3000);
    }

    #[test]
    fn many_marks_are_a_set_on_disk() {
        let many = IN_MEMORY as u64 + IN_MEMORY as u64 / 4;
        let mut marking = Marking::new(&std::env::temp_dir());
        (0..many).chain(0..many / 2).for_each(|number| marking.mark(&id(number)).unwrap());
        let marks = marking.finish().unwrap();
        assert!(matches!(marks.held, Held::OnDisk(_)));
        assert_holds(&marks, many);
    }
}
