//! What could not be restored because this system, or this user, cannot do it: counted, and said once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;

/// Entries named for each kind of shortcoming.
const NAMED_MAX: usize = 3;

/// What may be missing of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shortcoming {
    /// The entry itself: a device.
    Device,
    Owner,
    Mode,
    Times,
    Xattrs,
}

impl Shortcoming {
    /// What is missing, within a sentence.
    pub fn noun(self) -> &'static str {
        match self {
            Shortcoming::Device => "device",
            Shortcoming::Owner => "owner and group",
            Shortcoming::Mode => "mode",
            Shortcoming::Times => "times",
            Shortcoming::Xattrs => "extended attributes or ACLs",
        }
    }
}

/// How often each was met.
#[derive(Default)]
pub(super) struct Shortcomings {
    tallies: Mutex<BTreeMap<Shortcoming, Tally>>,
}

struct Tally {
    entries: u64,
    why: Errno,
    first: Vec<String>,
}

impl Shortcomings {
    /// Counts one entry; `path` is asked for only if it is among the first.
    pub fn count(&self, what: Shortcoming, why: Errno, path: impl FnOnce() -> String) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(what).or_insert(Tally { entries: 0, why, first: Vec::new() });
        tally.entries += 1;
        if tally.first.len() < NAMED_MAX {
            tally.first.push(path());
        }
    }

    /// One sentence each.
    pub fn sentences(&self) -> Vec<String> {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.iter().map(|(what, tally)| tally.sentence(*what)).collect()
    }
}

impl Tally {
    fn sentence(&self, what: Shortcoming) -> String {
        let why = match self.why {
            Errno::PERM | Errno::ACCESS => "not permitted",
            _ => "not supported here",
        };
        let (entries, them) = match self.entries {
            1 => ("1 entry".to_owned(), "it has"),
            many => (format!("{many} entries"), "they have"),
        };
        let more = if self.entries > self.first.len() as u64 { ", …" } else { "" };
        let names = format!("{}{more}", self.first.join(", "));
        match what {
            Shortcoming::Device if self.entries == 1 => format!("1 device was not made: {why} ({names})"),
            Shortcoming::Device => format!("{} devices were not made: {why} ({names})", self.entries),
            Shortcoming::Owner => {
                format!("owner and group were not restored for {entries}: {why}; {them} no set-id bits ({names})")
            }
            Shortcoming::Mode => format!("mode was not restored for {entries}: {why} ({names})"),
            _ => format!("{} were not restored for {entries}: {why} ({names})", what.noun()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shortcoming_is_one_sentence_with_its_number_and_the_first_names() {
        let shortcomings = Shortcomings::default();
        for n in 0..512 {
            shortcomings.count(Shortcoming::Owner, Errno::PERM, || format!("f{n}"));
        }
        shortcomings.count(Shortcoming::Device, Errno::PERM, || "dev/null".into());
        shortcomings.count(Shortcoming::Xattrs, Errno::OPNOTSUPP, || "a".into());
        let expected = [
            "1 device was not made: not permitted (dev/null)",
            "owner and group were not restored for 512 entries: not permitted; they have no set-id bits (f0, f1, f2, …)",
            "extended attributes or ACLs were not restored for 1 entry: not supported here (a)",
        ];
        assert_eq!(shortcomings.sentences(), expected);
    }
}
