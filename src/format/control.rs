//! Small sealed records: snapshots, runs, sessions, condemned and forgotten records (format-spec,
//! "Control objects").

use super::codec::{Ascending, Bytes, Decode, Encode, List, Malformed, Structure, Text, TooLong};
use super::extras::{Extra, Extras};
use super::limits::{
    CONDEMNED_MAX, LABEL_MAX, PATH_MAX, PATHS_MAX, RECORDED_MAX, SIGNATURE_MAX, TAGS_MAX, TROUBLES_MAX,
};
use super::tree::{Time, TreeRef};
use crate::id::{CondemnedId, ID_LEN, PackId, SessionId, SnapshotId};

/// Host, user, component and the like.
pub type Label = Text<LABEL_MAX>;

/// Reserved: which writer wrote this, as which of its records, after which. All zero in version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Lineage {
    /// Who wrote it.
    pub writer: [u8; 32],
    /// How many it wrote before.
    pub sequence: u64,
    /// The record before this one.
    pub predecessor: [u8; 32],
}

/// Reserved: algorithm 0 is no signature. Readers of version 1 pass over what they cannot verify.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Signature {
    /// 0 in version 1.
    pub algorithm: u32,
    /// Empty under algorithm 0.
    pub bytes: Bytes<SIGNATURE_MAX>,
}

impl Signature {
    pub(super) fn obey(&self, what: &'static str) -> Result<(), Malformed> {
        if self.algorithm == 0 && !self.bytes.is_empty() {
            return Err(Malformed::new(what, "a signature under no algorithm"));
        }
        Ok(())
    }
}

/// One component at one time.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Snapshot {
    /// The session that committed it.
    pub session: SessionId,
    /// Reserved.
    pub lineage: Lineage,
    /// Whether it is all there.
    pub state: SnapshotState,
    /// When the backup began: what it is dated by.
    pub time: Time,
    /// When its last content had been read.
    pub finished: Time,
    /// What was backed up: `files`, `stream`, later others.
    pub component: Label,
    /// The machine.
    pub host: Label,
    /// The account.
    pub user: Label,
    /// What was asked for, as absolute paths or addresses, ascending.
    pub paths: Ascending<PathBytes, PATHS_MAX>,
    /// Words that people gave it, ascending.
    pub tags: Ascending<Label, TAGS_MAX>,
    /// What it was compared with.
    pub parent: Option<SnapshotId>,
    /// Everything in it.
    pub root: TreeRef,
    /// What the backup found and did.
    pub summary: Summary,
    /// The program that wrote it, and its version.
    pub program: Label,
    /// Reserved.
    pub signature: Signature,
    /// What will be thought of.
    pub extras: Extras,
}

/// The tag of a snapshot's extra that says which snapshot of the same repository it was made from.
pub const MADE_FROM_TAG: u32 = 2;

/// A path as bytes.
pub type PathBytes = Bytes<PATH_MAX>;
impl super::codec::Keyed for PathBytes {
    type Key = PathBytes;
    fn key(&self) -> &PathBytes {
        self
    }
}

/// Whether a snapshot is all there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum SnapshotState {
    /// Everything that was asked for.
    Complete,
    /// Some items could not be read; they are left out.
    Partial,
    /// Kept so that an interrupted backup can go on; not for listings.
    Checkpoint,
}

/// What a backup found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Summary {
    /// Files that the parent did not have.
    pub files_new: u64,
    /// Files that differ from the parent's.
    pub files_changed: u64,
    /// Files as in the parent.
    pub files_unmodified: u64,
    /// Directories.
    pub dirs: u64,
    /// Everything else.
    pub others: u64,
    /// Bytes of content in all files.
    pub bytes_processed: u64,
    /// Bytes of content that were read.
    pub bytes_read: u64,
    /// Blobs added.
    pub blobs_added: u64,
    /// Plaintext bytes of blobs added.
    pub bytes_added: u64,
    /// Bytes that they take in packs.
    pub bytes_stored: u64,
    /// Items that could not be backed up.
    pub troubles: u64,
}

impl Structure for Snapshot {
    const WHAT: &'static str = "snapshot";

    fn obey(&self) -> Result<(), Malformed> {
        self.time.obey(Self::WHAT)?;
        self.finished.obey(Self::WHAT)?;
        if self.root.level > super::limits::LEVEL_MAX {
            return Err(Malformed::new(Self::WHAT, "deeper than the limit"));
        }
        if self.extras.get(ORIGINAL_TAG).is_some_and(|original| original.len() != ID_LEN) {
            return Err(Malformed::new(Self::WHAT, "an original whose id is not 32 bytes long"));
        }
        self.extras.obey(Self::WHAT)?;
        self.signature.obey(Self::WHAT)
    }
}

/// The tag of the id of the snapshot, in another repository, that this one is a copy of.
pub const ORIGINAL_TAG: u32 = 1;

impl Snapshot {
    /// What it is a copy of; of a copy of a copy, the first.
    pub fn original(&self) -> Option<SnapshotId> {
        self.extras.get(ORIGINAL_TAG)?.try_into().ok().map(SnapshotId::from_bytes)
    }

