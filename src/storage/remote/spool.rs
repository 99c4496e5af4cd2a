//! Touches the world. Objects in the making wait in a file without a name on this machine; when
//! their name is known they go up, in one piece or, if they are long, in several at a time.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use opendal::{Buffer, Error, ErrorKind, Writer};

use super::again::closed;
use super::{Address, Opendal, Publish, Shared, UPLOAD_BUDGET_KIB};
use crate::storage::ObjectName;

/// An object of at most this length is one request.
const WHOLE_MAX: u64 = 24 << 20;
/// Longer ones go up in parts of this length, in S3 and Azure. Google's own way to do so is in no emulator, and what
/// cannot be tested is not done: there they go up whole.
const PART_LEN: usize = 8 << 20;
/// So many parts of one object at a time.
const PARTS_AT_A_TIME: usize = 3;

/// A file that is gone when it is closed, however the process ends.
pub(super) struct Spool {
    file: File,
    len: u64,
}

impl Spool {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Spool { file: tempfile::tempfile()?, len: 0 })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// The `len` bytes from `offset`, or as many as there are.
    fn read(&self, offset: u64, len: usize) -> Opendal<Buffer> {
        let there = self.len.saturating_sub(offset).min(len as u64);
        let mut bytes = vec![0; usize::try_from(there).map_err(|error| lost(&error))?];
        self.file.read_exact_at(&mut bytes, offset).map_err(|error| lost(&error))?;
        Ok(Buffer::from(bytes))
    }
}

/// The bytes of an object, wherever they are.
pub(super) enum Source<'a> {
    Bytes(&'a Buffer),
    Spool(&'a Spool),
}

impl Source<'_> {
    pub(super) fn len(&self) -> u64 {
        match self {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::Spool(spool) => spool.len,
        }
    }

    /// The `len` bytes from `offset`, or as many as there are.
    pub(super) fn read(&self, offset: u64, len: usize) -> Opendal<Buffer> {
        match self {
            Source::Bytes(bytes) => {
                let start = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
                Ok(bytes.slice(start..start.saturating_add(len).min(bytes.len())))
            }
            Source::Spool(spool) => spool.read(offset, len),
        }
    }
}

fn lost(error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unexpected, format!("the temporary file of this machine cannot be read: {error}"))
}

impl Shared {
    pub(super) async fn upload(&self, spool: &Spool, name: &ObjectName) -> Opendal<()> {
        let in_parts = spool.len > WHOLE_MAX && matches!(self.address, Address::S3(_) | Address::Azblob(_));
        let held = if in_parts { (PART_LEN * (PARTS_AT_A_TIME + 1)) as u64 } else { spool.len };
        let held_kib = u32::try_from(held >> 10).unwrap_or(u32::MAX).clamp(1, UPLOAD_BUDGET_KIB);
        match &self.publish {
            Publish::Renamed(syncer) => self.put_renamed(syncer, name, &Source::Spool(spool)).await,
            publish => {
                let _room = self.uploads.acquire_many(held_kib).await.map_err(|_| closed())?;
                match publish {
                    Publish::Whole if in_parts => self.put_parts(spool, name).await,
                    _ => {
                        let len = usize::try_from(spool.len).map_err(|error| lost(&error))?;
                        self.put(&self.clients.steady, name, spool.read(0, len)?).await
                    }
                }
            }
        }
    }

    async fn put_parts(&self, spool: &Spool, name: &ObjectName) -> Opendal<()> {
        let writer = self.clients.steady.writer_with(name.as_str()).chunk(PART_LEN).concurrent(PARTS_AT_A_TIME);
        let mut writer = writer.await?;
        let written = write_all(&mut writer, spool).await;
        if written.is_err() {
            // Parts that stay behind are what a rule of the bucket's lifecycle is for.
            let _ = writer.abort().await;
        }
        written
    }
}

async fn write_all(writer: &mut Writer, spool: &Spool) -> Opendal<()> {
    let mut offset = 0;
    while offset < spool.len {
        let part = spool.read(offset, PART_LEN)?;
        offset += part.len() as u64;
        writer.write(part).await?;
    }
    writer.close().await.map(drop)
}
