//! Closing epochs: recording what is valid under them (format-spec, "Epochs", steps C1 to C4).

use rayon::prelude::*;

use super::{Draft, Keychain};
use crate::crypto::{Chance, Keyset, ObjectKeys, Sealed};
use crate::format::Structure;
use crate::format::codec::{Ascending, Bytes};
use crate::format::control::{Condemned, Forgotten, Run, Session, Snapshot};
use crate::format::envelope::{PREFIX_LEN, Prefix};
use crate::format::epochs::{Closing, EpochRecord, tag};
use crate::format::extras::{Extra, Extras};
use crate::format::keys::Epoch;
use crate::format::limits::{OBJECT_MAX, VALID_MAX};
use crate::format::segment::Segment;
use crate::id::{AnyId, EpochRecordId, Id, SessionId};
use crate::repo::error::{RepoError, Result};
use crate::repo::names::{self, Record, Stored};
use crate::repo::objects::{get_named, list_ids};
use crate::storage::{ObjectName, Store, StoreError};

/// What became of an attempt to close epochs.
#[derive(Debug, Default)]
pub struct Closed {
    /// The epochs that were closed, or recorded anew.
    pub epochs: Vec<u32>,
    /// How many objects are valid under them.
    pub valid: u64,
    /// Packs that are listed anew, because a segment that listed them came too late.
    pub listed_anew: u64,
    /// Objects that were left out, because nobody can tell which epoch they are of.
    pub left_out: Vec<ObjectName>,
    /// Epochs that stay open for now, because of these sessions.
    pub waits_for: Vec<AtWork>,
    /// The first epoch that stays open although a later one began.
    pub open_from: Option<u32>,
}

/// Someone who may still write under an old epoch.
#[derive(Debug)]
pub struct AtWork {
    /// The session.
    pub id: SessionId,
    /// What it says of itself, if it can be read.
    pub session: Option<Session>,
    /// The epoch; 0 if that cannot be told.
    pub epoch: u32,
}

/// Objects by the epoch that they claim.
#[derive(Default)]
struct Census {
    found: Vec<(u32, AnyId)>,
    left_out: Vec<ObjectName>,
}

impl Keychain {
    /// Closes the epochs before the current one under which nobody is at work any more. `again` also records anew
    /// what is valid under those whose record is lost: all that is there then.
    pub fn close(&mut self, store: &dyn Store, again: bool, chance: &dyn Chance) -> Result<Closed> {
        let mut closed = Closed::default();
        self.succeed(store, chance, &mut |chain| {
            closed = Closed::default();
            chain.draft_closing(store, again, chance, &mut closed)
        })?;
        Ok(closed)
    }

    fn draft_closing(
        &self,
        store: &dyn Store,
        again: bool,
        chance: &dyn Chance,
        closed: &mut Closed,
    ) -> Result<Option<Draft>> {
        let keys = Keyset::new(&self.keyring);
        let keys = ObjectKeys { repository: self.keyring.repository, keys: &keys };
        let epochs = self.to_close(store, &keys, again, closed)?;
        if epochs.is_empty() {
            return Ok(None);
        }
        let mut census = Census::default();
        census.take::<Snapshot>(store)?;
        census.take::<Segment>(store)?;
        census.take::<Condemned>(store)?;
        census.take::<Forgotten>(store)?;
        census.take::<Run>(store)?;
        closed.left_out = census.left_out;
        let mut draft = self.next_generation(self.keyring.slots.to_vec(), false, chance)?;
        let mut all: Vec<Epoch> = draft.epochs.to_vec();
        let mut put = Vec::new();
        for epoch in all.iter_mut().filter(|epoch| epochs.contains(&epoch.number)) {
            let valid: Vec<AnyId> =
                census.found.iter().filter(|(of, _)| *of == epoch.number).map(|(_, id)| *id).collect();
            closed.valid += valid.len() as u64;
            let records = put_records(store, &keys, epoch.number, valid, chance, &mut put)?;
            epoch.extras = closed_by(&epoch.extras, records)?;
        }
        closed.epochs = epochs;
        draft.epochs = Ascending::new(all).expect("they were as many before");
        Ok(Some(Draft { keyring: draft, put }))
    }

    /// The epochs that can be closed now (C1), and those whose records are lost.
    fn to_close(&self, store: &dyn Store, keys: &ObjectKeys<'_>, again: bool, closed: &mut Closed) -> Result<Vec<u32>> {
        let through = self.keyring.closed_through();
        let current = keys.keys.current();
        let mut epochs: Vec<u32> = Vec::new();
        if again {
            for epoch in self.keyring.epochs.iter().filter(|epoch| epoch.is_closed()) {
                if !has_records(store, keys, epoch)? {
                    epochs.push(epoch.number);
                }
            }
        }
        if through + 1 < current {
            // No session is at work under an epoch that is closed.
            let mut at_work = at_work(store, keys, current)?;
            at_work.retain(|session| session.epoch == 0 || session.epoch > through);
            let oldest = at_work.iter().map(|session| session.epoch).min().unwrap_or(current);
            epochs.extend(through + 1..oldest.min(current));
            if oldest < current {
                closed.open_from = Some(oldest.max(through + 1));
            }
            closed.waits_for = at_work;
        }
        Ok(epochs)
    }
}

