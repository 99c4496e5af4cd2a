//! Index segments: which blobs lie where in which packs (format-spec, "Index segments").
//!
//! A header, then blob records of fixed length in ascending order, so that any number of segments is
//! merged as streams.

use super::codec::{Ascending, Decode, Encode, Keyed, Malformed, Structure, TooLong};
use super::control::{Lineage, Signature};
use super::envelope::{Fields, ObjectKind};
use super::extras::Extras;
use super::limits::{PACK_MAX, SEGMENT_BLOBS_MAX, SEGMENT_PACKS_MAX, SEGMENT_REPLACES_MAX};
use super::pack::{BlobHeader, Placed, RECORD_LEN};
use crate::id::{IndexId, PackId, SessionId};

/// Length of a blob record, in bytes.
pub const BLOB_RECORD_LEN: usize = RECORD_LEN + 12;

/// A pack, as a segment lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct PackRecord {
    /// The pack.
    pub id: PackId,
    /// Its length in bytes: a cut pack is told from an altered one.
    pub len: u64,
    /// What it holds.
    pub class: PackClass,
    /// How many blobs it holds, padding included.
    pub blobs: u32,
    /// Seconds since 1970 until which the store was asked to keep it; 0 for not at all.
    pub retain_until: i64,
}
impl Keyed for PackRecord {
    type Key = PackId;
    fn key(&self) -> &PackId {
        &self.id
    }
}

/// What a pack holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub enum PackClass {
    /// Data blobs.
    Data,
    /// Tree and list blobs.
    Meta,
}

impl PackClass {
    /// The object kind of such a pack.
    pub fn object_kind(self) -> ObjectKind {
        match self {
            PackClass::Data => ObjectKind::DataPack,
            PackClass::Meta => ObjectKind::MetaPack,
        }
    }
}

/// What stands before a segment's blob records.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SegmentHeader {
    /// The session of the writer.
    pub session: SessionId,
    /// Reserved.
    pub lineage: Lineage,
    /// Segments that say nothing that this one does not say: readers of this one pass them over.
    pub replaces: Ascending<IndexId, SEGMENT_REPLACES_MAX>,
    /// The packs that the records point into.
    pub packs: Ascending<PackRecord, SEGMENT_PACKS_MAX>,
    /// How many blob records follow.
    pub blobs: u32,
    /// Reserved.
    pub signature: Signature,
    /// What will be thought of.
    pub extras: Extras,
}

impl Structure for SegmentHeader {
    const WHAT: &'static str = "index segment";

    fn obey(&self) -> Result<(), Malformed> {
        if self.blobs as usize > SEGMENT_BLOBS_MAX {
            return Err(Malformed::new(Self::WHAT, "more blobs than the limit"));
        }
        if self.packs.iter().any(|pack| pack.len > PACK_MAX) {
            return Err(Malformed::new(Self::WHAT, "a pack over the limit"));
        }
        self.extras.obey(Self::WHAT)?;
        self.signature.obey(Self::WHAT)
    }
}

/// Where a blob lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobRecord {
    /// The blob and its offset.
    pub placed: Placed,
    /// Which of the header's packs it lies in.
    pub pack: u32,
}

impl BlobRecord {
    /// Its bytes.
    pub fn to_bytes(&self) -> [u8; BLOB_RECORD_LEN] {
        let mut bytes = Vec::with_capacity(BLOB_RECORD_LEN);
        bytes.extend_from_slice(&self.placed.blob.to_bytes());
        bytes.extend_from_slice(&self.pack.to_le_bytes());
        bytes.extend_from_slice(&self.placed.offset.to_le_bytes());
        bytes.try_into().expect("the fields above are 54 bytes long")
    }
}

/// A pack as a segment lists it, and where all of its blobs but padding lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholePack {
    /// The pack.
    pub record: PackRecord,
    /// Its blobs.
    pub blobs: Vec<Placed>,
}

/// A whole segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// What stands before the records.
    pub header: SegmentHeader,
    /// The records, ascending by id, then pack, then offset.
    pub records: Vec<BlobRecord>,
}

impl Segment {
    /// Sorts the records and counts them.
    pub fn new(mut header: SegmentHeader, mut records: Vec<BlobRecord>) -> Self {
        records.sort_unstable_by_key(order);
        records.dedup_by_key(|record| order(record));
        header.blobs = u32::try_from(records.len()).unwrap_or(u32::MAX);
        Segment { header, records }
    }

