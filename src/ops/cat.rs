//! Objects as JSON, for people who want to look inside. No key is ever part of it.

use serde_json::{Value, json};

use super::snapshots::the_one;
use crate::format::content::{Body, Content, Item, ListNode, ListRef};
use crate::format::control::{Condemned, Forgotten, Run, Session, Snapshot, SnapshotState};
use crate::format::envelope::PREFIX_LEN;
use crate::format::keys::Keyring;
use crate::format::pack::{BlobKind, Compression, Placed, TRAILER_STORED_LEN};
use crate::format::segment::{PackClass, Segment};
use crate::format::tree::{Entry, Node, Time, TreeNode, TreeRef};
use crate::format::{Malformed, Structure};
use crate::id::{BlobId, CondemnedId, ForgottenId, Id, IndexId, Named, PackId, RunId, SessionId, SnapshotId};
use crate::repo::{RepoError, Repository, Result, Stored, id_of, noun, pack_name};

/// The id of the `T` that a prefix means, as [`the_one`] says.
pub fn id_by_prefix<T: Stored>(repository: &Repository, prefix: &str) -> Result<Id<T::Mark>>
where
    T::Mark: Named,
{
    the_one(prefix, repository.objects().list::<T>()?)
}

/// The id of the pack that a prefix means.
pub fn pack_by_prefix(repository: &Repository, prefix: &str) -> Result<PackId> {
    let mut packs = Vec::new();
    let wanted = prefix.to_ascii_lowercase();
    repository.objects().store().list("packs", &mut |listed| {
        packs.extend(id_of(&listed.name).filter(|id: &PackId| id.to_hex().starts_with(&wanted)));
        Ok(())
    })?;
    the_one(prefix, packs)
}

/// The config.
pub fn config(repository: &Repository) -> Value {
    json!({ "version": crate::format::envelope::VERSION, "repository": repository.id().to_hex() })
}

/// The newest keyring, without its keys.
pub fn keyring(repository: &Repository) -> Value {
    let chain = repository.keychain();
    // Every field is named, so that one that is added is thought about here.
    let Keyring {
        repository: id,
        generation,
        predecessor,
        created,
        next_auth: _,
        identity: _,
        chunking: _,
        epochs,
        slots,
        settings,
        required_to_read,
        required_to_write,
        extras: _,
    } = &chain.keyring;
    let slots: Vec<Value> = slots
        .iter()
        .map(|slot| json!({ "id": slot.id.to_hex(), "label": &*slot.label, "created": time(slot.created) }))
        .collect();
    json!({
        "id": chain.id.to_hex(),
        "repository": id.to_hex(),
        "generation": generation,
        "predecessor": predecessor.map(|id| id.to_hex()),
        "created": time(*created),
        "epochs": epochs.iter().map(|epoch| epoch.number).collect::<Vec<_>>(),
        "slots": slots,
        "settings": {
            "chunker": settings.chunker,
            "chunk_min": settings.chunk_min,
            "chunk_avg": settings.chunk_avg,
            "chunk_max": settings.chunk_max,
            "pack_size": settings.pack_size,
        },
        "required_to_read": required_to_read.to_vec(),
        "required_to_write": required_to_write.to_vec(),
    })
}

/// A snapshot.
pub fn snapshot(repository: &Repository, id: &SnapshotId) -> Result<Value> {
    Ok(snapshot_value(id, &repository.objects().get::<Snapshot>(id)?))
}

/// A snapshot that was read already.
pub fn snapshot_value(id: &SnapshotId, snapshot: &Snapshot) -> Value {
    let state = match snapshot.state {
        SnapshotState::Complete => "complete",
        SnapshotState::Partial => "partial",
        SnapshotState::Checkpoint => "checkpoint",
    };
    json!({
        "id": id.to_hex(),
        "session": snapshot.session.to_hex(),
        "state": state,
        "time": time(snapshot.time),
        "finished": time(snapshot.finished),
        "component": &*snapshot.component,
        "host": &*snapshot.host,
        "user": &*snapshot.user,
        "paths": snapshot.paths.iter().map(|path| text(path)).collect::<Vec<_>>(),
        "tags": snapshot.tags.iter().map(|tag| tag.to_string()).collect::<Vec<_>>(),
        "parent": snapshot.parent.map(|id| id.to_hex()),
        "root": tree_ref(&snapshot.root),
        "summary": summary(&snapshot.summary),
        "program": &*snapshot.program,
    })
}

fn summary(summary: &crate::format::control::Summary) -> Value {
    json!({
        "files_new": summary.files_new,
        "files_changed": summary.files_changed,
        "files_unmodified": summary.files_unmodified,
        "dirs": summary.dirs,
        "others": summary.others,
        "bytes_processed": summary.bytes_processed,
        "bytes_read": summary.bytes_read,
        "blobs_added": summary.blobs_added,
        "bytes_added": summary.bytes_added,
        "bytes_stored": summary.bytes_stored,
        "troubles": summary.troubles,
    })
}

