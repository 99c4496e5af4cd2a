//! The names in one directory, sorted and packed: a million of them take about 25 MB. Touches the disk.

use std::ffi::CStr;
use std::io;

use rustix::fd::AsFd;
use rustix::fs::RawDir;

/// What one call to the kernel may give back, in bytes: hundreds of names.
const BATCH_LEN: usize = 32 << 10;

/// Names in ascending order of their bytes, none twice.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Each with its NUL, so that a name goes to the kernel as it stands.
    arena: Vec<u8>,
    spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    /// Without the NUL.
    len: u32,
}

impl Names {
    /// All names in the directory `fd`, which was just opened; with the error, if it ended in one.
    pub(super) fn read(fd: impl AsFd) -> (Names, Option<io::Error>) {
        let mut names = Names::default();
        let mut batch = Vec::with_capacity(BATCH_LEN);
        let mut entries = RawDir::new(fd, batch.spare_capacity_mut());
        let error = loop {
            let added = match entries.next() {
                None => break None,
                Some(Ok(entry)) => names.add(entry.file_name()),
                Some(Err(errno)) => Err(errno.into()),
            };
            if let Err(error) = added {
                break Some(error);
            }
        };
        names.sort();
        (names, error)
    }

    fn add(&mut self, name: &CStr) -> io::Result<()> {
        let bytes = name.to_bytes_with_nul();
        if matches!(bytes, b".\0" | b"..\0") {
            return Ok(());
        }
        let too_many = |_| io::Error::other("its names take more than 4 GiB");
        let start = u32::try_from(self.arena.len()).map_err(too_many)?;
        let len = u32::try_from(name.count_bytes()).map_err(too_many)?;
        self.arena.extend_from_slice(bytes);
        self.spans.push(Span { start, len });
        Ok(())
    }

    /// A damaged file system may list a name twice; a snapshot cannot hold it twice.
    fn sort(&mut self) {
        let arena = &self.arena;
        self.spans.sort_unstable_by(|a, b| a.of(arena).cmp(b.of(arena)));
        self.spans.dedup_by(|b, a| a.of(arena) == b.of(arena));
    }

    /// The name at a place in the order.
    pub(super) fn get(&self, at: usize) -> Option<&CStr> {
        let Span { start, len } = *self.spans.get(at)?;
        let (start, end) = (start as usize, start as usize + len as usize + 1);
        CStr::from_bytes_with_nul(self.arena.get(start..end)?).ok()
    }

    /// Whether `name` is one of them.
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.spans.binary_search_by(|span| span.of(&self.arena).cmp(name)).is_ok()
    }

    /// Keeps those that `keep` says.
    pub(super) fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        let arena = &self.arena;
        self.spans.retain(|span| keep(span.of(arena)));
    }
}

impl Span {
    fn of(self, arena: &[u8]) -> &[u8] {
        let start = self.start as usize;
        arena.get(start..start + self.len as usize).unwrap_or_default()
    }
}
