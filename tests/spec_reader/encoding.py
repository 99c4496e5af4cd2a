"""Encoded structures (format-spec: Encoding, Structures, Limits): decoded with all their rules, and encoded again.

A type has `read(cursor)` and `write(value)`. A structure's value is a `Value` with its fields as attributes;
a choice's value has the name of the alternative in `choice` besides.
"""

import struct

BLOB_PLAIN_MAX = 16777216
PACK_MAX = 268435456
SEGMENT_BLOBS_MAX = 1048576
LEVEL_MAX = 15
INLINE_MAX = 128
ITEMS_IN_ENTRY_MAX = 8
MUST_UNDERSTAND = 0x80000000
XATTRS, XATTRS_CONTENT, HARD_LINK = 1, 2, 3


class Refused(Exception):
    """Bytes that break a rule of the format."""


class Newer(Refused):
    """Bytes that a later version of the format made."""


def require(holds, rule):
    if not holds:
        raise Refused(rule)


class Value:
    def __init__(self, **fields):
        self.__dict__.update(fields)


class Cursor:
    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def take(self, n):
        require(n <= len(self.raw) - self.at, "ends too early")
        self.at += n
        return self.raw[self.at - n:self.at]

    def finish(self):
        require(self.at == len(self.raw), "bytes after its end")


class Int:
    def __init__(self, form):
        self.form = struct.Struct("<" + form)

    def read(self, c):
        return self.form.unpack(c.take(self.form.size))[0]

    def write(self, v):
        return self.form.pack(v)


class Fixed:
    def __init__(self, n):
        self.n = n

    def read(self, c):
        return c.take(self.n)

    def write(self, v):
        return v


class Bytes:
    def __init__(self, most):
        self.most = most

    def read(self, c):
        n = U32.read(c)
        require(n <= self.most, f"{n} bytes are over the limit of {self.most}")
        return c.take(n)

    def write(self, v):
        return U32.write(len(v)) + v


class Text(Bytes):
    def read(self, c):
        try:
            return super().read(c).decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("text is not UTF-8") from None

    def write(self, v):
        return super().write(v.encode("utf-8"))


class List:
    def __init__(self, item, most):
        self.item, self.most = item, most

    def read(self, c):
        n = U32.read(c)
        require(n <= self.most, f"{n} items are over the limit of {self.most}")
        require(n <= len(c.raw) - c.at, "ends too early")  # each takes one byte or more
        return [self.item.read(c) for _ in range(n)]

    def write(self, v):
        return U32.write(len(v)) + b"".join(map(self.item.write, v))


class Set(List):
    def __init__(self, item, most, key=lambda v: v):
        super().__init__(item, most)
        self.key = key

    def read(self, c):
        v = super().read(c)
        ascending(list(map(self.key, v)))
        return v


class Option:
    def __init__(self, item):
        self.item = item

    def read(self, c):
        flag = U8.read(c)
        require(flag <= 1, f"unknown choice {flag}")
        return self.item.read(c) if flag else None

    def write(self, v):
        return b"\0" if v is None else b"\1" + self.item.write(v)


class Structure:
    def __init__(self, fields, rule=lambda v: None):
        self.fields, self.rule = fields, rule

    def read(self, c):
        v = Value(**{name: kind.read(c) for name, kind in self.fields.items()})
        self.rule(v)
        return v

    def write(self, v):
        return b"".join(kind.write(getattr(v, name)) for name, kind in self.fields.items())


class Choice:
    def __init__(self, *alternatives, rule=lambda v: None):
        self.alternatives, self.rule = alternatives, rule

    def read(self, c):
        number = U32.read(c)
        if number >= len(self.alternatives):
            raise Newer(f"unknown choice {number}")
        name, fields = self.alternatives[number]
        v = Structure(fields).read(c)
        v.choice = name
        self.rule(v)
        return v

    def write(self, v):
        number = [name for name, _ in self.alternatives].index(v.choice)
        return U32.write(number) + Structure(self.alternatives[number][1]).write(v)


def decode(kind, raw):
    c = Cursor(raw)
    v = kind.read(c)
    c.finish()
    return v


def ascending(keys, rule="keys that are not strictly ascending"):
    require(all(a < b for a, b in zip(keys, keys[1:])), rule)


def total(numbers):
    n = sum(numbers)
    require(n < 1 << 64, "a sum over 64 bits")
    return n


def names(*alternatives):
    return Choice(*((name, {}) for name in alternatives))


U8, U16, U32, U64, I64, ID = Int("B"), Int("H"), Int("I"), Int("Q"), Int("q"), Fixed(32)
LABEL, OWNER = Text(1024), Text(256)
TIME = Structure({"secs": I64, "nanos": U32}, lambda v: require(v.nanos < 10**9, "a billion nanoseconds or more"))
EXTRAS = Set(Structure({"tag": U32, "value": Bytes(4096)}), 64, lambda v: v.tag)
LINEAGE = Structure({"writer": Fixed(32), "sequence": U64, "predecessor": Fixed(32)})
SIGNATURE = Structure({"algorithm": U32, "bytes": Bytes(8192)},
                      lambda v: require(v.algorithm or not v.bytes, "a signature under no algorithm"))


