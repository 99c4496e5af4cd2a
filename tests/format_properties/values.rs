//! Values of every structure that obey the spec.

use keepstone::format::Structure;
use keepstone::format::codec::{Bytes, List, Text};
use keepstone::format::content::{Body, Content, Item, ListNode, ListRef};
use keepstone::format::control::{
    Condemned, Forgotten, Lineage, Run, RunStatus, Session, SessionKind, Signature, Snapshot, SnapshotState, Summary,
};
use keepstone::format::envelope::PREFIX_LEN;
use keepstone::format::epochs::{Closing, EpochRecord};
use keepstone::format::extras::{Extra, Extras, MUST_UNDERSTAND};
use keepstone::format::keys::{Argon2Cost, Epoch, Key, Keyring, Keyslot, Settings, Slot};
use keepstone::format::object_meta::{Pair, Pairs};
use keepstone::format::pack::{BlobHeader, BlobKind, Compression, Directory, Placed};
use keepstone::format::segment::{BlobRecord, PackClass, PackRecord, Segment, SegmentHeader};
use keepstone::format::tree::{
    Device, Entry, EntryKey, HardLink, Meta, Node, Time, TreeChild, TreeNode, TreeRef, Xattr, Xattrs, tag,
};
use keepstone::id::{Id, Named};
use proptest::array::uniform32;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::set;

fn id<T: Named>() -> impl Strategy<Value = Id<T>> {
    uniform32(any::<u8>()).prop_map(Id::from_bytes)
}

fn ids<T: Named>(least: usize) -> impl Strategy<Value = Vec<Id<T>>> {
    vec(id(), least..5)
}

