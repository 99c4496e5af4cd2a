//! The plan of a prune: which packs are condemned, and which of them are read first because something in
//! them is needed. Pure: values in, a value out, which prints itself.

use std::collections::BTreeMap;
use std::fmt;

use super::usage::PackUse;
use crate::id::{PackId, SessionId};

/// What is worth doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thrift {
    /// So much room may be taken by what nobody needs.
    pub max_unused: MaxUnused,
    /// Packs of at most so many bytes are rewritten at a time; `None`: as many as it takes.
    pub max_repack: Option<u64>,
    /// Rewrite all packs that are sealed under keys of an earlier epoch, whatever is in them.
    pub reseal: bool,
}

/// How much room may be wasted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxUnused {
    /// So many percent of what is there after the prune; below 100.
    Percent(f64),
    /// So many bytes.
    Bytes(u64),
    /// Any: only packs of which nothing is needed go.
    Unlimited,
}

impl Default for Thrift {
    fn default() -> Self {
        Thrift { max_unused: MaxUnused::Percent(5.0), max_repack: None, reseal: false }
    }
}

/// A pack, as the plan looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackFacts {
    /// Its length in the store; `None` if it is listed and not there.
    pub stored: Option<u64>,
    /// What is needed of it; `None` if no segment lists it.
    pub used: Option<PackUse>,
    /// Who wrote it, as far as that is known.
    pub session: Option<SessionId>,
    /// Its writer is at work, and may need all of it.
    pub is_being_written: bool,
    /// It is sealed under keys of an earlier epoch.
    pub is_of_old_epoch: bool,
}

/// What becomes of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It stays as it is.
    Keep,
    /// Nothing in it is needed: it is condemned, and never read.
    Drop,
    /// No segment lists it, and its writer is gone.
    DropStray,
    /// A segment lists it, and it is not there.
    DropAbsent,
    /// What is needed of it is copied out, then it is condemned.
    Rewrite,
}

/// What is to be done, and why that is enough.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// By pack; those that stay are not in it.
    pub fates: BTreeMap<PackId, Fate>,
    /// Packs and bytes of each fate.
    pub totals: BTreeMap<Fate, Total>,
    /// Bytes of blobs that are needed.
    pub needed: u64,
    /// Bytes of blobs that are not, now.
    pub unused_before: u64,
    /// Bytes of blobs that are not, in packs that stay.
    pub unused_after: u64,
    /// Bytes of blobs that are copied.
    pub copied: u64,
    /// Needed blobs that lie in packs which were condemned before, and are copied out.
    pub stranded_blobs: u64,
}

/// How many packs, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Total {
    /// Packs.
    pub packs: u64,
    /// Their lengths, in bytes.
    pub bytes: u64,
}

impl Plan {
    /// Decides about every pack that is not condemned.
    pub fn make(packs: &BTreeMap<PackId, PackFacts>, stranded_blobs: u64, thrift: &Thrift) -> Plan {
        let mut plan = Plan { stranded_blobs, ..Plan::default() };
        let mut half_dead = Vec::new();
        for (id, pack) in packs {
            plan.needed += pack.needed();
            plan.unused_before += pack.spare();
            match pack.fate_alone(thrift) {
                Fate::Keep => plan.unused_after += pack.spare(),
                fate => plan.decide(*id, pack, fate),
            }
            let may_rewrite = !pack.is_being_written && pack.stored.is_some();
            if pack.fate_alone(thrift) == Fate::Keep && may_rewrite && pack.spare() > 0 {
                half_dead.push((*id, *pack));
            }
        }
        // Those first that give most room back for what has to be copied.
        half_dead.sort_by(|(a, pack), (b, other)| {
            let gain = |pack: &PackFacts, against: &PackFacts| u128::from(pack.spare()) * u128::from(against.len());
            gain(other, pack).cmp(&gain(pack, other)).then(a.cmp(b))
        });
        let allowed = thrift.max_unused.allowed(plan.needed);
        for (id, pack) in half_dead {
            let rewritten = plan.total(Fate::Rewrite).bytes;
            if plan.unused_after <= allowed || thrift.max_repack.is_some_and(|max| rewritten + pack.len() > max) {
                continue;
            }
            plan.unused_after -= pack.spare();
            plan.decide(id, &pack, Fate::Rewrite);
        }
        plan.keep_within(packs, thrift);
        let kept = packs.iter().filter(|(id, _)| !plan.fates.contains_key(id));
        let kept = kept.fold(Total::default(), |total, (_, pack)| total.with(pack));
        plan.totals.insert(Fate::Keep, kept);
        plan
    }

    /// Re-sealing may be more than is allowed at a time: then the rest is for the next time.
    fn keep_within(&mut self, packs: &BTreeMap<PackId, PackFacts>, thrift: &Thrift) {
        let Some(max) = thrift.max_repack else { return };
        let rewritten: Vec<PackId> =
            self.fates.iter().filter(|(_, fate)| **fate == Fate::Rewrite).map(|(id, _)| *id).collect();
        for id in rewritten {
            let Some(pack) = packs.get(&id).filter(|_| self.total(Fate::Rewrite).bytes > max) else { continue };
            self.fates.remove(&id);
            let total = self.totals.entry(Fate::Rewrite).or_default();
            *total = Total { packs: total.packs - 1, bytes: total.bytes - pack.len() };
            self.copied -= pack.needed();
            self.unused_after += pack.spare();
        }
    }

    fn decide(&mut self, id: PackId, pack: &PackFacts, fate: Fate) {
        if fate == Fate::Rewrite {
            self.copied += pack.needed();
        }
        self.fates.insert(id, fate);
        let total = self.totals.entry(fate).or_default();
        *total = total.with(pack);
    }

