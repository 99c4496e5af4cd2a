//! Names of objects in the store (format-spec, "Layout").

use crate::crypto::Sealable;
use crate::format::control::{Condemned, Forgotten, Run, Session, Snapshot};
use crate::format::epochs::EpochRecord;
use crate::format::segment::Segment;
use crate::id::{
    CondemnedId, EpochRecordId, ForgottenId, Id, IndexId, KeyringId, KeyslotId, PackId, RunId, SessionId, SnapshotId,
};
use crate::storage::ObjectName;

/// Something that is stored under its id in a directory of its own.
pub trait Stored {
    /// Its id.
    type Mark;
    /// Its directory.
    const DIR: &'static str;
}

macro_rules! stored {
    ($($type:ty: $id:ty, $dir:literal;)*) => {$(
        impl Stored for $type {
            type Mark = <$id as IdMark>::Mark;
            const DIR: &'static str = $dir;
        }
    )*};
}

/// Takes an id type apart.
pub trait IdMark {
    /// What the id names.
    type Mark;
}
impl<T> IdMark for Id<T> {
    type Mark = T;
}

/// A key slot as stored.
pub enum KeyslotObject {}
/// A keyring as stored.
pub enum KeyringObject {}

stored! {
    Snapshot: SnapshotId, "snapshots";
    Forgotten: ForgottenId, "forgotten";
    Run: RunId, "runs";
    Session: SessionId, "sessions";
    Condemned: CondemnedId, "condemned";
    EpochRecord: EpochRecordId, "epochs";
    Segment: IndexId, "index";
    KeyslotObject: KeyslotId, "keys";
    KeyringObject: KeyringId, "keyring";
}

/// A stored value that is sealed as an object of its own.
pub trait Record: Sealable + Stored {}
impl<T: Sealable + Stored> Record for T {}

/// The object that says which repository this is.
pub fn config() -> ObjectName {
    name("config")
}

/// Where the `T` with this id is.
pub fn of<T: Stored>(id: &Id<T::Mark>) -> ObjectName {
    name(&format!("{}/{id}", T::DIR))
}

/// Where a pack is.
pub fn pack(id: &PackId) -> ObjectName {
    let hex = id.to_hex();
    name(&format!("packs/{}/{hex}", &hex[..2]))
}

/// Where a session's lease is.
pub fn beat(id: &SessionId) -> ObjectName {
    name(&format!("sessions/{id}.beat"))
}

/// Where a session says that it has ended, if it cannot delete its announcement.
pub fn done(id: &SessionId) -> ObjectName {
    name(&format!("sessions/{id}.done"))
}

/// The id that an object's last name spells; `None` for a lease or a foreign object.
pub fn id_of<T>(object: &ObjectName) -> Option<Id<T>> {
    Id::from_hex(object.as_str().rsplit('/').next()?)
}

fn name(name: &str) -> ObjectName {
    ObjectName::new(name).expect("directories and hex digits make a name")
}
