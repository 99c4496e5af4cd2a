//! Touches the world: processes, a clock, and a file in the cache. Who is at work here, and who only left
//! an announcement behind (format-spec, "Sessions").
//!
//! A wrong word costs work, never data: whoever is taken for dead and is not finds its announcement gone.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{RepoError, Result};
use super::names;
use super::objects::Objects;
use crate::format::Structure;
use crate::format::control::{PROCESS_TAG, ProcessIdentity, Session};
use crate::id::{Id, SessionId};
use crate::storage::StoreError;

/// A lease is at most so long.
const LEASE_MAX: u64 = 64;
/// A lease that did not change for so long has run out, unless the caller says otherwise: forty times as
/// long as it takes a session to renew it.
pub const PATIENCE: Duration = Duration::from_secs(20 * 60);

/// A session that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Its id.
    pub id: SessionId,
    /// What it announced; `None` if that cannot be read.
    pub session: Option<Session>,
    /// Whether it is known to be gone, and how.
    pub standing: Standing,
}

/// Whether a session is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// As far as is known.
    AtWork,
    /// Its process has ended.
    Ended,
    /// Its lease was not renewed for longer than it may take.
    RanOut,
}

/// What was seen of leases, and when by a clock that nobody sets.
pub struct Leases {
    path: PathBuf,
    boot: [u8; 16],
    seen: BTreeMap<SessionId, Seen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    lease: blake3::Hash,
    at_secs: u64,
}

impl Leases {
    /// What this machine remembers, in the cache directory, since it was booted.
    pub fn remembered(cache_dir: &Path) -> Self {
        let mut leases = Leases { path: cache_dir.join("leases"), boot: boot_id(), seen: BTreeMap::new() };
        leases.read().unwrap_or_default();
        leases
    }

    fn read(&mut self) -> Option<()> {
        let text = fs::read_to_string(&self.path).ok()?;
        let mut lines = text.lines();
        // The clock began anew at each boot.
        if lines.next()? != hex(&self.boot) {
            return None;
        }
        for line in lines {
            let mut words = line.split(' ');
            let id = Id::from_hex(words.next()?)?;
            let lease = blake3::Hash::from_hex(words.next()?).ok()?;
            self.seen.insert(id, Seen { lease, at_secs: words.next()?.parse().ok()? });
        }
        Some(())
    }

    /// Keeps what was seen for the next time. A cache that cannot take it only makes that judgement later.
    fn write(&self) {
        let mut text = hex(&self.boot) + "\n";
        for (id, seen) in &self.seen {
            text += &format!("{id} {} {}\n", seen.lease.to_hex(), seen.at_secs);
        }
        let written = self.path.parent().map(|dir| {
            let file = tempfile::Builder::new().prefix(".leases-").tempfile_in(dir)?;
            fs::write(file.path(), text)?;
            file.persist(&self.path).map_err(|error| error.error).map(drop)
        });
        if let Some(Err(error)) = written {
            tracing::debug!("what was seen of leases could not be kept: {error}");
        }
    }

    /// All sessions that have not ended but `own`, each with what is known of it. Removes what ended
    /// sessions left behind.
    pub fn open_sessions(&mut self, objects: &Objects, own: &SessionId, patience: Duration) -> Result<Vec<Open>> {
        let listing = list(objects)?;
        for id in listing.leases.difference(&listing.announced) {
            discard(objects, id);
        }
        for id in listing.withdrawn.iter().filter(|id| *id != own) {
            remove(objects, id)?;
        }
        self.look_at(objects, &listing, Some(own), patience)
    }

    /// The same, and changes nothing.
    pub fn look(&mut self, objects: &Objects, own: Option<&SessionId>, patience: Duration) -> Result<Vec<Open>> {
        self.look_at(objects, &list(objects)?, own, patience)
    }

    fn look_at(
        &mut self,
        objects: &Objects,
        listing: &Listing,
        own: Option<&SessionId>,
        patience: Duration,
    ) -> Result<Vec<Open>> {
        let Listing { announced, withdrawn, .. } = listing;
        let mut open = Vec::new();
        for id in announced.iter().filter(|id| Some(*id) != own && !withdrawn.contains(id)) {
            let session = match objects.get::<Session>(id) {
                Ok(session) => Some(session),
                Err(RepoError::Missing { .. }) => continue,
                // Under a closed epoch nobody is at work.
                Err(RepoError::AfterClosing { .. }) => {
                    open.push(Open { id: *id, session: None, standing: Standing::Ended });
                    continue;
                }
                Err(RepoError::Damaged { .. } | RepoError::NeedsNewer { .. }) => None,
                Err(error) => return Err(error),
            };
            let standing = match session.as_ref().and_then(process_of) {
                Some(process) if has_ended(&process, &self.boot) => Standing::Ended,
                _ => self.judge(objects, id, patience)?,
            };
            open.push(Open { id: *id, session, standing });
        }
        self.seen.retain(|id, _| announced.contains(id));
        self.write();
        Ok(open)
    }

