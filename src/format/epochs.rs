//! Closed epochs: what is valid under them, so that what appears later is refused (format-spec, "Epochs").

use super::codec::{Ascending, Decode, Encode, Malformed, Structure};
use super::extras::Extras;
use super::keys::{Epoch, Keyring};
use super::limits::{CLOSING_RECORDS_MAX, VALID_MAX};
use crate::id::{AnyId, EpochRecordId};

/// The tags of an epoch's extras.
pub mod tag {
    /// An encoded [`super::Closing`].
    pub const CLOSING: u32 = 1;
}

/// Where it is recorded what is valid under an epoch: the epoch is closed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Closing {
    /// At least one.
    pub records: Ascending<EpochRecordId, CLOSING_RECORDS_MAX>,
}

impl Structure for Closing {
    const WHAT: &'static str = "closing";

    fn obey(&self) -> Result<(), Malformed> {
        match self.records.is_empty() {
            true => Err(Malformed::new(Self::WHAT, "no epoch records")),
            false => Ok(()),
        }
    }
}

/// Objects that are valid under a closed epoch.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EpochRecord {
    /// The epoch.
    pub epoch: u32,
    /// Of any kind: an id is a hash of bytes that say the kind.
    pub valid: Ascending<AnyId, VALID_MAX>,
    /// What will be thought of.
    pub extras: Extras,
}

impl Structure for EpochRecord {
    const WHAT: &'static str = "epoch record";

    fn obey(&self) -> Result<(), Malformed> {
        self.extras.obey(Self::WHAT)
    }
}

impl Epoch {
    /// What closed it, if it is closed.
    pub fn closing(&self) -> Result<Option<Closing>, Malformed> {
        self.extras.get(tag::CLOSING).map(Closing::from_bytes).transpose()
    }

    /// Whether anything new is refused under it.
    pub fn is_closed(&self) -> bool {
        self.extras.get(tag::CLOSING).is_some()
    }
}

impl Keyring {
    /// The last epoch that is closed; 0 if none is.
    pub fn closed_through(&self) -> u32 {
        self.epochs.iter().take_while(|epoch| epoch.is_closed()).last().map_or(0, |epoch| epoch.number)
    }

    pub(super) fn epochs_close_in_order(&self) -> Result<(), Malformed> {
        let broken = |why| Err(Malformed::new(Self::WHAT, why));
        for epoch in self.epochs.iter() {
            epoch.closing()?;
        }
        if self.current_epoch().is_some_and(Epoch::is_closed) {
            return broken("the current epoch is closed");
        }
        match self.epochs.is_sorted_by_key(|epoch| !epoch.is_closed()) {
            true => Ok(()),
            false => broken("a closed epoch after one that is open"),
        }
    }
}
