"""A repository in a directory, opened with a passphrase; its snapshots, trees and content (format-spec: Reading a
repository, Layout, Key slots, Keyrings, Index segments, Trees, Content).

What is damaged is left out and remembered in `troubles`; whoever needs it meets it as `Refused`.
"""

import os
import re
from pathlib import Path

import encoding as e
import sealing as s

HEX = re.compile("[0-9a-f]{64}")
TREE_DEPTH_MAX, XATTRS_ENCODED_MAX = 4096, 1048576
CONTROL = {"snapshots": (s.SNAPSHOT, e.SNAPSHOT), "forgotten": (s.FORGOTTEN, e.FORGOTTEN), "runs": (s.RUN, e.RUN),
           "sessions": (s.SESSION, e.SESSION), "condemned": (s.CONDEMNED, e.CONDEMNED)}


class Repository:
    def __init__(self, path, passphrase):
        self.path, self.troubles = Path(path), []
        self.id = s.config((self.path / "config").read_bytes())
        self.keyring = self._newest_keyring(passphrase)
        if self.keyring.required_to_read:
            raise e.Newer("features that this reader does not know")
        self.epochs = {epoch.number: epoch for epoch in self.keyring.epochs if not e.unknown_extra(epoch)}
        self.valid = dict(self._closed_epochs())
        self.segments = self._active_segments()
        self.places = {}
        for rows in self.segments.values():
            for record, pack, offset in rows[1]:
                self.places.setdefault((record.id, record.kind), []).append((record, pack, offset))

    # Objects

    def list(self, directory):
        path = self.path / directory
        return sorted(name for name in os.listdir(path) if HEX.fullmatch(name)) if path.is_dir() else []

    def list_packs(self):
        path = self.path / "packs"
        heads = sorted(os.listdir(path)) if path.is_dir() else []
        return [name for head in heads if len(head) == 2 for name in self.list(f"packs/{head}") if name[:2] == head]

    def get(self, directory, name):
        raw = (self.path / directory / name).read_bytes()
        e.require(s.hash_of(raw).hex() == name, "its name is not its hash")
        return raw

    def each(self, directory, decode):
        """(name, decoded) of every object in a directory that is not damaged."""
        for name in self.list(directory):
            try:
                yield name, decode(self.get(directory, name))
            except e.Refused as refused:
                self.troubles.append(f"{directory}/{name}: {refused}")

    def control(self, directory):
        kind, structure = CONTROL[directory]
        return dict(self.each(directory, lambda raw: e.decode(structure, self._open(raw, kind))))

    def _open(self, raw, kind):
        """The content of a sealed object, if it did not appear under a closed epoch."""
        content, epoch = s.open_object(raw, kind, self.id, self.epochs), s.prefix(raw, kind).epoch
        valid = self.valid.get(epoch)
        e.require(valid is None or kind != s.SESSION and s.hash_of(raw) in valid, f"appeared under closed epoch {epoch}")
        return content

    def _closed_epochs(self):
        """(number, ids of the valid objects) of each closed epoch whose records are whole."""
        for epoch in self.keyring.epochs:
            valid = set()
            for ident in e.closing(epoch) or ():
                try:
                    raw = self.get("epochs", ident.hex())
                    record = e.decode(e.EPOCH_RECORD, s.open_object(raw, s.EPOCH, self.id, self.epochs))
                    e.require(record.epoch == epoch.number, "a record of another epoch")
                    valid.update(record.valid)
                except (e.Refused, OSError) as error:
                    self.troubles.append(f"epoch {epoch.number}: nobody can tell what is valid under it: {error}")
                    break
            else:
                if e.closing(epoch):
                    yield epoch.number, valid

    # Keys

    def _opened_slots(self, passphrase):
        ours = [slot for _, slot in self.each("keys", s.slot) if slot.repository == self.id]
        for slot in ours[:s.SLOTS_MAX]:
            try:
                keys = s.open_slot(slot, passphrase)
            except e.Refused as refused:
                self.troubles.append(f"a key slot: {refused}")
                continue
            if keys:
                yield keys

    def _newest_keyring(self, passphrase):
        rings = dict(self.each("keyring", s.keyring_head))
        slots = list(self._opened_slots(passphrase))
        e.require(slots, "wrong password")
        reached = {}
        for private, auth in slots:  # a slot that was replaced may be there still, and lead to old generations only
            reached |= self._reached(rings, private, auth)
        e.require(reached, "no keyring opens with this password")
        ends = reached.keys() - {ring.predecessor.hex() for ring in reached.values() if ring.predecessor}
        name = min(ends, key=lambda name: (-reached[name].generation, name))
        e.require(reached[name].repository == self.id, "a keyring of another repository")
        return reached[name]

    def _reached(self, rings, private, auth):
        reached, todo = {}, [(auth, None, None)]
        while todo:
            auth, before_name, before = todo.pop()
            for name, ring in rings.items():
                if name in reached or (before and ring.prefix.epoch != before.generation + 1):
                    continue
                try:
                    keyring = s.open_keyring(ring, private, auth)
                except e.Newer:
                    raise
                except e.Refused:
                    continue
                if before is None or follows(keyring, before_name, before):
                    reached[name] = keyring
                    todo.append((keyring.next_auth, name, keyring))
        return reached

    # Index

    def _active_segments(self):
        found = dict(self.each("index", lambda raw: s.segment(self._open(raw, s.SEGMENT))))
        replaced = {other.hex() for name, (header, _) in found.items() for other in header.replaces if other.hex() != name}
        return {name: segment for name, segment in found.items() if name not in replaced}

    def blob(self, ident, kind):
        failures = []
        for record, pack, offset in self.places.get((ident, kind), []):
            try:
                return self._blob_at(record, pack, offset)
            except (e.Refused, OSError) as error:
                failures.append(f"in pack {pack.id.hex()}: {error}")
        raise e.Refused(f"blob {ident.hex()} is missing; " + "; ".join(failures))

    def _blob_at(self, record, pack, offset):
        name = pack.id.hex()
        with open(self.path / "packs" / name[:2] / name, "rb") as file:
            head = s.prefix(file.read(s.PREFIX), s.DATA_PACK if pack.kind.choice == "data" else s.META_PACK)
            file.seek(offset)
            sealed = file.read(record.stored + s.TAG)
        return s.open_blob(self.pack_key(head), self.keyring.identity, record, offset, sealed)

    def class_key(self, head):
        e.require(head.epoch in self.epochs, f"sealed for others: epoch {head.epoch}")
        return getattr(self.epochs[head.epoch], s.CLASS_KEY[head.kind])

    def pack_key(self, head):
        return s.object_key(self.class_key(head), self.id, head)

    # Trees and content

    def snapshot(self, wanted):
        """The snapshot of an id or its beginning, or the latest that is a backup."""
        snapshots = {name: v for name, v in self.control("snapshots").items() if v.state.choice != "checkpoint"}
        if wanted == "latest":
            e.require(snapshots, "no snapshots")
            return max(snapshots.values(), key=lambda v: (v.time.secs, v.time.nanos))
        found = [v for name, v in snapshots.items() if name.startswith(wanted)]
        e.require(len(found) == 1, f"{len(found)} snapshots have ids that begin so")
        return found[0]

    def entries(self, tree, after=None, last=None):
        """All entries of a tree, in order."""
        node = e.decode(e.TREE_NODE, self.blob(tree.id, s.TREE))
        check_node(node, tree, (tree.entries, tree.bytes))
        e.require(after is None or not node.keys or after < node.keys[0], "names that do not ascend")
        e.require(last is None or node.keys and node.keys[-1] == last, "a last name that is not its node's")
        if node.choice == "leaf":
            yield from node.entries
            return
        for child in node.children:
            e.require(child.tree.level < tree.level, "a child that is not below its parent")
            yield from self.entries(child.tree, after, e.order(child.last))
            after = e.order(child.last)

    def items(self, ref):
        """All items of a split list, in order."""
        node = e.decode(e.LIST_NODE, self.blob(ref.id, s.LIST))
        check_node(node, ref, (ref.items, ref.bytes))
        if node.choice == "leaf":
            yield from node.items
            return
        for child in node.children:
            e.require(child.level < ref.level, "a child that is not below its parent")
            yield from self.items(child)

    def content(self, content):
        """The content in order: bytes, or the length of a hole."""
        body = content.body
        if body.choice == "inline":
            yield body.bytes
            return
        for item in body.items if body.choice == "items" else self.items(body.list):
            if item.choice == "hole":
                yield item.length
                continue
            plain = self.blob(item.id, s.DATA)
            e.require(len(plain) == item.length, "a data item that is not as long as its blob")
            yield plain

    def xattrs(self, entry):
        extras = {extra.tag: extra.value for extra in entry.extras}
        if e.XATTRS_CONTENT in extras:
            content = e.decode(e.CONTENT, extras[e.XATTRS_CONTENT])
            e.require(content.size <= XATTRS_ENCODED_MAX, "extended attributes over the limit")
            raw = b"".join(bytes(part) for part in self.content(content))
        else:
            raw = extras.get(e.XATTRS, bytes(4))
        return {xattr.name: xattr.value for xattr in e.decode(e.EXTENDED_ATTRIBUTES, raw)}


def follows(keyring, name, before):
    """Whether a keyring has the four properties of a successor (that it opened is the second)."""
    keys = [(epoch.number, epoch.data, epoch.metadata, epoch.index, epoch.control) for epoch in keyring.epochs]
    keys_before = [(epoch.number, epoch.data, epoch.metadata, epoch.index, epoch.control) for epoch in before.epochs]
    return (keyring.predecessor.hex() == name and keyring.generation == before.generation + 1
            and (keyring.repository, keyring.identity, keyring.chunking)
            == (before.repository, before.identity, before.chunking)
            and keys[:len(keys_before)] == keys_before and len(keys) <= len(keys_before) + 1
            and all(e.closing(epoch) or not e.closing(old) for epoch, old in zip(keyring.epochs, before.epochs)))


def check_node(node, ref, totals):
    e.require((node.choice == "leaf") == (ref.level == 0), "a level that is not the node's")
    e.require(node.totals == totals, "totals that are not the node's")