/// The sessions that may write under an epoch before `current`.
fn at_work(store: &dyn Store, keys: &ObjectKeys<'_>, current: u32) -> Result<Vec<AtWork>> {
    let mut ids: Vec<SessionId> = Vec::new();
    let mut done: Vec<SessionId> = Vec::new();
    store.list(Session::DIR, &mut |listed| {
        let name = listed.name.as_str();
        ids.extend(names::id_of::<<Session as Stored>::Mark>(&listed.name));
        done.extend(name.strip_suffix(".done").and_then(|name| Id::from_hex(name.strip_prefix("sessions/")?)));
        Ok(())
    })?;
    ids.retain(|id| !done.contains(id));
    let mut found = Vec::new();
    for id in ids {
        match claimed_epoch(store, &names::of::<Session>(&id))? {
            Claim::Gone => {}
            Claim::Of(epoch) if epoch >= current => {}
            Claim::Of(epoch) => found.push(AtWork { id, session: read_session(store, keys, &id), epoch }),
            Claim::None => found.push(AtWork { id, session: None, epoch: 0 }),
        }
    }
    Ok(found)
}

fn read_session(store: &dyn Store, keys: &ObjectKeys<'_>, id: &SessionId) -> Option<Session> {
    let bytes = get_named(store, &names::of::<Session>(id), id, OBJECT_MAX).ok()?;
    keys.open(&Sealed::<Session>::claimed(bytes)).ok()?.decode().ok()
}

/// What an object's prefix says of its epoch.
enum Claim {
    Of(u32),
    None,
    Gone,
}

fn claimed_epoch(store: &dyn Store, name: &ObjectName) -> Result<Claim> {
    match store.get_range(name, 0, PREFIX_LEN as u64) {
        Ok(bytes) => Ok(Prefix::split(&bytes).map_or(Claim::None, |(prefix, _)| Claim::Of(prefix.epoch))),
        Err(StoreError::NotFound { .. }) => Ok(Claim::Gone),
        Err(error) => Err(error.into()),
    }
}

impl Census {
    /// Counts all objects of one kind (C2). One that cannot be looked at ends it: left out, it would be
    /// refused for ever.
    fn take<T: Record>(&mut self, store: &dyn Store) -> Result<()> {
        let ids: Vec<Id<T::Mark>> = list_ids(store, T::DIR)?;
        let claims = ids.into_par_iter().map(|id| Ok((id, claimed_epoch(store, &names::of::<T>(&id))?)));
        for (id, claim) in claims.collect::<Result<Vec<_>>>()? {
            match claim {
                Claim::Of(epoch) => self.found.push((epoch, id.of_any())),
                Claim::None => self.left_out.push(names::of::<T>(&id)),
                Claim::Gone => {}
            }
        }
        Ok(())
    }
}

/// Puts what is valid under an epoch (C3), in as many records as it takes.
fn put_records(
    store: &dyn Store,
    keys: &ObjectKeys<'_>,
    epoch: u32,
    valid: Vec<AnyId>,
    chance: &dyn Chance,
    put: &mut Vec<ObjectName>,
) -> Result<Vec<EpochRecordId>> {
    let mut records = Vec::new();
    let parts: Vec<&[AnyId]> = if valid.is_empty() { vec![&[]] } else { valid.chunks(VALID_MAX).collect() };
    for part in parts {
        let valid = Ascending::new(part.to_vec()).expect("a part is no longer than a record may be");
        let sealed = keys.seal(&EpochRecord { epoch, valid, extras: Extras::default() }, chance);
        let id = EpochRecordId::of_stored(sealed.as_stored());
        let name = names::of::<EpochRecord>(&id);
        store.put(&name, sealed.as_stored())?;
        put.push(name);
        records.push(id);
    }
    Ok(records)
}

/// The extras of an epoch that these records close, and what else stood there.
fn closed_by(extras: &Extras, records: Vec<EpochRecordId>) -> Result<Extras> {
    let too_many = |_| RepoError::Refused("more objects under one epoch than can be recorded".into());
    let closing = Closing { records: Ascending::new(records).map_err(too_many)? };
    let value = Bytes::new(closing.to_bytes()).expect("a closing fits an extra");
    let mut all: Vec<Extra> = extras.iter().filter(|extra| extra.tag != tag::CLOSING).cloned().collect();
    all.push(Extra { tag: tag::CLOSING, value });
    Extras::new(all).map_err(|_| RepoError::Refused("an epoch takes at most 64 extras".into()))
}

/// Whether all records of a closed epoch are there and whole.
fn has_records(store: &dyn Store, keys: &ObjectKeys<'_>, epoch: &Epoch) -> Result<bool> {
    let Ok(Some(closing)) = epoch.closing() else { return Ok(false) };
    for id in closing.records.iter() {
        let opens = match get_named(store, &names::of::<EpochRecord>(id), id, OBJECT_MAX) {
            Ok(bytes) => keys.open(&Sealed::<EpochRecord>::claimed(bytes)).is_ok(),
            Err(RepoError::Missing { .. } | RepoError::Damaged { .. }) => false,
            Err(error) => return Err(error),
        };
        if !opens {
            return Ok(false);
        }
    }
    Ok(true)
}
