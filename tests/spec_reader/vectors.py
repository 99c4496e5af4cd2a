"""The vectors of format-spec: what is valid is taken and encodes to the same bytes, what is invalid is refused."""

import json

import encoding as e
import sealing as s

NOT_READ = {"chunking.json"}  # where streams are cut: for writers


def again(kind):
    def check(raw, given):
        value = e.decode(kind, raw)
        e.require(kind.write(value) == raw, "encodes to other bytes")
    return check


def equal(found, expected):
    if found != expected:
        raise AssertionError(f"{found.hex()} instead of {expected.hex()}")


def sealed(kind, name, decode):
    def check(raw, given):
        epochs = {2: e.Value(**{name: given[name]})}
        content = s.open_object(raw, kind, given["repository"], epochs)
        decode(content)
        if "content" in given:
            equal(content, given["content"])
    return check


def key_slot(raw, given):
    slot = s.slot(raw)
    if "passphrase" in given:
        keys = s.open_slot(slot, given["passphrase"])
        e.require(keys, "wrong passphrase")
        equal(b"".join(keys), given["private key"] + given["auth key"])


def sealed_keyring(raw, given):
    ring = s.keyring_head(raw)
    equal(s.file_key(ring, given["private key"]), given["file key"])
    s.open_keyring(ring, given["private key"], given["auth key"])


def pack(raw, given):
    key, _, blobs = s.open_pack(raw, given["pack kind"], given["class key"], given["repository"])
    for record, offset in blobs:
        s.open_blob(key, given["identity"], record, offset, raw[offset:offset + record.stored + s.TAG])


def compression(raw, given):
    plain = s.decompress(raw, given["plaintext length"])
    equal(plain, given["plaintext"])


CHECKS = {
    "envelope": lambda raw, given: (e.require(len(raw) == s.PREFIX, "not a prefix"), s.prefix(raw)),
    "padme": lambda raw, given: equal(s.padme(given["len"]).to_bytes(8, "little"), raw),
    "padding": lambda raw, given: s.unpad(raw),
    "blob_name": lambda raw, given: equal(s.blob_id(given["identity"], given["kind"], given["plaintext"]), raw),
    "split_hash": lambda raw, given: equal(
        s.keyed(s.derive(given["chunking"], "keepstone v1 split"), bytes([given["level"]]) + given["item"])[:4], raw),
    "config": lambda raw, given: s.config(raw),
    "key_slot": key_slot,
    "sealed_keyring": sealed_keyring,
    "sealed_session": sealed(s.SESSION, "control", lambda content: e.decode(e.SESSION, content)),
    "sealed_segment": sealed(s.SEGMENT, "index", s.segment),
    "blob_record": lambda raw, given: s.blob_record(raw),
    "pack_trailer": lambda raw, given: s.trailer(raw, given["pack length"]),
    "pack_directory": lambda raw, given: s.directory(raw, given["pack kind"]),
    "pack": pack,
    "compression": compression,
    "index_segment": lambda raw, given: s.segment(raw),
    "keyring": again(e.KEYRING), "snapshot": again(e.SNAPSHOT), "session": again(e.SESSION),
    "condemned_record": again(e.CONDEMNED), "forgotten_record": again(e.FORGOTTEN), "run": again(e.RUN),
    "closing": again(e.CLOSING), "epoch_record": again(e.EPOCH_RECORD),
    "tree_node": again(e.TREE_NODE), "list_node": again(e.LIST_NODE), "content": again(e.CONTENT),
    "extended_attributes": again(e.EXTENDED_ATTRIBUTES), "hard_link_identity": again(e.HARD_LINK_IDENTITY),
    "pairs": again(e.PAIRS),
    "beginning_of_a_file": again(e.BEGINNING_OF_A_FILE),
}


def bytes_of(case, first):
    if "ranges" in case:
        return b"".join(first[begin:end] for begin, end in case["ranges"])
    return bytes.fromhex(case.get("bytes", ""))


def given_of(case):
    numbers = {"len", "kind", "level", "pack kind", "pack length", "plaintext length"}
    return {name: int(text) if name in numbers else bytes.fromhex(text) for name, text in case.get("given", {}).items()}


def wrong(check, case, first, valid):
    """What is wrong with the reader, going by this case; None if nothing is."""
    try:
        check(bytes_of(case, first), given_of(case))
        return None if valid else "was taken"
    except e.Refused as refused:
        return f"was refused: {refused}" if valid else None


def run(directory):
    """(number of cases, what went wrong in them)"""
    files = sorted(path for path in directory.glob("*.json") if path.name not in NOT_READ)
    missing = {path.stem for path in files} ^ set(CHECKS)
    count, troubles = 0, [f"{name}: no vectors, or no check of them" for name in sorted(missing)]
    for path in files:
        vectors = json.loads(path.read_text())
        first = bytes_of(vectors["valid"][0], b"")
        for valid, case in [(True, c) for c in vectors["valid"]] + [(False, c) for c in vectors["invalid"]]:
            count += 1
            trouble = wrong(CHECKS[path.stem], case, first, valid)
            troubles += [f"{case['name']} {trouble}"] if trouble else []
    return count, troubles