def unknown_extra(v):
    """Whether the item means nothing to this reader (Growing)."""
    return any(extra.tag >= MUST_UNDERSTAND for extra in v.extras)


def understood(v):
    if unknown_extra(v):
        raise Newer("an extra that must be understood")


def ref(inner, what):
    def rule(v):
        require(v.level <= inner, f"a {what} deeper than the limit")
    return rule


# Content

ITEM = Choice(("data", {"id": ID, "length": U32}), ("hole", {"length": U64}),
              rule=lambda v: require(1 <= v.length <= (BLOB_PLAIN_MAX if v.choice == "data" else v.length),
                                     f"a {v.choice} item of {v.length} bytes"))


def list_ref(deepest):
    return Structure({"id": ID, "level": U8, "items": U64, "bytes": U64}, ref(deepest, "list"))


def list_node_rule(v):
    if v.choice == "leaf":
        require(v.items, "an empty leaf")
        v.totals = len(v.items), total(i.length for i in v.items)
    else:
        require(len(v.children) >= 2, "fewer than two children")
        v.totals = total(r.items for r in v.children), total(r.bytes for r in v.children)


def body_rule(v):
    if v.choice == "inline":
        v.sum = len(v.bytes)
    elif v.choice == "items":
        require(v.items, "no items")
        v.sum = total(i.length for i in v.items)
    else:
        require(v.list.items > ITEMS_IN_ENTRY_MAX, "a split list that should not be one")
        v.sum = v.list.bytes


def content_rule(v):
    require(v.body.sum == v.size, f"size {v.size} but content of {v.body.sum}")
    holes = v.body.choice == "items" and any(i.choice == "hole" for i in v.body.items)
    require(v.body.choice != "items" or v.size > INLINE_MAX or holes, "short content that is not inline")


LIST_NODE = Choice(("leaf", {"items": List(ITEM, 1024)}), ("interior", {"children": List(list_ref(14), 1024)}),
                   rule=list_node_rule)
BODY = Choice(("inline", {"bytes": Bytes(INLINE_MAX)}), ("items", {"items": List(ITEM, ITEMS_IN_ENTRY_MAX)}),
              ("split", {"list": list_ref(LEVEL_MAX)}), rule=body_rule)
CONTENT = Structure({"size": U64, "body": BODY}, content_rule)

# Trees

KEY = Structure({"name": Bytes(4096), "discriminator": U64})
META = Structure({"mode": U32, "uid": U32, "gid": U32, "user": OWNER, "group": OWNER, "mtime": TIME, "ctime": TIME,
                  "inode": U64}, lambda v: require(v.mode <= 0o7777, "mode bits that are none"))
EXTENDED_ATTRIBUTES = Set(Structure({"name": Bytes(255), "value": Bytes(65536)}), 4096, lambda v: v.name)
PAIRS = Set(Structure({"name": Text(1024), "value": Bytes(4096)}), 1024, lambda v: v.name)
HARD_LINK_IDENTITY = Structure({"device": U64, "inode": U64})
BEGINNING_OF_A_FILE = Structure({"size": U64})


def tree_ref(deepest):
    return Structure({"id": ID, "level": U8, "entries": U64, "bytes": U64}, ref(deepest, "tree"))


def order(key):
    return key.name, key.discriminator


def entry_rule(v):
    require(v.key.name, "an entry without a name")
    require(not {XATTRS, XATTRS_CONTENT} <= {extra.tag for extra in v.extras}, "extended attributes twice")


def entry_totals(entry):
    if entry.node.choice == "directory":
        return 1 + entry.node.tree.entries, entry.node.tree.bytes
    return 1, entry.node.content.size if entry.node.choice == "file" else 0


def tree_node_rule(v):
    if v.choice == "leaf":
        v.keys = [order(e.key) for e in v.entries]
        sums = [entry_totals(e) for e in v.entries]
    else:
        require(len(v.children) >= 2, "fewer than two children")
        v.keys = [order(child.last) for child in v.children]
        sums = [(child.tree.entries, child.tree.bytes) for child in v.children]
    ascending(v.keys, "names that do not ascend")
    v.totals = total(n for n, _ in sums), total(b for _, b in sums)


NODE = Choice(("file", {"content": CONTENT}), ("directory", {"tree": tree_ref(LEVEL_MAX)}),
              ("symlink", {"target": Bytes(65535)}), ("fifo", {}), ("socket", {}),
              ("char device", {"major": U32, "minor": U32}), ("block device", {"major": U32, "minor": U32}))
ENTRY = Structure({"key": KEY, "node": NODE, "meta": META, "extras": EXTRAS}, entry_rule)
TREE_NODE = Choice(("leaf", {"entries": List(ENTRY, 1024)}),
                   ("interior", {"children": List(Structure({"last": KEY, "tree": tree_ref(14)}), 1024)}),
                   rule=tree_node_rule)