fn bytes<const MAX: usize>(len: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Bytes<MAX>> {
    vec(any::<u8>(), len).prop_map(|bytes| Bytes::new(bytes).unwrap())
}

fn text<const MAX: usize>() -> impl Strategy<Value = Text<MAX>> {
    "\\PC{0,12}".prop_map(|text| Text::truncated(&text))
}

fn time() -> impl Strategy<Value = Time> {
    (any::<i64>(), 0u32..1_000_000_000).prop_map(|(secs, nanos)| Time { secs, nanos })
}

fn extras() -> impl Strategy<Value = Extras> {
    // From 100 on: the tags below have values with rules of their own. Tags that must be understood are
    // refused, but in entries, where the item alone is.
    let extra = (100u32..MUST_UNDERSTAND, bytes(0..20)).prop_map(|(tag, value)| Extra { tag, value });
    vec(extra, 0..4).prop_map(|extras| Extras::new(extras).unwrap())
}

fn lineage() -> impl Strategy<Value = Lineage> {
    let written = (uniform32(any::<u8>()), any::<u64>(), uniform32(any::<u8>()));
    written.prop_map(|(writer, sequence, predecessor)| Lineage { writer, sequence, predecessor })
}

fn signature() -> impl Strategy<Value = Signature> {
    let some = (1u32.., bytes(0..100)).prop_map(|(algorithm, bytes)| Signature { algorithm, bytes });
    prop_oneof![Just(Signature::default()), some]
}

fn summary() -> impl Strategy<Value = Summary> {
    uniform32(any::<u64>()).prop_map(|counts| Summary {
        files_new: counts[0],
        files_changed: counts[1],
        files_unmodified: counts[2],
        dirs: counts[3],
        others: counts[4],
        bytes_processed: counts[5],
        bytes_read: counts[6],
        blobs_added: counts[7],
        bytes_added: counts[8],
        bytes_stored: counts[9],
        troubles: counts[10],
    })
}

pub fn snapshot() -> impl Strategy<Value = Snapshot> {
    let state =
        prop_oneof![Just(SnapshotState::Complete), Just(SnapshotState::Partial), Just(SnapshotState::Checkpoint)];
    let who = (id(), lineage(), state, time(), time(), text(), text(), text());
    let what = (vec(bytes(0..20), 0..4), vec(text(), 0..4), option::of(id()), tree_ref(0..16), summary());
    (who, what, text(), signature(), extras()).prop_map(|(who, what, program, signature, extras)| {
        let (session, lineage, state, time, finished, component, host, user) = who;
        let (paths, tags, parent, root, summary) = what;
        let (paths, tags) = (set(paths), set(tags));
        Snapshot {
            session,
            lineage,
            state,
            time,
            finished,
            component,
            host,
            user,
            paths,
            tags,
            parent,
            root,
            summary,
            program,
            signature,
            extras,
        }
    })
}

pub fn session() -> impl Strategy<Value = Session> {
    let kind = prop_oneof![
        Just(SessionKind::Backup),
        Just(SessionKind::Prune),
        Just(SessionKind::Read),
        Just(SessionKind::Maintain)
    ];
    (kind, text(), any::<u32>(), time(), ids(0), text(), extras()).prop_map(
        |(kind, host, process, started, seen, program, extras)| Session {
            kind,
            host,
            process,
            started,
            seen: set(seen),
            program,
            extras,
        },
    )
}

pub fn condemned() -> impl Strategy<Value = Condemned> {
    (id(), lineage(), ids(1), signature(), extras()).prop_map(|(session, lineage, packs, signature, extras)| {
        Condemned { session, lineage, packs: set(packs), signature, extras }
    })
}

pub fn forgotten() -> impl Strategy<Value = Forgotten> {
    (lineage(), ids(1), time(), text(), text(), text(), signature(), extras()).prop_map(
        |(lineage, snapshots, time, host, user, why, signature, extras)| Forgotten {
            lineage,
            snapshots: set(snapshots),
            time,
            host,
            user,
            why,
            signature,
            extras,
        },
    )
}

pub fn run() -> impl Strategy<Value = Run> {
    let status = prop_oneof![Just(RunStatus::Done), Just(RunStatus::Partial), Just(RunStatus::Failed)];
    let begun = (id(), lineage(), text(), time(), time(), status);
    (begun, ids(0), ids(0), vec(text(), 0..4), summary(), signature(), extras()).prop_map(
        |(begun, snapshots, heads, troubles, summary, signature, extras)| {
            let (session, lineage, host, started, finished, status) = begun;
            let (snapshots, heads, troubles) = (set(snapshots), set(heads), List::new(troubles).unwrap());
            Run {
                session,
                lineage,
                host,
                started,
                finished,
                status,
                snapshots,
                heads,
                troubles,
                summary,
                signature,
                extras,
            }
        },
    )
}

fn key() -> impl Strategy<Value = Key> {
    uniform32(any::<u8>()).prop_map(Key)
}

fn epochs() -> impl Strategy<Value = Vec<Epoch>> {
    let epochs = vec((key(), key(), key(), key(), extras(), closing()), 1..4);
    (epochs, 0..3u32).prop_map(|(epochs, closed)| {
        let last = epochs.len() as u32;
        let numbered = epochs.into_iter().zip(1..);
        numbered
            .map(|((data, metadata, index, control, extras, closing), number)| Epoch {
                number,
                data,
                metadata,
                index,
                control,
                extras: closed_by(extras, (number <= closed && number < last).then_some(closing)),
            })
            .collect()
    })
}

/// These extras, with what closes the epoch or without.
fn closed_by(extras: Extras, closing: Option<Closing>) -> Extras {
    let mut extras: Vec<Extra> = extras.iter().filter(|extra| extra.tag != 1).cloned().collect();
    extras.extend(closing.map(|closing| Extra { tag: 1, value: Bytes::new(closing.to_bytes()).unwrap() }));
    Extras::new(extras).unwrap()
}

fn slot() -> impl Strategy<Value = Slot> {
    (id(), uniform32(any::<u8>()), text(), time(), extras()).prop_map(|(id, public, label, created, extras)| Slot {
        id,
        public,
        label,
        created,
        extras,
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    (any::<[u32; 4]>(), any::<u64>()).prop_map(|([chunker, chunk_min, chunk_avg, chunk_max], pack_size)| Settings {
        chunker,
        chunk_min,
        chunk_avg,
        chunk_max,
        pack_size,
    })
}

pub fn keyring() -> impl Strategy<Value = Keyring> {
    let generation = prop_oneof![Just((1, None)), (2u32.., id().prop_map(Some))];
    let keys = (key(), key(), key(), epochs(), vec(slot(), 1..4));
    let features = || vec(any::<u32>(), 0..4);
    (id(), generation, time(), keys, settings(), features(), features(), extras()).prop_map(
        |(repository, (generation, predecessor), created, keys, settings, read, write, extras)| {
            let (next_auth, identity, chunking, epochs, slots) = keys;
            Keyring {
                repository,
                generation,
                predecessor,
                created,
                next_auth,
                identity,
                chunking,
                epochs: set(epochs),
                slots: set(slots),
                settings,
                required_to_read: set(read),
                required_to_write: set(write),
                extras,
            }
        },
    )
}

pub fn closing() -> impl Strategy<Value = Closing> {
    vec(id(), 1..5).prop_map(|records| Closing { records: set(records) })
}

pub fn epoch_record() -> impl Strategy<Value = EpochRecord> {
    (any::<u32>(), vec(id(), 0..20), extras()).prop_map(|(epoch, valid, extras)| EpochRecord {
        epoch,
        valid: set(valid),
        extras,
    })
}

pub fn keyslot() -> impl Strategy<Value = Keyslot> {
    let cost = (1u32..=16, 1u32..=64).prop_flat_map(|(lanes, passes)| {
        (8 * lanes..=128 << 10).prop_map(move |memory_kib| Argon2Cost { memory_kib, passes, lanes })
    });
    let thirty_two = || uniform32(any::<u8>());
    (cost, id(), thirty_two(), thirty_two(), thirty_two(), vec(any::<u8>(), 80)).prop_map(
        |(cost, repository, salt, commitment, public, sealed)| Keyslot {
            cost,
            repository,
            salt,
            commitment,
            public,
            sealed: sealed.try_into().unwrap(),
        },
    )
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        (id(), 1u32..=16 << 20).prop_map(|(id, len)| Item::Data { id, len }),
        (1u64..1 << 40).prop_map(|len| Item::Hole { len }),
    ]
}

fn list_ref(levels: std::ops::Range<u8>) -> impl Strategy<Value = ListRef> {
    (id(), levels, 9u64..1 << 32, 0u64..1 << 50).prop_map(|(id, level, items, bytes)| ListRef {
        id,
        level,
        items,
        bytes,
    })
}

pub fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        bytes(0..=128).prop_map(|bytes| Content { size: bytes.len() as u64, body: Body::Inline(bytes) }),
        vec(item(), 1..=8).prop_map(of_items),
        list_ref(0..16).prop_map(|list| Content { size: list.bytes, body: Body::Split(list) }),
    ]
}

