//! Extras: how a structure grows (format-spec, "Extras").
//!
//! A sorted list of tagged bytes ends every structure. A reader keeps and skips tags that it does not
//! know, unless the tag's top bit says that the item means nothing without it.

use super::codec::{Ascending, Bytes, Decode, Encode, Keyed, TooLong};
use super::limits::{EXTRA_MAX, EXTRAS_MAX};

/// Set in a tag that a reader must understand to use the item at all.
pub const MUST_UNDERSTAND: u32 = 1 << 31;

/// One tagged value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Extra {
    /// What it is; see the spec's registry.
    pub tag: u32,
    /// Its own encoding.
    pub value: Bytes<EXTRA_MAX>,
}

impl Keyed for Extra {
    type Key = u32;
    fn key(&self) -> &u32 {
        &self.tag
    }
}

/// The extras of one structure, ascending by tag.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Encode, Decode)]
pub struct Extras(Ascending<Extra, EXTRAS_MAX>);

impl Extras {
    /// These extras, sorted by tag.
    pub fn new(extras: Vec<Extra>) -> Result<Self, TooLong> {
        Ascending::new(extras).map(Extras)
    }

    /// The value under `tag`.
    pub fn get(&self, tag: u32) -> Option<&[u8]> {
        self.0.find(&tag).map(|extra| &extra.value[..])
    }

    /// The first tag that must be understood and is not among `known`.
    pub fn not_understood(&self, known: &[u32]) -> Option<u32> {
        let mut tags = self.0.iter().map(|extra| extra.tag);
        tags.find(|tag| tag & MUST_UNDERSTAND != 0 && !known.contains(tag))
    }

    /// Refuses, as newer, whatever carries a tag that must be understood: for structures that have none.
    pub fn obey(&self, what: &'static str) -> Result<(), super::Malformed> {
        match self.not_understood(&[]) {
            None => Ok(()),
            Some(tag) => Err(super::Malformed::newer(what, format!("its extra {tag:#x} must be understood"))),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Extra> {
        self.0.iter()
    }
}
