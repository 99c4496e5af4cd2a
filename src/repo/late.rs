//! Segments that came too late: put under an epoch while it was being closed, and refused since. Who looked at them before
//! may rely on what they list, so what holds of it is listed anew (format-spec, "Closing", C5).

use std::collections::HashSet;
use std::sync::Arc;

use super::closings::Closings;
use super::error::{Class, RepoError, Result};
use super::{Announced, Relisting, Repository, Who};
use crate::crypto::Keyset;
use crate::format::control::SessionKind;
use crate::format::segment::{Segment, WholePack};
use crate::id::PackId;

impl Repository {
    /// Lists anew what refused segments list and that holds. Says how many packs that is.
    pub(super) fn list_what_came_late(&mut self) -> Result<u64> {
        self.take_up_keys();
        let late = self.refresh_index()?.late;
        if late.is_empty() {
            return Ok(0);
        }
        let session = Announced::announce(&self.objects, SessionKind::Maintain, &Who::default())?;
        self.refresh_index()?;
        let mut listed: HashSet<PackId> = self.view().packs().into_keys().collect();
        let (mut relisting, mut packs) = (Relisting::new(self, &session), 0);
        for (id, _) in &late {
            let segment = match self.objects.get_refused::<Segment>(id) {
                Ok(segment) => segment,
                Err(error) if error.class() == Class::Corrupt => continue,
                Err(error) => return Err(error),
            };
            for record in segment.header.packs.iter() {
                let usable = session.usable();
                // What is condemned too: a prune copies out what is needed of it, if it knows that it is there.
                let there = usable.packs().get(&record.id).or_else(|| usable.condemned().get(&record.id));
                let Some(len) = there.filter(|_| listed.insert(record.id)) else { continue };
                if let Some(pack) = self.whole(&record.id, *len)? {
                    relisting.add(pack)?;
                    packs += 1;
                }
            }
        }
        relisting.finish(&[])?;
        Ok(packs)
    }

    /// A pack of `len` bytes, if every blob in it opens: whoever once had the keys of a closed epoch can make one that
    /// promises what is not there.
    fn whole(&self, id: &PackId, len: u64) -> Result<Option<WholePack>> {
        match self.look_into_pack(id, len) {
            Ok(inside) => {
                let holds = self.holds_what_it_lists(id, &inside)?;
                Ok(holds.then(|| WholePack::described(*id, len, inside)))
            }
            Err(RepoError::Damaged { .. } | RepoError::Missing { .. } | RepoError::NeedsNewer { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Goes on under the keys of the newest keyring, which this program may have put itself. Not while a session of
    /// this program is at work under those of before: then nothing of theirs is late.
    fn take_up_keys(&mut self) {
        let Some(objects) = Arc::get_mut(&mut self.objects) else { return };
        objects.keys = Keyset::new(&self.keychain.keyring);
        objects.watch = self.keychain.watch();
        *objects.closings.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Arc::new(Closings::of(&self.keychain.keyring));
        let epoch = objects.keys.current();
        self.view_mut().seal_under(epoch);
    }
}
