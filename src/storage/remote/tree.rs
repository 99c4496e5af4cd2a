//! Touches the world. Listing where there are directories: one at a time, each wholly or not at all.
//!
//! opendal can walk a tree by itself, and is not asked to: tried again after an error it goes on as if the
//! directory it was in had ended, and one that it may not read it leaves out. A listing that leaves something out
//! is how data is lost.

use futures::TryStreamExt;
use opendal::{EntryMode, Error, ErrorKind, Operator};

use super::{Opendal, RemoteStore};
use crate::storage::{Listed, ObjectName, Result};

/// What one directory holds.
#[derive(Default)]
struct Directory {
    objects: Vec<Listed>,
    below: Vec<ObjectName>,
}

impl RemoteStore {
    /// Calls `each` for all objects below `dir`; holds what one directory holds.
    pub(super) fn list_tree(&self, dir: &str, each: &mut dyn FnMut(Listed) -> Result<()>) -> Result<()> {
        let mut open = vec![dir.to_owned()];
        while let Some(dir) = open.pop() {
            let found = self
                .run(async || self.0.again(async || self.0.directory(&dir).await).await)
                .map_err(|error| self.failed("list", format!("/{dir}"), &error))?;
            open.extend(found.below.into_iter().map(|name| name.to_string()));
            for object in found.objects {
                each(object)?;
            }
        }
        Ok(())
    }
}

impl super::Shared {
    async fn directory(&self, dir: &str) -> Opendal<Directory> {
        // In a task of its own: opendal's SFTP panics at a name that is not UTF-8.
        let task = self.runtime.spawn(list_once(self.clients.once.clone(), dir.to_owned()));
        let listed = self.patiently(async { Ok(task.await) }).await?;
        listed.unwrap_or_else(|_| Err(not_utf8()))
    }
}

pub(super) fn not_utf8() -> Error {
    Error::new(ErrorKind::Unexpected, "a name in it is not UTF-8")
}

async fn list_once(client: Operator, dir: String) -> Opendal<Directory> {
    let path = if dir.is_empty() { "/".to_owned() } else { format!("{dir}/") };
    let mut found = Directory::default();
    let mut lister = match client.lister(&path).await {
        Err(error) => return nothing_there(&client, &dir, error).await,
        Ok(lister) => lister,
    };
    loop {
        match lister.try_next().await {
            Err(error) => return nothing_there(&client, &dir, error).await,
            Ok(None) => return Ok(found),
            Ok(Some(entry)) => {
                let name = ObjectName::new(entry.path().trim_end_matches('/')).ok();
                let Some(name) = name.filter(|name| name.is_below(&dir)) else { continue };
                match entry.metadata().mode() {
                    EntryMode::FILE => found.objects.push(Listed { name, len: entry.metadata().content_length() }),
                    EntryMode::DIR => found.below.push(name),
                    EntryMode::Unknown => {}
                }
            }
        }
    }
}

/// A directory that is not there holds nothing, and neither does an object; some servers make an error of it.
async fn nothing_there(client: &Operator, dir: &str, error: Error) -> Opendal<Directory> {
    let absent = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => true,
        _ if error.is_temporary() || dir.is_empty() => false,
        _ => client.stat(dir).await.is_ok_and(|metadata| metadata.is_file()),
    };
    if absent { Ok(Directory::default()) } else { Err(error) }
}
