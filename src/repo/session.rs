//! Sessions: how a writer says that it is at work, and what it may rely on (format-spec, "Order of
//! writes", steps A1 to A5, B5, B7, B9).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use super::error::{RepoError, Result};
use super::objects::Objects;
use super::{lease, names};
use crate::format::Structure;
use crate::format::codec::{Ascending, Bytes};
use crate::format::control::{Condemned, PROCESS_TAG, Session, SessionKind};
use crate::format::extras::{Extra, Extras};
use crate::format::limits::CONDEMNED_MAX;
use crate::id::{CondemnedId, PackId, SessionId};
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
    beat: Option<(Sender<()>, JoinHandle<()>)>,
}

/// The packs that a session may rely on: listed after it had announced itself, and in no condemned
/// record that it listed after that. Lives in memory, never in a cache.
#[derive(Debug, Default, Clone)]
pub struct Usable {
    packs: HashMap<PackId, u64>,
    condemned: HashMap<PackId, u64>,
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
        let seen = heeded(objects)?;
        let seen = Ascending::new(seen).map_err(|_| too_many_condemned())?;
        let mut announced = Self::put(objects, kind, who, seen)?;
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
        self.usable = Usable::list(&self.objects)?;
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

    /// Whether the announcement is still there, and the keyring that this session writes under. If it is not,
    /// someone took this session for dead, and what it relied on may be gone.
    pub fn is_there(&self) -> Result<bool> {
        Ok(self.is_announced()? && self.objects.watch.is_keyring_there(self.objects.store())?)
    }

    /// Whether the announcement is still there. Enough where [`is_there`](Self::is_there) is asked once more before
    /// what is put now counts.
    pub fn is_announced(&self) -> Result<bool> {
        match self.objects.store().len(&names::of::<Session>(&self.id)) {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn withdraw(&mut self) -> Result<()> {
        if let Some((stop, thread)) = self.beat.take() {
            drop(stop);
            // A beat that panicked has stopped beating, which is all that is asked of it here.
            let _ = thread.join();
        }
        match self.objects.delete::<Session>(&self.id) {
            // Where we may not delete, a word that it has ended stands for it.
            Err(RepoError::Store(StoreError::Denied { .. })) => {
                Ok(self.objects.store().put(&names::done(&self.id), &[])?)
            }
            Err(error) => Err(error),
            Ok(()) => Ok(self.objects.store().delete(&names::beat(&self.id))?),
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

fn too_many_condemned() -> RepoError {
    RepoError::Refused("too many condemned records wait for deletion; run prune first".into())
}

/// The name and version of this program, as objects record it.
pub fn program() -> crate::format::control::Label {
    crate::format::control::Label::truncated(concat!("keepstone ", env!("CARGO_PKG_VERSION")))
}

/// Rewrites the lease until the sender is dropped.
fn keep_alive(objects: Arc<Objects>, id: SessionId) -> (Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        loop {
            // A beat that fails is a beat that is late; the announcement itself is what counts.
            if let Err(error) = objects.store().put(&names::beat(&id), &objects.chance().random()[..16]) {
                tracing::debug!("the lease of session {} could not be renewed: {error}", id.short());
            }
            if stopped.recv_timeout(BEAT_EVERY) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    });
    (stop, thread)
}