/// An index segment: its packs, and how many blobs of each it lists.
pub fn index(repository: &Repository, id: &IndexId) -> Result<Value> {
    let segment = repository.objects().get::<Segment>(id)?;
    let mut rows = vec![0u64; segment.header.packs.len()];
    segment
        .records
        .iter()
        .filter_map(|record| rows.get_mut(record.pack as usize).map(|rows| *rows += 1))
        .for_each(drop);
    let packs: Vec<Value> = segment
        .header
        .packs
        .iter()
        .zip(rows)
        .map(|(pack, rows)| {
            let class = if pack.class == PackClass::Data { "data" } else { "metadata" };
            json!({ "id": pack.id.to_hex(), "len": pack.len, "class": class, "blobs": pack.blobs, "listed": rows })
        })
        .collect();
    Ok(json!({
        "id": id.to_hex(),
        "session": segment.header.session.to_hex(),
        "replaces": hex(&segment.header.replaces),
        "blobs": segment.records.len(),
        "packs": packs,
    }))
}

/// The directory of a pack, from the pack itself.
pub fn pack(repository: &Repository, id: &PackId) -> Result<Value> {
    let name = pack_name(id);
    let damaged = |why: String| RepoError::Damaged { object: name.to_string(), why };
    let len = repository.objects().store().len(&name)?;
    let prefix = repository.read_pack_range(id, 0, PREFIX_LEN as u64)?;
    let class =
        match crate::format::envelope::Prefix::split(&prefix).map_err(|error| RepoError::malformed(&name, error))? {
            (prefix, _) if prefix.kind == PackClass::Meta.object_kind() => PackClass::Meta,
            _ => PackClass::Data,
        };
    let opener = repository.opener(id, class)?;
    let end = len.checked_sub(TRAILER_STORED_LEN as u64).ok_or_else(|| damaged("shorter than any pack".into()))?;
    let sealed = repository.read_pack_range(id, end, TRAILER_STORED_LEN as u64)?;
    let trailer = opener.open_trailer(len, &sealed).map_err(|error| damaged(error.to_string()))?;
    let offset = trailer.directory_offset(len).map_err(|error| damaged(error.to_string()))?;
    let sealed = repository.read_pack_range(id, offset, trailer.directory_stored_len)?;
    let directory = opener.open_directory(offset, sealed).map_err(|error| damaged(error.to_string()))?;
    Ok(json!({
        "id": id.to_hex(),
        "len": len,
        "session": directory.session.to_hex(),
        "blobs": directory.blobs.iter().map(placed).collect::<Vec<_>>(),
    }))
}

fn placed(placed: &Placed) -> Value {
    let blob = &placed.blob;
    json!({
        "id": blob.id.to_hex(),
        "kind": noun(blob.kind),
        "compression": if blob.compression == Compression::None { "none" } else { "zstd" },
        "offset": placed.offset,
        "stored_len": blob.stored_len,
        "plain_len": blob.plain_len,
    })
}

/// The report of a run.
pub fn run(repository: &Repository, id: &RunId) -> Result<Value> {
    let run = repository.objects().get::<Run>(id)?;
    Ok(json!({
        "id": id.to_hex(),
        "session": run.session.to_hex(),
        "host": &*run.host,
        "started": time(run.started),
        "finished": time(run.finished),
        "status": format!("{:?}", run.status).to_lowercase(),
        "snapshots": hex(&run.snapshots),
        "heads": hex(&run.heads),
        "troubles": run.troubles.iter().map(|trouble| trouble.to_string()).collect::<Vec<_>>(),
        "summary": summary(&run.summary),
    }))
}

/// The announcement of a session.
pub fn session(repository: &Repository, id: &SessionId) -> Result<Value> {
    let session = repository.objects().get::<Session>(id)?;
    Ok(json!({
        "id": id.to_hex(),
        "kind": format!("{:?}", session.kind).to_lowercase(),
        "host": &*session.host,
        "process": session.process,
        "started": time(session.started),
        "seen": hex(&session.seen),
        "program": &*session.program,
    }))
}

/// A record of condemned packs.
pub fn condemned(repository: &Repository, id: &CondemnedId) -> Result<Value> {
    let record = repository.objects().get::<Condemned>(id)?;
    Ok(json!({ "id": id.to_hex(), "session": record.session.to_hex(), "packs": hex(&record.packs) }))
}

/// A record of removed snapshots.
pub fn forgotten(repository: &Repository, id: &ForgottenId) -> Result<Value> {
    let record = repository.objects().get::<Forgotten>(id)?;
    Ok(json!({
        "id": id.to_hex(),
        "snapshots": hex(&record.snapshots),
        "time": time(record.time),
        "host": &*record.host,
        "user": &*record.user,
        "why": &*record.why,
    }))
}

/// The node that a reference leads to.
pub fn tree(repository: &Repository, tree: &TreeRef) -> Result<Value> {
    Ok(tree_node(&tree.id, &repository.read_tree(tree)?))
}

