//! Touches the disk. Pins: what this machine has seen of a repository, so that an older or another one in
//! its place is noticed.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{RepoError, Result};
use crate::id::{Id, KeyringId, RepositoryId};

/// What was last seen at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The repository.
    pub repository: RepositoryId,
    /// The generation of its keyring.
    pub generation: u32,
    /// The keyring itself.
    pub keyring: KeyringId,
}

/// The pin of one place.
pub struct PinFile {
    path: PathBuf,
}

impl PinFile {
    /// The pin of `place`, in `dir`.
    pub fn new(dir: &Path, place: &str) -> Self {
        PinFile { path: dir.join(&blake3::hash(place.as_bytes()).to_hex()[..32]) }
    }

    /// The repository that was last seen there.
    pub fn repository(&self) -> Option<RepositoryId> {
        self.read().map(|pin| pin.repository)
    }

    /// Compares what is seen with what was, and remembers the newer. Another repository, or a keyring that
    /// does not descend from the known one, is refused; an older one is said, and the words given back: it
    /// can be read with, and nothing may be written under it. `branch` are the generations that lead to the
    /// seen one, as far back as they were followed.
    pub fn check(&self, seen: &Pin, branch: &[KeyringId]) -> Result<Option<String>> {
        if let Some(known) = self.read() {
            if known.repository != seen.repository {
                return Err(RepoError::Conflict(format!(
                    "another repository stands where this machine knew {}; if that is intended, remove {}",
                    known.repository.short(),
                    self.path.display()
                )));
            }
            if seen.generation < known.generation {
                let why = format!(
                    "the keyring is of generation {}, and this machine has seen generation {}: the store was rolled back; if that is intended, remove {}",
                    seen.generation,
                    known.generation,
                    self.path.display()
                );
                tracing::warn!("{why}");
                return Ok(Some(why));
            }
            let followed = seen.generation - known.generation;
            if branch.len() as u64 > u64::from(followed) && !branch.contains(&known.keyring) {
                return Err(RepoError::Conflict(format!(
                    "the keys of this repository do not descend from those that this machine knew: someone may have forged them; if keys were changed in two places at once, remove {} to go on",
                    self.path.display()
                )));
            }
        }
        self.write(seen).map(|()| None)
    }

    /// Remembers what a new repository is, whatever stood there before.
    pub fn write(&self, pin: &Pin) -> Result<()> {
        let failed = |error: std::io::Error| RepoError::local(format!("write the pin {}", self.path.display()), error);
        let dir = self.path.parent().expect("a pin lies in a directory");
        fs::create_dir_all(dir).map_err(failed)?;
        let text = format!("repository {}\ngeneration {}\nkeyring {}\n", pin.repository, pin.generation, pin.keyring);
        let file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
        fs::write(file.path(), text).map_err(failed)?;
        file.persist(&self.path).map_err(|error| failed(error.error)).map(|_| ())
    }

    fn read(&self) -> Option<Pin> {
        let text = fs::read_to_string(&self.path).ok()?;
        let mut lines = text.lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
        let repository = Id::from_hex(&field("repository")?)?;
        let generation = field("generation")?.parse().ok()?;
        Some(Pin { repository, generation, keyring: Id::from_hex(&field("keyring")?)? })
    }
}