    fn judge(&mut self, objects: &Objects, id: &SessionId, patience: Duration) -> Result<Standing> {
        let lease = match objects.store().get(&names::beat(id), LEASE_MAX) {
            Ok(bytes) => blake3::hash(&bytes),
            Err(StoreError::NotFound { .. } | StoreError::TooLong { .. }) => blake3::hash(b""),
            Err(error) => return Err(error.into()),
        };
        let now = since_boot_secs();
        match self.seen.get(id) {
            Some(seen) if seen.lease == lease => match now.saturating_sub(seen.at_secs) >= patience.as_secs() {
                true => Ok(Standing::RanOut),
                false => Ok(Standing::AtWork),
            },
            _ => {
                self.seen.insert(*id, Seen { lease, at_secs: now });
                Ok(Standing::AtWork)
            }
        }
    }
}

/// What stands under `sessions/`.
#[derive(Default)]
struct Listing {
    announced: HashSet<SessionId>,
    withdrawn: HashSet<SessionId>,
    leases: HashSet<SessionId>,
}

fn list(objects: &Objects) -> Result<Listing> {
    let mut listing = Listing::default();
    objects.store().list("sessions", &mut |listed| {
        let name = listed.name.as_str().trim_start_matches("sessions/");
        let (stem, set) = match name.split_once('.') {
            None => (name, &mut listing.announced),
            Some((stem, "done")) => (stem, &mut listing.withdrawn),
            Some((stem, "beat")) => (stem, &mut listing.leases),
            Some(_) => return Ok(()),
        };
        set.extend(Id::from_hex(stem));
        Ok(())
    })?;
    Ok(listing)
}

/// Removes a session's announcement, then its lease: it is taken for dead.
pub fn remove(objects: &Objects, id: &SessionId) -> Result<()> {
    objects.delete::<Session>(id)?;
    discard(objects, id);
    Ok(())
}

/// Removes a lease, and the word that the session has ended: litter, whose staying harms nobody.
fn discard(objects: &Objects, id: &SessionId) {
    for name in [names::beat(id), names::done(id)] {
        if let Err(error) = objects.store().delete(&name) {
            tracing::debug!("{name} is still there: {error}");
        }
    }
}

/// What this process says of itself when it announces a session; `None` where the system does not tell.
pub fn this_process() -> Option<ProcessIdentity> {
    let process = std::process::id();
    let namespace = pid_namespace()?;
    Some(ProcessIdentity { boot: boot_id(), namespace, process, began: began(process)? })
}

fn process_of(session: &Session) -> Option<ProcessIdentity> {
    ProcessIdentity::from_bytes(session.extras.get(PROCESS_TAG)?).ok()
}

/// Whether a process of this machine, this boot and this name space is gone. Of any other nothing is known.
fn has_ended(process: &ProcessIdentity, boot: &[u8; 16]) -> bool {
    let is_ours = process.boot == *boot && *boot != [0; 16] && pid_namespace() == Some(process.namespace);
    is_ours && began(process.process) != Some(process.began) && is_proc_mounted()
}

/// When a process began, in clock ticks since the boot; `None` if there is none, or it is only waiting to be
/// buried.
fn began(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The command's name, in parentheses, may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn is_proc_mounted() -> bool {
    began(std::process::id()).is_some()
}

fn pid_namespace() -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self/ns/pid").ok().map(|metadata| metadata.ino())
}

fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).unwrap_or_default().to_be_bytes()
}

/// Seconds since the boot, sleep counted: nobody sets this clock.
fn since_boot_secs() -> u64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec.try_into().unwrap_or(0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_at_work_and_a_number_that_began_at_another_time_is_not() {
        let this = this_process().unwrap();
        assert!(!has_ended(&this, &boot_id()));
        assert!(has_ended(&ProcessIdentity { began: this.began + 1, ..this }, &boot_id()));
        assert!(!has_ended(&ProcessIdentity { began: 0, namespace: 1, ..this }, &boot_id()), "another name space");
        assert!(!has_ended(&ProcessIdentity { began: 0, boot: [1; 16], ..this }, &boot_id()), "another machine");
    }

    #[test]
    fn a_child_that_ended_is_seen_to_have_ended() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let began = began(child.id()).unwrap();
        let identity = ProcessIdentity { process: child.id(), began, ..this_process().unwrap() };
        assert!(!has_ended(&identity, &boot_id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(has_ended(&identity, &boot_id()));
    }
}
