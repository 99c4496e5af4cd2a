//! Listing where there are directories: one at a time, each wholly or not at all.
//!
//! opendal can walk a tree by itself, and is not asked to: tried again after an error it goes on as if the
//! directory it was in had ended, and one that it may not read it leaves out. A listing that leaves something out
//! is how data is lost.

use std::time::Duration;

use futures::TryStreamExt;
use opendal::{EntryMode, Error, ErrorKind, Operator};

use super::connect::{FIRST_WAIT, LONGEST_WAIT};
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
            let found =
                self.run(self.0.directory(&dir)).map_err(|error| self.failed("list", format!("/{dir}"), &error))?;
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
        let mut tried = 0;
        loop {
            let client = self.clients.once.clone();
            // In a task of its own: opendal's SFTP panics at a name that is not UTF-8.
            let listed = self.runtime.spawn(list_once(client, dir.to_owned())).await;
            let listed = listed.unwrap_or_else(|_| Err(Error::new(ErrorKind::Unexpected, "a name in it is not UTF-8")));
            match listed {
                Err(error) if error.is_temporary() && tried < self.retries => {
                    tracing::info!("/{dir} is listed again: {}", error.message());
                    tokio::time::sleep(wait(tried)).await;
                    tried += 1;
                }
                Err(error) if tried > 0 => return Err(error.set_persistent()),
                listed => return listed,
            }
        }
    }
}

/// Doubles, up to a bound, and is longer at random, so that many clients do not come back at once.
fn wait(tried: usize) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << tried.min(10)).min(LONGEST_WAIT);
    let mut chance = [0];
    // Without chance it is only less well spread.
    let _ = getrandom::fill(&mut chance);
    doubled + doubled.mul_f64(f64::from(chance[0]) / 256.0)
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
