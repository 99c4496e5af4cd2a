//! Tampering: what the fuzzer's bytes do to a set of named byte strings.

use std::collections::BTreeMap;

/// Acts at most: more of them only make each input slower.
const ACTS_MAX: usize = 8;

/// Reads decisions off the fuzzer's bytes; zeros when they are used up.
pub struct Decisions<'a>(pub &'a [u8]);

impl Decisions<'_> {
    pub fn are_left(&self) -> bool {
        !self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    pub fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    /// One of `len` places, each of which can be reached however many there are.
    pub fn place(&mut self, len: usize) -> usize {
        // Ends are where lengths, tags and magics stand: one in two places is near one of them.
        let (near, at) = (self.byte(), self.number());
        match near % 4 {
            0 => at % 256 % len.max(1),
            1 => len.saturating_sub(1 + at % 256),
            _ => (at << 8 | usize::from(near)) % len.max(1),
        }
    }
}

/// What became of an object beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// It keeps its name.
    Kept,
    /// Whoever tampered named it by its new hash, as anyone can.
    Renamed,
}

/// Tampers with `things`; tells `changed` the name of each that has other bytes now.
pub fn tamper<N: Ord + Clone>(
    things: &mut BTreeMap<N, Vec<u8>>,
    decisions: &mut Decisions<'_>,
    mut changed: impl FnMut(&mut BTreeMap<N, Vec<u8>>, &N, Naming),
) {
    for _ in 0..ACTS_MAX {
        if !decisions.are_left() || things.is_empty() {
            return;
        }
        let act = decisions.byte();
        let naming = if act & 0x80 == 0 { Naming::Kept } else { Naming::Renamed };
        let name = some_name(things, decisions);
        let mut bytes = things.remove(&name).expect("a name of one of them");
        match act % 8 {
            0..3 => alter(&mut bytes, decisions),
            3 => bytes.truncate(decisions.place(bytes.len())),
            4 => bytes.resize(bytes.len() + decisions.number() % 4096, decisions.byte()),
            5 if things.is_empty() => {}
            5 => {
                let other = some_name(things, decisions);
                bytes = things.insert(other.clone(), bytes).expect("a name of one of them");
                changed(things, &other, naming);
            }
            6 if things.is_empty() => {}
            6 => bytes = things[&some_name(things, decisions)].clone(),
            _ => continue,
        }
        things.insert(name.clone(), bytes);
        changed(things, &name, naming);
    }
}

fn some_name<N: Ord + Clone>(things: &BTreeMap<N, Vec<u8>>, decisions: &mut Decisions<'_>) -> N {
    let at = decisions.number() % things.len();
    things.keys().nth(at).expect("a place of one of them").clone()
}

/// Changes a few bytes in one place.
pub fn alter(bytes: &mut [u8], decisions: &mut Decisions<'_>) {
    let at = decisions.place(bytes.len());
    let how = decisions.byte();
    for byte in bytes.iter_mut().skip(at).take(usize::from(how % 8) + 1) {
        *byte = if how & 0x80 == 0 { *byte ^ decisions.byte() } else { decisions.byte() };
    }
}