/// These items, or a few more bytes where they would have to stand inline.
fn of_items(mut items: Vec<Item>) -> Content {
    if let [Item::Data { len, .. }, ..] = &mut items[..] {
        *len = (*len).max(129);
    }
    Content { size: items.iter().map(Item::len).sum(), body: Body::Items(List::new(items).unwrap()) }
}

pub fn list_node() -> impl Strategy<Value = ListNode> {
    prop_oneof![
        vec(item(), 1..20).prop_map(|items| ListNode::Leaf(List::new(items).unwrap())),
        vec(list_ref(0..15), 2..10).prop_map(|children| ListNode::Interior(List::new(children).unwrap())),
    ]
}

fn tree_ref(levels: std::ops::Range<u8>) -> impl Strategy<Value = TreeRef> {
    (id(), levels, 0u64..1 << 40, 0u64..1 << 50).prop_map(|(id, level, entries, bytes)| TreeRef {
        id,
        level,
        entries,
        bytes,
    })
}

fn node() -> impl Strategy<Value = Node> {
    let device = || any::<[u32; 2]>().prop_map(|[major, minor]| Device { major, minor });
    prop_oneof![
        content().prop_map(Node::File),
        tree_ref(0..16).prop_map(Node::Directory),
        bytes(0..40).prop_map(Node::Symlink),
        Just(Node::Fifo),
        Just(Node::Socket),
        device().prop_map(Node::CharDevice),
        device().prop_map(Node::BlockDevice),
    ]
}

fn meta() -> impl Strategy<Value = Meta> {
    (0u32..=0o7777, any::<u32>(), any::<u32>(), text(), text(), time(), time(), any::<u64>()).prop_map(
        |(mode, uid, gid, user, group, mtime, ctime, inode)| Meta { mode, uid, gid, user, group, mtime, ctime, inode },
    )
}

pub fn xattrs() -> impl Strategy<Value = Xattrs> {
    let xattr = (bytes(0..20), bytes(0..50)).prop_map(|(name, value)| Xattr { name, value });
    vec(xattr, 0..5).prop_map(|xattrs| Xattrs(set(xattrs)))
}

pub fn pairs() -> impl Strategy<Value = Pairs> {
    let pair = (text(), bytes(0..50)).prop_map(|(name, value)| Pair { name, value });
    vec(pair, 0..5).prop_map(|pairs| Pairs(set(pairs)))
}

fn entry_extras() -> impl Strategy<Value = Extras> {
    let extra = |tag, value: Vec<u8>| Extra { tag, value: Bytes::new(value).unwrap() };
    let link =
        any::<[u64; 2]>().prop_map(move |[device, inode]| extra(tag::HARD_LINK, HardLink { device, inode }.to_bytes()));
    let attributes = xattrs().prop_map(move |xattrs| extra(tag::XATTRS, xattrs.to_bytes()));
    let stored = content().prop_map(move |content| extra(tag::XATTRS_CONTENT, content.to_bytes()));
    (option::of(link), option::of(prop_oneof![attributes, stored]), extras()).prop_map(|(link, attributes, others)| {
        Extras::new(link.into_iter().chain(attributes).chain(others.iter().cloned()).collect()).unwrap()
    })
}

