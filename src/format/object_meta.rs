//! What a store says of an object beside its content: headers, user metadata, tags (format-spec, "Buckets").

use super::codec::{Ascending, Bytes, Decode, Encode, Keyed, Structure, Text};
use super::limits::{PAIR_NAME_MAX, PAIR_VALUE_MAX, PAIRS_MAX};

/// A name and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Pair {
    /// As the store gives it; of a header in lower case.
    pub name: Text<PAIR_NAME_MAX>,
    /// As the store gives it.
    pub value: Bytes<PAIR_VALUE_MAX>,
}
impl Keyed for Pair {
    type Key = Text<PAIR_NAME_MAX>;
    fn key(&self) -> &Self::Key {
        &self.name
    }
}

/// Pairs, each name once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Encode, Decode)]
pub struct Pairs(pub Ascending<Pair, PAIRS_MAX>);
impl Structure for Pairs {
    const WHAT: &'static str = "pairs";
}
