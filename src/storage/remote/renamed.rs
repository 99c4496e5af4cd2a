//! Touches the world. Where a file shows while it is written: objects are written under another name, synced, and
//! only then given their own.

use std::time::SystemTime;

use opendal::{Error, ErrorKind, Operator, Writer};

use super::spool::Source;
use super::ssh::Syncer;
use super::{Opendal, Shared};
use crate::storage::ObjectName;

/// Where objects are written before they have their names.
const TMP: &str = "tmp/";
/// What is written at a time.
const PIECE_LEN: usize = 1 << 20;

impl Shared {
    pub(super) async fn put_renamed(&self, syncer: &Syncer, name: &ObjectName, source: &Source<'_>) -> Opendal<()> {
        let temporary = temporary_name()?;
        let result = self.write_renamed(syncer, &temporary, name, source).await;
        if result.is_err() {
            // What cannot be removed now is left behind; nobody takes it for an object.
            let _ = self.patiently(self.clients.once.delete(&temporary)).await;
        }
        result
    }

    async fn write_renamed(
        &self,
        syncer: &Syncer,
        temporary: &str,
        name: &ObjectName,
        source: &Source<'_>,
    ) -> Opendal<()> {
        let mut writer = self.patiently(self.clients.once.writer(temporary)).await?;
        self.write_pieces(&mut writer, source).await?;
        self.patiently(writer.close()).await?;
        self.patiently(syncer.sync(temporary)).await?;
        self.patiently(self.clients.once.rename(temporary, name.as_str())).await
    }

    async fn write_pieces(&self, writer: &mut Writer, source: &Source<'_>) -> Opendal<()> {
        let mut offset = 0;
        while offset < source.len() {
            let piece = source.read(offset, PIECE_LEN)?;
            offset += piece.len() as u64;
            self.patiently(writer.write(piece)).await?;
        }
        Ok(())
    }
}

/// Removes temporaries that nobody has written to since, and says how many.
pub(super) async fn discard_abandoned(client: Operator, untouched_since: SystemTime) -> Opendal<u64> {
    let found = match client.list(TMP).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        found => found?,
    };
    let mut discarded = 0;
    for entry in found.into_iter().filter(|entry| entry.name().starts_with('.') && entry.metadata().is_file()) {
        let touched = entry.metadata().last_modified().map(|time| SystemTime::from(time.into_inner()));
        if touched.is_some_and(|touched| touched < untouched_since) {
            client.delete(entry.path()).await?;
            discarded += 1;
        }
    }
    Ok(discarded)
}

/// Begins with a dot, which no object's name does.
pub(super) fn temporary_name() -> Opendal<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Error::new(ErrorKind::Unexpected, format!("no randomness: {error}")))?;
    Ok(format!("{TMP}.{:032x}", u128::from_le_bytes(random)))
}