    /// The same as a copy of `original`. Fails if it has as many extras as it can have.
    pub fn with_original(mut self, original: SnapshotId) -> Result<Self, TooLong> {
        let value = Bytes::new(original.as_bytes().to_vec()).expect("an id is shorter than an extra may be");
        let mut extras: Vec<Extra> = self.extras.iter().filter(|extra| extra.tag != ORIGINAL_TAG).cloned().collect();
        extras.push(Extra { tag: ORIGINAL_TAG, value });
        self.extras = Extras::new(extras)?;
        Ok(self)
    }
}

/// What a session is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum SessionKind {
    /// Adds packs, segments and snapshots.
    Backup,
    /// Condemns and deletes packs.
    Prune,
    /// Only reads; deletions wait for it.
    Read,
    /// Copies into this repository, repairs or rewrites it.
    Maintain,
}

/// A writer's announcement that it is at work.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Session {
    /// What it is about to do.
    pub kind: SessionKind,
    /// The machine that it runs on, for messages.
    pub host: Label,
    /// Its process there, for messages.
    pub process: u32,
    /// When it began by its own clock, for messages.
    pub started: Time,
    /// The condemned records that it had listed before it announced itself.
    pub seen: Ascending<CondemnedId, CONDEMNED_MAX>,
    /// The program and its version.
    pub program: Label,
    /// What will be thought of.
    pub extras: Extras,
}
impl Structure for Session {
    const WHAT: &'static str = "session";

    fn obey(&self) -> Result<(), Malformed> {
        self.extras.obey(Self::WHAT)?;
        self.started.obey(Self::WHAT)
    }
}

/// Which process on which machine a session is: whoever is on the same machine can see whether it ended.
/// The value of a session's extra [`PROCESS_TAG`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ProcessIdentity {
    /// The machine's boot, drawn by lot each time.
    pub boot: [u8; 16],
    /// The name space that process numbers are from.
    pub namespace: u64,
    /// The process's number there.
    pub process: u32,
    /// When the process began, in clock ticks since the boot: numbers recur.
    pub began: u64,
}
impl Structure for ProcessIdentity {
    const WHAT: &'static str = "process identity";

    fn obey(&self) -> Result<(), Malformed> {
        Ok(())
    }
}

/// The tag of a session's [`ProcessIdentity`].
pub const PROCESS_TAG: u32 = 1;

/// Packs that no longer count and wait for deletion. A tombstone: it is never taken back.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Condemned {
    /// The session that wrote it.
    pub session: SessionId,
    /// Reserved.
    pub lineage: Lineage,
    /// The packs, at least one.
    pub packs: Ascending<PackId, CONDEMNED_MAX>,
    /// Reserved.
    pub signature: Signature,
    /// What will be thought of.
    pub extras: Extras,
}
impl Structure for Condemned {
    const WHAT: &'static str = "condemned record";

    fn obey(&self) -> Result<(), Malformed> {
        if self.packs.is_empty() {
            return Err(Malformed::new(Self::WHAT, "no packs"));
        }
        self.extras.obey(Self::WHAT)?;
        self.signature.obey(Self::WHAT)
    }
}

/// Snapshots that were removed on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Forgotten {
    /// Reserved.
    pub lineage: Lineage,
    /// The snapshots, at least one.
    pub snapshots: Ascending<SnapshotId, RECORDED_MAX>,
    /// When, by the remover's clock.
    pub time: Time,
    /// The machine.
    pub host: Label,
    /// The account.
    pub user: Label,
    /// Why, in words.
    pub why: Label,
    /// Reserved.
    pub signature: Signature,
    /// What will be thought of.
    pub extras: Extras,
}
impl Structure for Forgotten {
    const WHAT: &'static str = "forgotten record";

    fn obey(&self) -> Result<(), Malformed> {
        if self.snapshots.is_empty() {
            return Err(Malformed::new(Self::WHAT, "no snapshots"));
        }
        self.time.obey(Self::WHAT)?;
        self.extras.obey(Self::WHAT)?;
        self.signature.obey(Self::WHAT)
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum RunStatus {
    /// Everything was done.
    Done,
    /// Some items were left out.
    Partial,
    /// It failed.
    Failed,
}

/// The report of one job run.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Run {
    /// The session that did it.
    pub session: SessionId,
    /// Reserved.
    pub lineage: Lineage,
    /// The machine.
    pub host: Label,
    /// When it began.
    pub started: Time,
    /// When it ended.
    pub finished: Time,
    /// How it ended.
    pub status: RunStatus,
    /// What it committed.
    pub snapshots: Ascending<SnapshotId, RECORDED_MAX>,
    /// The snapshots that it saw when it ended, its own among them, newest first as far as the bound goes.
    pub heads: Ascending<SnapshotId, RECORDED_MAX>,
    /// The first troubles, in words.
    pub troubles: List<Label, TROUBLES_MAX>,
    /// What it found and did, over all snapshots.
    pub summary: Summary,
    /// Reserved.
    pub signature: Signature,
    /// What will be thought of.
    pub extras: Extras,
}
impl Structure for Run {
    const WHAT: &'static str = "run";

    fn obey(&self) -> Result<(), Malformed> {
        self.started.obey(Self::WHAT)?;
        self.finished.obey(Self::WHAT)?;
        self.extras.obey(Self::WHAT)?;
        self.signature.obey(Self::WHAT)
    }
}
