//! Sessions: how a writer says that it is at work, and what it may rely on (format-spec, "Order of
//! writes", steps A1 to A5, B5, B7, B9).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use super::error::{RepoError, Result};
use super::keychain::KeyStanding;
use super::objects::Objects;
use super::{lease, names};
use crate::format::Structure;
use crate::format::codec::{Ascending, Bytes};
use crate::format::control::{Condemned, PROCESS_TAG, Session, SessionKind};
use crate::format::extras::{Extra, Extras};
use crate::format::limits::CONDEMNED_MAX;
use crate::id::{BlobId, CondemnedId, PackId, SessionId};
use crate::storage::StoreError;

/// How often a lease is rewritten. Others take a session for dead when its lease has not changed for
/// many times as long.
const BEAT_EVERY: Duration = Duration::from_secs(30);

/// Who runs the session, for messages.
#[derive(Debug, Clone, Default)]
pub struct Who {
    /// The machine.
    pub host: String,
    /// The account.
    pub user: String,
}

/// An announced session. Withdrawn when dropped.
pub struct Announced {
    objects: Arc<Objects>,
    id: SessionId,
    usable: Usable,
    beat: Option<(Sender<()>, JoinHandle<bool>)>,
}

/// How it stands with a session that looks for its own announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// All is as it was.
    Stands,
    /// The announcement is gone: someone took the session for dead.
    TakenForDead,
    /// The keys that it writes under were taken back, or an epoch was closed and what was looked up may count
    /// no longer.
    KeysChanged,
}

impl Standing {
    /// An error, unless all is as it was.
    pub fn or_conflict(self, left: &str) -> Result<()> {
        let why = match self {
            Standing::Stands => return Ok(()),
            Standing::TakenForDead => "this run was paused so long that another took it for dead",
            Standing::KeysChanged => "the keys of this repository were changed while this ran",
        };
        Err(RepoError::Conflict(format!("{why}; {left}, run it again")))
    }
}

/// The packs that a session may rely on: listed after it had announced itself, and in no condemned
/// record that it listed after that. Lives in memory, never in a cache.
#[derive(Debug, Default, Clone)]
pub struct Usable {
    packs: HashMap<PackId, u64>,
    condemned: HashMap<PackId, u64>,
    /// Blobs that packs were found not to hold, whatever is said of them.
    unfounded: HashSet<(PackId, BlobId)>,
}

impl Usable {
    /// Lists condemned records, gets them all, and then lists packs (A4 and A5, or D2 and D3).
    pub fn list(objects: &Objects) -> Result<Self> {
        let condemned = condemned_packs(objects)?;
        let mut usable = Usable::default();
        objects.store().list("packs", &mut |listed| {
            if let Some(id) = names::id_of(&listed.name).filter(|id| listed.name == names::pack(id)) {
                let side = if condemned.contains(&id) { &mut usable.condemned } else { &mut usable.packs };
                side.insert(id, listed.len);
            }
            Ok(())
        })?;
        Ok(usable)
    }

    /// Whether `pack` may be relied on; one that is not as long as the index says was cut.
    pub fn contains(&self, pack: &PackId, len: u64) -> bool {
        self.packs.get(pack) == Some(&len)
    }

    /// Whether `pack` may be relied on for this blob, which the index says that it holds.
    pub fn holds(&self, pack: &PackId, len: u64, id: &BlobId) -> bool {
        self.contains(pack, len) && !self.unfounded.contains(&(*pack, *id))
    }

    /// From here on `pack` is not relied on for this blob: it was found not to hold it.
    pub fn disbelieve(&mut self, pack: PackId, id: BlobId) {
        self.unfounded.insert((pack, id));
    }

    /// Takes what was listed later, and goes on disbelieving what was found out.
    pub fn replace_by(&mut self, listed: Usable) {
        let unfounded = std::mem::take(&mut self.unfounded);
        *self = Usable { unfounded, ..listed };
    }