    /// The segment by which `session` lists these packs, and says that it takes the place of others. Of a pack that is
    /// there twice, one counts.
    ///
    /// # Errors
    ///
    /// If these are more packs, or others, than a segment can list.
    pub fn listing(session: SessionId, mut packs: Vec<WholePack>, replaces: &[IndexId]) -> Result<Self, TooLong> {
        packs.sort_by_key(|pack| pack.record.id);
        packs.dedup_by_key(|pack| pack.record.id);
        let listed = Ascending::new(packs.iter().map(|pack| pack.record).collect())?;
        let records = (0..)
            .zip(packs)
            .flat_map(|(pack, listed)| listed.blobs.into_iter().map(move |placed| BlobRecord { placed, pack }));
        let records = records.collect();
        let header = SegmentHeader {
            session,
            lineage: Lineage::default(),
            replaces: Ascending::new(replaces.to_vec())?,
            packs: listed,
            blobs: 0,
            signature: Signature::default(),
            extras: Extras::default(),
        };
        Ok(Segment::new(header, records))
    }

    /// What it lists, pack by pack.
    pub fn into_packs(self) -> impl Iterator<Item = WholePack> {
        let Segment { header, records } = self;
        let mut blobs: Vec<Vec<Placed>> = vec![Vec::new(); header.packs.len()];
        for record in records {
            if let Some(blobs) = blobs.get_mut(record.pack as usize) {
                blobs.push(record.placed);
            }
        }
        header.packs.into_vec().into_iter().zip(blobs).map(|(record, blobs)| WholePack { record, blobs })
    }

    /// Its bytes: the header's length, the header, the records.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = self.header.to_bytes();
        let mut bytes =
            Vec::with_capacity(header.len().saturating_add(self.records.len().saturating_mul(BLOB_RECORD_LEN)));
        bytes.extend_from_slice(&u32::try_from(header.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&header);
        self.records.iter().for_each(|record| bytes.extend_from_slice(&record.to_bytes()));
        bytes
    }

    /// The segment in exactly these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let (header, records) = Self::split(bytes)?;
        let records = records.collect::<Result<Vec<_>, _>>()?;
        Ok(Segment { header, records })
    }

    /// The header, and the records one by one, each checked when it is reached.
    pub fn split(bytes: &[u8]) -> Result<(SegmentHeader, Records<'_>), Malformed> {
        let broken = |why: &str| Malformed::new(SegmentHeader::WHAT, why);
        let mut fields = Fields::new(SegmentHeader::WHAT, bytes);
        let header_len = usize::try_from(fields.u32()?).map_err(|_| broken("ends too early"))?;
        let (header, rest) = fields.rest.split_at_checked(header_len).ok_or_else(|| broken("ends too early"))?;
        let header = SegmentHeader::from_bytes(header)?;
        let expected = (header.blobs as usize).checked_mul(BLOB_RECORD_LEN);
        if expected != Some(rest.len()) {
            return Err(broken("not the number of blob records that it announces"));
        }
        let packs = header.packs.iter().copied().collect();
        Ok((header, Records { fields: Fields::new(SegmentHeader::WHAT, rest), packs, last: None }))
    }
}

type Order = (crate::id::BlobId, u32, u64);

fn order(record: &BlobRecord) -> Order {
    (record.placed.blob.id, record.pack, record.placed.offset)
}

/// The records of a segment, in order.
pub struct Records<'a> {
    fields: Fields<'a>,
    packs: Vec<PackRecord>,
    last: Option<Order>,
}

impl Records<'_> {
    fn read(&mut self) -> Result<BlobRecord, Malformed> {
        let broken = |why: &str| Malformed::new(SegmentHeader::WHAT, why);
        let blob = BlobHeader::read(&mut self.fields)?;
        let pack = self.fields.u32()?;
        let record = BlobRecord { placed: Placed { blob, offset: self.fields.u64()? }, pack };
        let listed = self.packs.get(pack as usize).ok_or_else(|| broken("a blob in a pack that it does not list"))?;
        if !blob.kind.belongs_in(listed.class.object_kind()) {
            return Err(broken("a blob of a kind that does not belong in its pack"));
        }
        if record.placed.end() > listed.len {
            return Err(broken("a blob that lies past the end of its pack"));
        }
        if self.last.is_some_and(|last| last >= order(&record)) {
            return Err(broken("blob records that do not ascend"));
        }
        self.last = Some(order(&record));
        Ok(record)
    }
}

impl Iterator for Records<'_> {
    type Item = Result<BlobRecord, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.fields.rest.is_empty() {
            return None;
        }
        let record = self.read();
        if record.is_err() {
            self.fields.rest = &[];
        }
        Some(record)
    }
}