    /// How many packs have this fate, and their bytes.
    pub fn total(&self, fate: Fate) -> Total {
        self.totals.get(&fate).copied().unwrap_or_default()
    }

    /// The packs of one fate.
    pub fn packs(&self, fate: Fate) -> impl Iterator<Item = PackId> + '_ {
        self.fates.iter().filter(move |(_, of)| **of == fate).map(|(id, _)| *id)
    }

    /// Whether there is nothing to condemn and nothing to copy.
    pub fn is_idle(&self) -> bool {
        self.fates.is_empty() && self.stranded_blobs == 0
    }
}

impl Total {
    fn with(self, pack: &PackFacts) -> Self {
        Total { packs: self.packs + 1, bytes: self.bytes + pack.len() }
    }
}

impl MaxUnused {
    fn allowed(self, needed: u64) -> u64 {
        match self {
            MaxUnused::Percent(percent) => (needed as f64 * percent / (100.0 - percent)) as u64,
            MaxUnused::Bytes(bytes) => bytes,
            MaxUnused::Unlimited => u64::MAX,
        }
    }
}

impl PackFacts {
    fn needed(&self) -> u64 {
        self.used.map_or(0, |used| used.needed)
    }

    fn spare(&self) -> u64 {
        self.used.map_or(0, |used| used.spare)
    }

    fn len(&self) -> u64 {
        self.stored.unwrap_or(0)
    }

    /// What becomes of it whatever becomes of the others.
    fn fate_alone(&self, thrift: &Thrift) -> Fate {
        if self.is_being_written {
            return Fate::Keep;
        }
        match (self.stored, self.used) {
            (Some(_), None) => Fate::DropStray,
            (None, Some(_)) => Fate::DropAbsent,
            (Some(_), Some(used)) if used.needed_blobs == 0 => Fate::Drop,
            (Some(_), Some(_)) if thrift.reseal && self.is_of_old_epoch => Fate::Rewrite,
            _ => Fate::Keep,
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fate::Keep => "keep",
            Fate::Drop => "remove: nothing in it is needed",
            Fate::DropStray => "remove: left by a writer that did not finish",
            Fate::DropAbsent => "strike from the index: it is not there, and not needed",
            Fate::Rewrite => "rewrite: copy what is needed, remove the rest",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(needed: u64, spare: u64) -> PackFacts {
        let used = PackUse { needed, needed_blobs: needed.min(1), spare, spare_blobs: spare.min(1) };
        PackFacts {
            stored: Some(needed + spare),
            used: Some(used),
            session: None,
            is_being_written: false,
            is_of_old_epoch: false,
        }
    }

    fn plan(packs: &[PackFacts], thrift: &Thrift) -> Vec<Fate> {
        let ids: Vec<PackId> = (0..packs.len()).map(|at| PackId::from_bytes([at as u8; 32])).collect();
        let plan = Plan::make(&ids.iter().copied().zip(packs.iter().copied()).collect(), 0, thrift);
        ids.iter().map(|id| plan.fates.get(id).copied().unwrap_or(Fate::Keep)).collect()
    }

    #[test]
    fn dead_packs_go_whole_and_live_ones_stay() {
        let absent = PackFacts { stored: None, ..facts(0, 100) };
        let stray = PackFacts { used: None, ..facts(0, 100) };
        let fates = plan(&[facts(0, 100), facts(100, 0), absent, stray], &Thrift::default());
        assert_eq!(fates, [Fate::Drop, Fate::Keep, Fate::DropAbsent, Fate::DropStray]);
    }

    #[test]
    fn what_is_being_written_is_left_alone() {
        let written = |pack: PackFacts| PackFacts { is_being_written: true, ..pack };
        let stray = PackFacts { used: None, ..facts(0, 100) };
        let fates = plan(&[written(facts(0, 100)), written(facts(1, 99)), written(stray)], &Thrift::default());
        assert_eq!(fates, [Fate::Keep; 3]);
    }

    #[test]
    fn half_dead_packs_are_rewritten_until_little_enough_is_wasted_the_deadest_first() {
        let packs = [facts(900, 100), facts(100, 900), facts(500, 500), facts(8500, 20)];
        let with = |max_unused| plan(&packs, &Thrift { max_unused, ..Thrift::default() });
        use Fate::{Keep, Rewrite};
        assert_eq!(with(MaxUnused::Unlimited), [Keep; 4]);
        assert_eq!(with(MaxUnused::Bytes(620)), [Keep, Rewrite, Keep, Keep]);
        assert_eq!(with(MaxUnused::Percent(5.0)), [Keep, Rewrite, Rewrite, Keep]);
        assert_eq!(with(MaxUnused::Bytes(0)), [Rewrite; 4]);
    }

    #[test]
    fn no_more_is_rewritten_at_a_time_than_was_allowed() {
        let old = |pack: PackFacts| PackFacts { is_of_old_epoch: true, ..pack };
        let packs = [old(facts(100, 0)), old(facts(100, 0)), facts(0, 100), facts(10, 90)];
        let thrift = |max_repack, reseal| Thrift { max_unused: MaxUnused::Bytes(0), max_repack, reseal };
        use Fate::{Drop, Keep, Rewrite};
        assert_eq!(plan(&packs, &thrift(None, true)), [Rewrite, Rewrite, Drop, Rewrite]);
        assert_eq!(plan(&packs, &thrift(None, false)), [Keep, Keep, Drop, Rewrite]);
        assert_eq!(plan(&packs, &thrift(Some(99), false)), [Keep, Keep, Drop, Keep]);
        let some = plan(&packs, &thrift(Some(100), true));
        assert_eq!(some.iter().filter(|fate| **fate == Rewrite).count(), 1);
    }
}