    /// The packs that were listed and are not condemned, with their lengths in the store.
    pub fn packs(&self) -> &HashMap<PackId, u64> {
        &self.packs
    }

    /// The packs that were listed and are condemned, with their lengths in the store.
    pub fn condemned(&self) -> &HashMap<PackId, u64> {
        &self.condemned
    }

    /// Relies on these no longer.
    pub fn distrust<'p>(&mut self, packs: impl IntoIterator<Item = &'p PackId>) {
        for id in packs {
            if let Some(len) = self.packs.remove(id) {
                self.condemned.insert(*id, len);
            }
        }
    }
}

/// All packs that a condemned record names.
fn condemned_packs(objects: &Objects) -> Result<HashSet<PackId>> {
    let mut packs = HashSet::new();
    for id in objects.list::<Condemned>()? {
        match objects.get::<Condemned>(&id) {
            Ok(record) => packs.extend(record.packs.iter().copied()),
            // All its packs are gone, and so is it.
            Err(RepoError::Missing { .. }) => {}
            // Someone else's word: it condemns nothing.
            Err(error @ RepoError::AfterClosing { .. }) => tracing::warn!("{error}"),
            Err(error) => return Err(error),
        }
    }
    Ok(packs)
}

/// The condemned records that a session heeds when it says that it has seen them (A1). One that is refused is not
/// among them: a prune that was opened before its epoch was closed may believe it, and has to wait for whoever
/// does not.
fn heeded(objects: &Objects) -> Result<Vec<CondemnedId>> {
    let mut ids = objects.list::<Condemned>()?;
    if objects.has_closed_epochs() {
        // What cannot be read for another reason ends the announcing when all are read (A4).
        ids.retain(|id| !matches!(objects.get::<Condemned>(id), Err(RepoError::AfterClosing { .. })));
    }
    Ok(ids)
}

impl Announced {
    /// Announces a session and learns what it may rely on. The order of these steps is the protocol's.
    pub fn announce(objects: &Arc<Objects>, kind: SessionKind, who: &Who) -> Result<Self> {
        let mut announced = Self::put(objects, kind, who, seen_of(heeded(objects)?))?;
        // After the announcement: whoever closes our epoch has seen it, or we see what he did before.
        objects.no_epoch_began()?;
        announced.look_again()?;
        Ok(announced)
    }

    /// Announces that someone reads, and has seen nothing: deletions wait until it ends.
    pub fn reader(objects: &Arc<Objects>, who: &Who) -> Result<Self> {
        Self::put(objects, SessionKind::Read, who, Ascending::default())
    }

    fn put(
        objects: &Arc<Objects>,
        kind: SessionKind,
        who: &Who,
        seen: Ascending<CondemnedId, CONDEMNED_MAX>,
    ) -> Result<Self> {
        let session = Session {
            kind,
            host: crate::format::control::Label::truncated(&who.host),
            process: std::process::id(),
            started: objects.chance().now(),
            seen,
            program: program(),
            extras: said_of_itself(),
        };
        // Sealed anew with each put: an id whose put ended unclear never comes back.
        let id = objects.put_once(&session)?.id();
        let beat = Some(keep_alive(Arc::clone(objects), id));
        Ok(Announced { objects: Arc::clone(objects), id, usable: Usable::default(), beat })
    }

