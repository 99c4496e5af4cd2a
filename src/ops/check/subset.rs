//! Which packs a check reads.

use crate::id::PackId;

/// How much of the packs is read.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ReadData {
    /// None: only that they are there, and as long as the index says.
    #[default]
    No,
    /// All.
    All,
    /// The first number's part of as many parts as the second says, counted from 1. Whoever reads each part
    /// in turn has read every pack once.
    Subset(u32, u32),
    /// This percentage of the packs, drawn by lot.
    Percent(f64),
    /// Packs of at least so many bytes together, drawn by lot.
    Bytes(u64),
}

impl ReadData {
    /// Chooses among packs with their lengths; `seed` is the lot.
    pub(super) fn choose(self, packs: impl Iterator<Item = (PackId, u64)>, seed: &[u8; 32]) -> Vec<PackId> {
        match self {
            ReadData::No => Vec::new(),
            ReadData::All => packs.map(|(id, _)| id).collect(),
            ReadData::Subset(part, of) => packs.filter(|(id, _)| is_in_part(id, part, of)).map(|(id, _)| id).collect(),
            ReadData::Percent(percent) => {
                let mut drawn = shuffled(packs, seed);
                let count = (drawn.len() as f64 * percent / 100.0).ceil();
                drawn.truncate(count as usize);
                drawn.into_iter().map(|(id, _)| id).collect()
            }
            ReadData::Bytes(bytes) => {
                let mut left = bytes;
                let enough = |(_, len): &(PackId, u64)| {
                    let go_on = left > 0;
                    left = left.saturating_sub(*len);
                    go_on
                };
                shuffled(packs, seed).into_iter().take_while(enough).map(|(id, _)| id).collect()
            }
        }
    }
}

/// A pack's id is a hash: its first bytes spread packs evenly, and never put one elsewhere.
fn is_in_part(id: &PackId, part: u32, of: u32) -> bool {
    let [a, b, c, d, e, f, g, h, ..] = *id.as_bytes();
    let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    number % u64::from(of.max(1)) + 1 == u64::from(part)
}

fn shuffled(packs: impl Iterator<Item = (PackId, u64)>, seed: &[u8; 32]) -> Vec<(PackId, u64)> {
    let mut packs: Vec<_> = packs.collect();
    packs.sort_by_cached_key(|(id, _)| *blake3::keyed_hash(seed, id.as_bytes()).as_bytes());
    packs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packs(count: u32) -> Vec<(PackId, u64)> {
        (0..count).map(|number| (PackId::of_stored(&number.to_le_bytes()), 100)).collect()
    }

    fn chosen(read: ReadData) -> Vec<PackId> {
        read.choose(packs(1000).into_iter(), &[7; 32])
    }

    #[test]
    fn the_parts_together_are_every_pack_once() {
        let mut all: Vec<PackId> = (1..=5).flat_map(|part| chosen(ReadData::Subset(part, 5))).collect();
        assert!((1..=5).all(|part| chosen(ReadData::Subset(part, 5)).len() > 100));
        all.sort();
        let mut packs: Vec<PackId> = packs(1000).into_iter().map(|(id, _)| id).collect();
        packs.sort();
        assert_eq!(all, packs);
    }

    #[test]
    fn a_percentage_and_a_size_draw_that_much() {
        assert_eq!(chosen(ReadData::Percent(2.5)).len(), 25);
        assert_eq!(chosen(ReadData::Percent(100.0)).len(), 1000);
        assert_eq!(chosen(ReadData::Percent(0.001)).len(), 1);
        assert_eq!(chosen(ReadData::Bytes(1)).len(), 1);
        assert_eq!(chosen(ReadData::Bytes(1001)).len(), 11);
        assert_eq!(chosen(ReadData::Bytes(u64::MAX)).len(), 1000);
        assert_eq!(chosen(ReadData::No).len(), 0);
        let other = ReadData::Percent(2.5).choose(packs(1000).into_iter(), &[8; 32]);
        assert_ne!(chosen(ReadData::Percent(2.5)), other);
    }
}