# Index, control objects, keys

PACK_RECORD = Structure({"id": ID, "len": U64, "kind": names("data", "meta"), "blobs": U32, "retain_until": I64},
                        lambda v: require(v.len <= PACK_MAX, "a pack over the limit"))


def segment_rule(v):
    understood(v)
    require(v.blobs <= SEGMENT_BLOBS_MAX, "more blobs than the limit")


SEGMENT_HEADER = Structure({"session": ID, "lineage": LINEAGE, "replaces": Set(ID, 65536),
                            "packs": Set(PACK_RECORD, 65536, lambda v: v.id), "blobs": U32,
                            "signature": SIGNATURE, "extras": EXTRAS}, segment_rule)
SUMMARY = Structure({name: U64 for name in (
    "files_new", "files_changed", "files_unmodified", "dirs", "others", "bytes_processed", "bytes_read",
    "blobs_added", "bytes_added", "bytes_stored", "troubles")})
ORIGINAL = 1


def snapshot_rule(v):
    understood(v)
    require(all(len(extra.value) == 32 for extra in v.extras if extra.tag == ORIGINAL), "an original that is no id")


SNAPSHOT = Structure({
    "session": ID, "lineage": LINEAGE, "state": names("complete", "partial", "checkpoint"), "time": TIME,
    "finished": TIME, "component": LABEL, "host": LABEL, "user": LABEL, "paths": Set(Bytes(65535), 4096),
    "tags": Set(LABEL, 256, lambda v: v.encode()), "parent": Option(ID), "root": tree_ref(LEVEL_MAX),
    "summary": SUMMARY, "program": LABEL, "signature": SIGNATURE, "extras": EXTRAS}, snapshot_rule)
SESSION = Structure({"kind": names("backup", "prune", "read", "maintain"), "host": LABEL, "process": U32,
                     "started": TIME, "seen": Set(ID, 65536), "program": LABEL, "extras": EXTRAS}, understood)


def condemned_rule(v):
    understood(v)
    require(v.packs, "no packs")


def forgotten_rule(v):
    understood(v)
    require(v.snapshots, "no snapshots")


CONDEMNED = Structure({"session": ID, "lineage": LINEAGE, "packs": Set(ID, 65536), "signature": SIGNATURE,
                       "extras": EXTRAS}, condemned_rule)
FORGOTTEN = Structure({"lineage": LINEAGE, "snapshots": Set(ID, 65536), "time": TIME, "host": LABEL, "user": LABEL,
                       "why": LABEL, "signature": SIGNATURE, "extras": EXTRAS}, forgotten_rule)
RUN = Structure({"session": ID, "lineage": LINEAGE, "host": LABEL, "started": TIME, "finished": TIME,
                 "status": names("done", "partial", "failed"), "snapshots": Set(ID, 65536), "heads": Set(ID, 65536),
                 "troubles": List(LABEL, 1000), "summary": SUMMARY, "signature": SIGNATURE, "extras": EXTRAS},
                understood)


def closing_rule(v):
    require(v.records, "no epoch records")


CLOSING = Structure({"records": Set(ID, 100)}, closing_rule)
EPOCH_RECORD = Structure({"epoch": U32, "valid": Set(ID, 262144), "extras": EXTRAS}, understood)
CLOSED_BY = 1


def closing(epoch):
    """The ids of the records that close an epoch; None if it is open."""
    values = [extra.value for extra in epoch.extras if extra.tag == CLOSED_BY]
    return decode(CLOSING, values[0]).records if values else None


def keyring_rule(v):
    understood(v)
    require(v.generation >= 1 and (v.generation == 1) == (v.predecessor is None),
            "a generation that does not fit its predecessor")
    require(v.epochs and v.slots, "no epoch or no slot")
    require([e.number for e in v.epochs] == list(range(1, len(v.epochs) + 1)), "epochs with a gap")
    require(len({slot.public for slot in v.slots}) == len(v.slots), "two slots with one public key")
    closed = [closing(epoch) is not None for epoch in v.epochs]
    require(not closed[-1], "the current epoch is closed")
    require(closed == sorted(closed, reverse=True), "a closed epoch after one that is open")


EPOCH = Structure({"number": U32, "data": ID, "metadata": ID, "index": ID, "control": ID, "extras": EXTRAS})
SLOT = Structure({"id": ID, "public": ID, "label": LABEL, "created": TIME, "extras": EXTRAS})
SETTINGS = Structure({"chunker": U32, "chunk_min": U32, "chunk_avg": U32, "chunk_max": U32, "pack_size": U64})
KEYRING = Structure({
    "repository": ID, "generation": U32, "predecessor": Option(ID), "created": TIME, "next_auth": ID, "identity": ID,
    "chunking": ID, "epochs": Set(EPOCH, 1024, lambda v: v.number), "slots": Set(SLOT, 32, lambda v: v.id),
    "settings": SETTINGS, "required_to_read": Set(U32, 64), "required_to_write": Set(U32, 64), "extras": EXTRAS},
    keyring_rule)
