"""Envelope, padding, keys, sealed objects, blobs and packs (format-spec: Sealing, Keys, Packs, Index)."""

import struct

from argon2.low_level import Type, hash_secret_raw
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
import zstandard

from encoding import (BLOB_PLAIN_MAX, KEYRING, PACK_MAX, SEGMENT_HEADER, Cursor, Newer, Refused, Value, ascending,
                      decode, require)

MAGIC = b"keepston"
PREFIX, TAG, RECORD, TRAILER = 52, 16, 65536, 32
DATA_PACK, META_PACK, SEGMENT, SNAPSHOT, FORGOTTEN, RUN, SESSION, CONDEMNED, KEYRING_OBJECT, SLOT_OBJECT, EPOCH = range(1, 12)
DATA, TREE, LIST, PADDING = range(1, 5)
CLASS_KEY = {DATA_PACK: "data", META_PACK: "metadata", SEGMENT: "index", SNAPSHOT: "control", FORGOTTEN: "control",
             RUN: "control", SESSION: "control", CONDEMNED: "control", EPOCH: "control"}
OBJECT_MAX, SEGMENT_MAX, PACK_BLOBS_MAX, SLOTS_MAX = 16777216, 134217728, 1048576, 32
NO_NONCE = bytes(12)


def hash_of(raw):
    return blake3(raw).digest()


def keyed(key, raw):
    return blake3(raw, key=key).digest()


def derive(key, purpose, bound=b""):
    return keyed(key, purpose.encode() + b"\0" + bound)


def unseal(key, nonce, associated, sealed, what):
    require(len(sealed) >= TAG, f"{what} is not authentic")
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, associated)
    except InvalidTag:
        raise Refused(f"{what} is not authentic") from None


# Envelope and sealed objects

def version(raw):
    require(raw[:8] == MAGIC, "does not begin as a keepstone object does")
    number = struct.unpack_from("<H", raw, 8)[0]
    require(number != 0, "format version 0")
    if number != 1:
        raise Newer(f"format version {number}")


def prefix(raw, kind=None):
    require(len(raw) >= PREFIX, "ends too early")
    version(raw)
    found, mode, domain, epoch = struct.unpack_from("<BBII", raw, 10)
    require(found not in (0, SLOT_OBJECT), f"object kind {found}")
    if found > EPOCH or mode not in (1, 3):
        raise Newer(f"object kind {found}, key mode {mode}")
    require((mode == 3) == (found == KEYRING_OBJECT), "a key mode that this kind does not have")
    if domain:
        raise Newer(f"domain {domain}")
    require(kind in (None, found), "another kind of object")
    return Value(raw=bytes(raw[:PREFIX]), kind=found, mode=mode, domain=domain, epoch=epoch, salt=raw[20:PREFIX])


def object_key(class_key, repository, head):
    return derive(class_key, "keepstone v1 object key", repository + head.raw)


def records(key, raw):
    require(raw, "no records")
    parts, step = [], RECORD + TAG
    for i, at in enumerate(range(0, len(raw), step)):
        last = at + step >= len(raw)
        nonce = struct.pack("<Q3xB", i, last)
        parts.append(unseal(key, nonce, None, raw[at:at + step], f"record {i}"))
    require(parts[-1], "an empty last record")
    return b"".join(parts)


def padme(length):
    if length <= 1:
        return length
    e = length.bit_length() - 1
    z = e - (e.bit_length() - 1 if e else 0) - 1
    mask = (1 << max(z, 0)) - 1
    return (length + mask) & ~mask


def unpad(padded):
    c = Cursor(padded)
    length = struct.unpack("<Q", c.take(8))[0]
    require(length <= len(padded) - 8, "content longer than its object")
    require(len(padded) == max(padme(length + 8), 512), "not the padding that the content calls for")
    require(not any(padded[8 + length:]), "padding that is not zeros")
    return padded[8:8 + length]


def open_object(raw, kind, repository, epochs):
    """The content of a sealed object of kinds 3 to 8 and 11; `epochs` by number."""
    require(len(raw) <= (SEGMENT_MAX if kind == SEGMENT else OBJECT_MAX), "an object over the limit")
    head = prefix(raw, kind)
    require(head.epoch in epochs, f"sealed for others: epoch {head.epoch}")
    key = object_key(getattr(epochs[head.epoch], CLASS_KEY[kind]), repository, head)
    return unpad(records(key, raw[PREFIX:]))


# Config, key slots, keyrings

