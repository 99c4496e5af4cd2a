//! A file that stands in the target, compared with what the snapshot holds.

use super::file::{File, is_zero};
use super::run::Run;
use super::window::Wanted;
use crate::format::content::{Body, Content, Item};
use crate::format::pack::BlobKind;
use crate::ops::source::Kind;
use crate::ops::target::ReadAt;
use crate::repo::RepoError;
use crate::repo::walk::Items;

/// Bytes of a hole that are looked at in one go.
const HOLE_STEP: u64 = 1 << 20;

/// A file that stands in the target, opened.
pub(super) struct StandingFile {
    reader: Box<dyn ReadAt>,
    size: u64,
    /// The bytes that were looked at last.
    buffer: Vec<u8>,
}

impl StandingFile {
    /// What stands where `file` is to be, if that is a file and can be read: what cannot is replaced.
    pub fn open(run: &Run<'_>, file: &File<'_>) -> Option<Self> {
        let size = file.standing_size?;
        let reader = run.target.read_standing(&file.wanted.dir, file.wanted.name()).ok()?;
        Some(StandingFile { reader, size, buffer: Vec::new() })
    }

    /// Whether what was restored is what the snapshot holds; why not, if it is not.
    pub fn verify(run: &Run<'_>, wanted: &Wanted, content: &Content) -> Result<(), String> {
        let verifying = |why: &dyn std::fmt::Display| format!("verifying it: {why}");
        let standing = run.target.inspect(&wanted.dir, wanted.name()).map_err(|trouble| trouble.why)?;
        let Some(Kind::File { size: Some(size) }) = standing.map(|standing| standing.kind) else {
            return Err(verifying(&"no file stands there any more"));
        };
        let reader = run.target.read_standing(&wanted.dir, wanted.name()).map_err(|trouble| trouble.why)?;
        let mut standing = StandingFile { reader, size, buffer: Vec::new() };
        match standing.holds_all(run, content) {
            Ok(true) => Ok(()),
            Ok(false) => Err(verifying(&"its content is not what the snapshot holds")),
            Err(error) => Err(verifying(&error)),
        }
    }

    /// Whether it is this long.
    pub fn has_size(&self, size: u64) -> bool {
        self.size == size
    }

    /// The bytes of the data that it was last asked for, and holds.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Whether it holds exactly this content.
    pub fn holds_all(&mut self, run: &Run<'_>, content: &Content) -> Result<bool, RepoError> {
        if !self.has_size(content.size) {
            return Ok(false);
        }
        if let Body::Inline(bytes) = &content.body {
            return Ok(self.read(0, bytes.len()) && self.buffer[..] == bytes[..]);
        }
        let mut offset = 0u64;
        for item in Items::new(run.repository, content) {
            let item = item?;
            if !run.goes_on() || !self.holds(run, offset, &item) {
                return Ok(false);
            }
            offset = offset.saturating_add(item.len());
        }
        Ok(true)
    }

    /// Whether it holds this item there. What cannot be read is not held.
    pub fn holds(&mut self, run: &Run<'_>, offset: u64, item: &Item) -> bool {
        if offset.checked_add(item.len()).is_none_or(|end| end > self.size) {
            return false;
        }
        match item {
            Item::Data { id, len } => {
                let namer = run.repository.objects().keys().namer();
                self.read(offset, *len as usize) && namer.name(BlobKind::Data, &self.buffer) == *id
            }
            Item::Hole { len } => self.holds_zeros(run, offset, *len),
        }
    }

    fn holds_zeros(&mut self, run: &Run<'_>, offset: u64, len: u64) -> bool {
        let mut done = 0;
        while done < len {
            let step = (len - done).min(HOLE_STEP);
            if !run.goes_on() || !self.read(offset + done, step as usize) || !is_zero(&self.buffer) {
                return false;
            }
            done += step;
        }
        true
    }

    fn read(&mut self, offset: u64, len: usize) -> bool {
        self.buffer.resize(len, 0);
        let mut filled = 0;
        while filled < len {
            match self.reader.read_at(offset + filled as u64, &mut self.buffer[filled..]) {
                Ok(0) | Err(_) => return false,
                Ok(read) => filled += read,
            }
        }
        true
    }
}