/// The plaintext of a blob, and what kind it is by the index.
pub fn blob_bytes(repository: &Repository, id: &BlobId) -> Result<(BlobKind, Vec<u8>)> {
    let mut locations = repository.view().locate(id)?;
    if locations.is_empty() {
        repository.refresh_index()?;
        locations = repository.view().locate(id)?;
    }
    let missing = || RepoError::Missing { what: format!("blob {id}") };
    let kind = locations.first().ok_or_else(missing)?.placed.blob.kind;
    Ok((kind, repository.read_blob(kind, id)?))
}

/// A blob: nodes of trees and lists in full, of data its length.
pub fn blob(repository: &Repository, id: &BlobId) -> Result<Value> {
    let (kind, plain) = blob_bytes(repository, id)?;
    let broken = |error: Malformed| RepoError::malformed(format!("{} blob {id}", noun(kind)), error);
    Ok(match kind {
        BlobKind::Tree => tree_node(id, &TreeNode::from_bytes(&plain).map_err(broken)?),
        BlobKind::List => list_node(id, &ListNode::from_bytes(&plain).map_err(broken)?),
        _ => json!({ "id": id.to_hex(), "kind": noun(kind), "len": plain.len() }),
    })
}

fn tree_node(id: &BlobId, node: &TreeNode) -> Value {
    match node {
        TreeNode::Leaf(entries) => {
            let entries: Vec<Value> = entries.iter().map(entry).collect();
            json!({ "id": id.to_hex(), "kind": "tree", "entries": entries })
        }
        TreeNode::Interior(children) => {
            let child = |child: &crate::format::tree::TreeChild| json!({ "last": text(&child.last.name), "tree": tree_ref(&child.tree) });
            json!({ "id": id.to_hex(), "kind": "tree", "children": children.iter().map(child).collect::<Vec<_>>() })
        }
    }
}

fn list_node(id: &BlobId, node: &ListNode) -> Value {
    match node {
        ListNode::Leaf(items) => {
            json!({ "id": id.to_hex(), "kind": "list", "items": items.iter().map(item).collect::<Vec<_>>() })
        }
        ListNode::Interior(children) => {
            json!({ "id": id.to_hex(), "kind": "list", "children": children.iter().map(list_ref).collect::<Vec<_>>() })
        }
    }
}

/// An entry of a tree.
pub fn entry(entry: &Entry) -> Value {
    let meta = &entry.meta;
    let (kind, holds) = node(&entry.node);
    json!({
        "name": text(&entry.key.name),
        "discriminator": entry.key.discriminator,
        "type": kind,
        "holds": holds,
        "mode": format!("{:04o}", meta.mode),
        "uid": meta.uid,
        "gid": meta.gid,
        "user": &*meta.user,
        "group": &*meta.group,
        "mtime": time(meta.mtime),
        "ctime": time(meta.ctime),
        "inode": meta.inode,
        "extras": entry.extras.iter().map(|extra| json!({ "tag": extra.tag, "len": extra.value.len() })).collect::<Vec<_>>(),
    })
}

fn node(node: &Node) -> (&'static str, Value) {
    match node {
        Node::File(of) => ("file", content(of)),
        Node::Directory(tree) => ("dir", tree_ref(tree)),
        Node::Symlink(target) => ("symlink", text(target)),
        Node::Fifo => ("fifo", Value::Null),
        Node::Socket => ("socket", Value::Null),
        Node::CharDevice(device) => ("chardev", json!({ "major": device.major, "minor": device.minor })),
        Node::BlockDevice(device) => ("dev", json!({ "major": device.major, "minor": device.minor })),
    }
}

fn content(content: &Content) -> Value {
    let body = match &content.body {
        Body::Inline(bytes) => json!({ "inline": text(bytes) }),
        Body::Items(items) => json!({ "items": items.iter().map(item).collect::<Vec<_>>() }),
        Body::Split(list) => json!({ "list": list_ref(list) }),
    };
    json!({ "size": content.size, "body": body })
}

fn item(item: &Item) -> Value {
    match item {
        Item::Data { id, len } => json!({ "blob": id.to_hex(), "len": len }),
        Item::Hole { len } => json!({ "hole": len }),
    }
}

fn list_ref(list: &ListRef) -> Value {
    json!({ "id": list.id.to_hex(), "level": list.level, "items": list.items, "bytes": list.bytes })
}

fn tree_ref(tree: &TreeRef) -> Value {
    json!({ "id": tree.id.to_hex(), "level": tree.level, "entries": tree.entries, "bytes": tree.bytes })
}

fn hex<M>(ids: &[Id<M>]) -> Vec<String> {
    ids.iter().map(Id::to_hex).collect()
}

/// Bytes as text; what is no text as `{"hex": …}`, so that nothing is lost.
fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

/// RFC 3339 in UTC; a time that has no such form as seconds.
fn time(time: Time) -> Value {
    let nanos = i32::try_from(time.nanos).unwrap_or(0);
    match jiff::Timestamp::new(time.secs, nanos) {
        Ok(at) => json!(at.to_string()),
        Err(_) => json!(time.secs),
    }
}