def config(raw):
    require(len(raw) == 48, "not the length of a config")
    version(raw)
    if any(raw[10:16]):
        raise Newer("reserved bytes in use")
    return raw[16:]


def slot(raw):
    require(len(raw) == 232, "not the length of a key slot")
    version(raw)
    kind, slot_kind, memory, passes, lanes = struct.unpack_from("<BBIII", raw, 10)
    require(kind == SLOT_OBJECT, "another kind of object")
    if slot_kind != 1:
        raise Newer(f"slot kind {slot_kind}")
    require(8 <= memory <= 131072 and 1 <= passes <= 64 and 1 <= lanes <= 16 and memory >= 8 * lanes,
            "Argon2 parameters outside the limits")
    return Value(header=raw[:152], memory=memory, passes=passes, lanes=lanes, repository=raw[24:56], salt=raw[56:88],
                 commitment=raw[88:120], public=raw[120:152], secret=raw[152:])


def public_of(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def open_slot(s, passphrase):
    """The private key and the auth key; None if it is another passphrase's slot."""
    root = hash_secret_raw(passphrase, s.salt, s.passes, s.memory, s.lanes, 32, Type.ID, version=0x13)
    if derive(root, "keepstone v1 slot commitment", s.header[:88]) != s.commitment:
        return None
    secret = unseal(derive(root, "keepstone v1 slot key"), NO_NONCE, s.header, s.secret, "key slot")
    require(public_of(secret[:32]) == s.public, "a public key that is not the private key's")
    return secret[:32], secret[32:]


def keyring_head(raw):
    """Prefix, ephemeral key, the wrapped file key of each slot by public key, whole header, records."""
    require(len(raw) <= OBJECT_MAX, "an object over the limit")
    head, c = prefix(raw, KEYRING_OBJECT), Cursor(raw)
    c.take(PREFIX)
    ephemeral, count = c.take(32), struct.unpack("<H", c.take(2))[0]
    require(1 <= count <= SLOTS_MAX, f"{count} stanzas")
    stanzas = [(c.take(32), c.take(48)) for _ in range(count)]
    ascending([public for public, _ in stanzas], "stanzas that do not ascend")
    return Value(prefix=head, ephemeral=ephemeral, stanzas=dict(stanzas), header=raw[:c.at], records=raw[c.at:])


def file_key(ring, private):
    public = public_of(private)
    require(public in ring.stanzas, "sealed for others")
    try:
        shared = X25519PrivateKey.from_private_bytes(private).exchange(
            X25519PublicKey.from_public_bytes(ring.ephemeral))
    except ValueError:
        raise Refused("a shared secret of zeros") from None
    wrapping = derive(shared, "keepstone v1 keyring wrap", ring.ephemeral + public + ring.prefix.raw)
    return unseal(wrapping, NO_NONCE, None, ring.stanzas[public], "stanza")


def open_keyring(ring, private, auth):
    key = derive(file_key(ring, private), "keepstone v1 keyring key", auth + ring.header)
    keyring = decode(KEYRING, unpad(records(key, ring.records)))
    require(keyring.generation == ring.prefix.epoch, "a generation that is not its envelope's")
    return keyring


# Blobs and packs

def blob_id(identity, kind, plain):
    return keyed(derive(identity, "keepstone v1 blob id", bytes([kind])), plain)


def blob_record(raw):
    require(len(raw) == 42, "not the length of a blob record")
    ident, kind, compression, stored, plain = struct.unpack("<32sBBII", raw)
    if not DATA <= kind <= PADDING or compression > 1:
        raise Newer(f"blob kind {kind}, compression {compression}")
    require(stored <= BLOB_PLAIN_MAX and plain <= BLOB_PLAIN_MAX, "a blob over the limit")
    require(stored == plain if not compression else stored < plain and kind != PADDING,
            "lengths that its compression does not give")
    require(plain or kind == PADDING, "an empty blob")
    return Value(raw=raw, id=ident, kind=kind, compression=compression, stored=stored, plain=plain)


def frame_content_size(raw):
    """The content size that the header of a zstd frame states, and where its blocks begin."""
    c = Cursor(raw)
    require(c.take(4) == b"\x28\xb5\x2f\xfd", "does not begin with a zstd frame")
    flags = c.take(1)[0]
    single, size_len = flags & 0x20, (flags & 0x20 and 1, 2, 4, 8)[flags >> 6]
    require(not flags & 0x08, "a reserved bit")
    require(not flags & 0x03, "a dictionary id")
    require(size_len, "no content size")
    window = 0
    if not single:
        b = c.take(1)[0]
        window = (1 << 10 + (b >> 3)) // 8 * (8 + (b & 7))
    size = int.from_bytes(c.take(size_len), "little") + (256 if size_len == 2 else 0)
    require(max(window, size if single else 0) <= 1 << 24, "a window over 16 MiB")
    return size, c.at


def frame_end(raw, at):
    checksum = 4 if raw[4] & 0x04 else 0
    while True:
        require(at + 3 <= len(raw), "not exactly one frame")
        head = int.from_bytes(raw[at:at + 3], "little")
        at += 3 + (1 if head >> 1 & 3 == 1 else head >> 3)
        if head & 1:
            return at + checksum


def decompress(raw, plain):
    size, at = frame_content_size(raw)
    require(size == plain, "does not state its plaintext length")
    require(frame_end(raw, at) == len(raw), "not exactly one frame")
    try:
        out = zstandard.ZstdDecompressor(max_window_size=1 << 24).decompress(raw, max_output_size=plain)
    except zstandard.ZstdError as e:
        raise Refused(f"a damaged frame: {e}") from None
    require(len(out) == plain, "not the plaintext length")
    return out


def open_blob(key, identity, record, offset, sealed):
    """The plaintext of a sealed blob, which is what its id says."""
    require(len(sealed) == record.stored + TAG, "a blob that ends too early")
    plain = unseal(key, struct.pack("<Q4x", offset), record.raw, sealed, "blob")
    plain = decompress(plain, record.plain) if record.compression else plain
    require(blob_id(identity, record.kind, plain) == record.id, "an id that is not the name of its plaintext")
    return plain


def belongs(kind, pack_kind):
    return kind == PADDING or (kind == DATA) == (pack_kind == DATA_PACK)


def trailer(raw, pack_len):
    """The length of the sealed directory."""
    require(len(raw) == 16, "not the length of a trailer")
    if any(raw[8:]):
        raise Newer("reserved bytes in use")
    length = struct.unpack_from("<Q", raw)[0]
    require(48 <= length <= pack_len - TRAILER - PREFIX, "a directory that does not fit its pack")
    return length


def directory(raw, pack_kind):
    """The session, and (blob record, offset) of each blob; the offset after the last."""
    require(len(raw) >= 32 and (len(raw) - 32) % 42 == 0, "ends too early")
    require((len(raw) - 32) // 42 <= PACK_BLOBS_MAX, "more blobs than the limit")
    blobs, offset = [], PREFIX
    for at in range(32, len(raw), 42):
        record = blob_record(raw[at:at + 42])
        require(belongs(record.kind, pack_kind), "a kind that does not belong in this pack")
        blobs.append((record, offset))
        offset += record.stored + TAG
    require(offset + len(raw) + TAG + TRAILER <= PACK_MAX, "a pack over the limit")
    return raw[:32], blobs, offset


def open_pack(raw, pack_kind, class_key, repository):
    """The pack's key, and what its directory says."""
    require(len(raw) <= PACK_MAX, "a pack over the limit")
    key = object_key(class_key, repository, prefix(raw, pack_kind))
    at = len(raw) - TRAILER
    require(at >= PREFIX, "ends too early")
    length = trailer(unseal(key, struct.pack("<Q4x", at), b"trailer", raw[at:], "trailer"), len(raw))
    begin = at - length
    plain = unseal(key, struct.pack("<Q4x", begin), b"directory", raw[begin:at], "directory")
    session, blobs, end = directory(plain, pack_kind)
    require(end == begin, "blobs that do not end where the directory begins")
    return key, session, blobs


# Index segments

def segment(content):
    """The header of a segment, and its rows: (blob record, pack record, offset)."""
    c = Cursor(content)
    header = decode(SEGMENT_HEADER, c.take(struct.unpack("<I", c.take(4))[0]))
    require(len(content) - c.at == 54 * header.blobs, "not the number of blob records that it announces")
    rows, keys = [], []
    for _ in range(header.blobs):
        record = blob_record(c.take(42))
        number, offset = struct.unpack("<IQ", c.take(12))
        require(number < len(header.packs), "a pack that it does not list")
        pack = header.packs[number]
        require(belongs(record.kind, DATA_PACK if pack.kind.choice == "data" else META_PACK),
                "a kind that does not belong in its pack")
        require(offset + record.stored + TAG <= pack.len, "a blob past the end of its pack")
        rows.append((record, pack, offset))
        keys.append((record.id, number, offset))
    ascending(keys, "blob records that do not ascend")
    return header, rows