    /// Lists anew what may be relied on.
    pub fn look_again(&mut self) -> Result<()> {
        self.usable.replace_by(Usable::list(&self.objects)?);
        Ok(())
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What may be relied on.
    pub fn usable(&self) -> &Usable {
        &self.usable
    }

    /// The same, to rely on less.
    pub fn usable_mut(&mut self) -> &mut Usable {
        &mut self.usable
    }

    /// Whether all is still there that this session stands on. If it is not, what it relied on may be gone.
    pub fn is_there(&self) -> Result<bool> {
        Ok(self.standing()? == Standing::Stands)
    }

    /// What this session stands on: its announcement, the keyring that it writes under, and what it knows of closed
    /// epochs.
    pub fn standing(&self) -> Result<Standing> {
        if !self.is_announced()? {
            return Ok(Standing::TakenForDead);
        }
        Ok(match self.objects.watch.standing(self.objects.store())? {
            KeyStanding::Hold => Standing::Stands,
            KeyStanding::TakenBack | KeyStanding::EpochClosed => Standing::KeysChanged,
        })
    }

    /// Whether the announcement is there. If it is not, someone took this session for dead.
    pub fn is_announced(&self) -> Result<bool> {
        match self.objects.store().len(&names::of::<Session>(&self.id)) {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// An error, unless all is still there that this session stands on; `left` says what was done or left undone.
    pub fn must_be_there(&self, left: &str) -> Result<()> {
        self.standing()?.or_conflict(left)
    }

    fn withdraw(&mut self) -> Result<()> {
        let has_beaten = self.beat.take().is_none_or(|(stop, thread)| {
            drop(stop);
            // A beat that panicked has stopped beating, which is all that is asked of it here.
            thread.join().unwrap_or(true)
        });
        match self.objects.delete::<Session>(&self.id) {
            // Where we may not delete, a word that it has ended stands for it.
            Err(RepoError::Store(StoreError::Denied { .. })) => {
                Ok(self.objects.store().put(&names::done(&self.id), &[])?)
            }
            Err(error) => Err(error),
            Ok(()) if has_beaten => Ok(self.objects.store().delete(&names::beat(&self.id))?),
            Ok(()) => Ok(()),
        }
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // A session that stays behind is taken for dead when its lease runs out. What ended this run, if anything did, is
        // said already, and is all there is to do about.
        if let Err(error) = self.withdraw() {
            tracing::info!("the session {} could not be withdrawn: {error}", self.id.short());
        }
    }
}

/// Which process this is, for whoever runs on the same machine.
fn said_of_itself() -> Extras {
    let value = lease::this_process().and_then(|process| Bytes::new(process.to_bytes()).ok());
    let extras = value.map(|value| Extra { tag: PROCESS_TAG, value });
    Extras::new(extras.into_iter().collect()).expect("one extra fits")
}

/// As many of these records as an announcement holds. The others are heeded too (A4), and wait for this session.
fn seen_of(mut heeded: Vec<CondemnedId>) -> Ascending<CondemnedId, CONDEMNED_MAX> {
    heeded.truncate(CONDEMNED_MAX);
    Ascending::new(heeded).expect("they were listed in order, each once, and are no more than fit")
}

/// The name and version of this program, as objects record it.
pub fn program() -> crate::format::control::Label {
    crate::format::control::Label::truncated(concat!("keepstone ", env!("CARGO_PKG_VERSION")))
}

/// Rewrites the lease until the sender is dropped; whether it ever did. Who is done before the first time never needs
/// one: nobody takes a session for dead that was announced a moment ago.
fn keep_alive(objects: Arc<Objects>, id: SessionId) -> (Sender<()>, JoinHandle<bool>) {
    let (stop, stopped) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut has_beaten = false;
        while stopped.recv_timeout(BEAT_EVERY) == Err(RecvTimeoutError::Timeout) {
            has_beaten = true;
            // A beat that fails is a beat that is late; the announcement itself is what counts.
            if let Err(error) = objects.store().put(&names::beat(&id), &objects.chance().random()[..16]) {
                tracing::debug!("the lease of session {} could not be renewed: {error}", id.short());
            }
        }
        has_beaten
    });
    (stop, thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_condemned_records_than_an_announcement_holds_keep_nobody_from_announcing_himself() {
        let id = |number: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            CondemnedId::from_bytes(bytes)
        };
        let all: Vec<CondemnedId> = (0..CONDEMNED_MAX as u32 + 5).map(id).collect();
        let seen = seen_of(all.clone());
        assert_eq!(&seen[..], &all[..CONDEMNED_MAX]);
        assert_eq!(&seen_of(all[..3].to_vec())[..], &all[..3]);
    }
}