fn entry_key() -> impl Strategy<Value = (Vec<u8>, u64)> {
    (vec(any::<u8>(), 1..12), prop_oneof![Just(0), any::<u64>()])
}

fn key_of((name, discriminator): (Vec<u8>, u64)) -> EntryKey {
    EntryKey { name: Bytes::new(name).unwrap(), discriminator }
}

pub fn tree_node() -> impl Strategy<Value = TreeNode> {
    let entries = btree_map(entry_key(), (node(), meta(), entry_extras()), 0..8).prop_map(|entries| {
        let entry = |(key, (node, meta, extras))| Entry { key: key_of(key), node, meta, extras };
        TreeNode::Leaf(List::new(entries.into_iter().map(entry).collect()).unwrap())
    });
    let children = btree_map(entry_key(), tree_ref(0..15), 2..8).prop_map(|children| {
        let child = |(key, tree)| TreeChild { last: key_of(key), tree };
        TreeNode::Interior(List::new(children.into_iter().map(child).collect()).unwrap())
    });
    prop_oneof![3 => entries, 1 => children]
}

/// A blob of a data pack.
fn blob() -> impl Strategy<Value = BlobHeader> {
    let lengths = prop_oneof![
        (1u32..=1 << 20).prop_map(|len| (BlobKind::Data, Compression::None, len, len)),
        (2u32..=1 << 20, any::<u32>()).prop_map(|(plain, less)| (
            BlobKind::Data,
            Compression::Zstd,
            less % plain,
            plain
        )),
        (0u32..=1 << 20).prop_map(|len| (BlobKind::Padding, Compression::None, len, len)),
    ];
    (id(), lengths).prop_map(|(id, (kind, compression, stored_len, plain_len))| BlobHeader {
        id,
        kind,
        compression,
        stored_len,
        plain_len,
    })
}

pub fn directory() -> impl Strategy<Value = Directory> {
    (id(), vec(blob(), 0..20)).prop_map(|(session, blobs)| {
        let mut offset = PREFIX_LEN as u64;
        let place = |blob: BlobHeader| {
            let placed = Placed { blob, offset };
            offset = placed.end();
            placed
        };
        Directory { session, blobs: blobs.into_iter().map(place).collect() }
    })
}

fn pack_record() -> impl Strategy<Value = PackRecord> {
    (id(), 64u64 << 20..=256 << 20, any::<u32>(), any::<i64>()).prop_map(|(id, len, blobs, retain_until)| PackRecord {
        id,
        len,
        class: PackClass::Data,
        blobs,
        retain_until,
    })
}

pub fn segment() -> impl Strategy<Value = Segment> {
    let record = (blob(), any::<u32>(), 0u64..32 << 20);
    let packs = vec(pack_record(), 1..4);
    (id(), lineage(), ids(0), packs, vec(record, 0..30), signature(), extras()).prop_map(
        |(session, lineage, replaces, packs, records, signature, extras)| {
            let count = packs.len() as u32;
            let record = |(blob, pack, offset)| BlobRecord { placed: Placed { blob, offset }, pack: pack % count };
            let (replaces, packs) = (set(replaces), set(packs));
            let header = SegmentHeader { session, lineage, replaces, packs, blobs: 0, signature, extras };
            Segment::new(header, records.into_iter().map(record).collect())
        },
    )
}

/// The bytes of one structure or another.
pub fn any_encoded() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        snapshot().prop_map(|value| value.to_bytes()),
        session().prop_map(|value| value.to_bytes()),
        condemned().prop_map(|value| value.to_bytes()),
        forgotten().prop_map(|value| value.to_bytes()),
        run().prop_map(|value| value.to_bytes()),
        keyring().prop_map(|value| value.to_bytes()),
        tree_node().prop_map(|value| value.to_bytes()),
        list_node().prop_map(|value| value.to_bytes()),
        content().prop_map(|value| value.to_bytes()),
        xattrs().prop_map(|value| value.to_bytes()),
        segment().prop_map(|value| value.to_bytes()),
        directory().prop_map(|value| value.to_bytes()),
        keyslot().prop_map(|value| value.to_bytes().to_vec()),
    ]
}
