"""A reader of keepstone repositories, written from format-spec alone: it shares nothing with the program.

    reader.py REPO PASSWORD_FILE snapshots
    reader.py REPO PASSWORD_FILE ls SNAPSHOT|latest
    reader.py REPO PASSWORD_FILE restore SNAPSHOT|latest TARGET
    reader.py REPO PASSWORD_FILE verify-packs
    reader.py vectors

Exit codes: 0 done; 1 the request or the world failed; 13 damage was found, and named; 14 a newer reader is needed.
"""

import json
import sys
import unicodedata
from pathlib import Path
from urllib.parse import quote_from_bytes

import encoding as e
import sealing as s
import vectors
from repository import CONTROL, Repository
from restore import Restore, walk


def passphrase(path):
    """Text in normalization form C, without one trailing line feed."""
    raw = Path(path).read_bytes()
    return unicodedata.normalize("NFC", raw.removesuffix(b"\n").decode("utf-8")).encode("utf-8")


def snapshots(repository):
    found = repository.control("snapshots")
    for name, v in sorted(found.items(), key=lambda pair: (pair[1].time.secs, pair[1].time.nanos)):
        print(json.dumps({"id": name, "state": v.state.choice, "component": v.component, "tags": v.tags,
                          "paths": [quote_from_bytes(path) for path in v.paths], "entries": v.root.entries,
                          "bytes": v.root.bytes}))


def ls(repository, wanted):
    def show(path, entry):
        mtime = entry.meta.mtime
        size = entry.node.content.size if entry.node.choice == "file" else 0
        print(f"{entry.node.choice:9} {entry.meta.mode:04o} {size:12} {mtime.secs}.{mtime.nanos:09} "
              f"{quote_from_bytes(path)}")
    walk(repository, repository.snapshot(wanted).root, show)


def restore(repository, wanted, target):
    Restore(repository, target).run(repository.snapshot(wanted).root)


def verify_packs(repository):
    """Every object and every blob; and that the index says of each pack what its directory says."""
    for directory in CONTROL:
        repository.control(directory)
    condemned = {pack.hex() for record in repository.control("condemned").values() for pack in record.packs}
    indexed = {}
    for name, (header, rows) in repository.segments.items():
        for number, pack in enumerate(header.packs):
            places = [(record.raw, offset) for record, of, offset in rows if of is pack]
            indexed.setdefault(pack.id.hex(), []).append((pack.len, pack.kind.choice, pack.blobs, sorted(places)))
    rebuilt = {}
    for name in repository.list_packs():
        try:
            rebuilt[name] = verified_pack(repository, name)
        except e.Refused as refused:
            repository.troubles.append(f"pack {name}: {refused}")
    for name in sorted((indexed.keys() | rebuilt.keys()) - condemned):
        for said in indexed.get(name, [None]):
            if said != rebuilt.get(name):
                repository.troubles.append(f"pack {name}: the index and the pack's directory differ")
    print(f"{len(rebuilt)} packs, {sum(row[2] for row in rebuilt.values())} blobs")


def verified_pack(repository, name):
    """What a segment must say of a pack, by its directory."""
    raw = repository.get(f"packs/{name[:2]}", name)
    head = s.prefix(raw)
    e.require(head.kind in (s.DATA_PACK, s.META_PACK), "another kind of object")
    key, _, blobs = s.open_pack(raw, head.kind, repository.class_key(head), repository.id)
    for record, offset in blobs:
        s.open_blob(key, repository.keyring.identity, record, offset, raw[offset:offset + record.stored + s.TAG])
    e.require(s.padme(len(raw)) == len(raw), "a length that padding does not give")
    places = sorted((record.raw, offset) for record, offset in blobs if record.kind != s.PADDING)
    return len(raw), "data" if head.kind == s.DATA_PACK else "meta", len(blobs), places


COMMANDS = {"snapshots": (snapshots, 0), "ls": (ls, 1), "restore": (restore, 2), "verify-packs": (verify_packs, 0)}


def on_repository(path, password_file, command, *arguments):
    repository = Repository(path, passphrase(password_file))
    COMMANDS[command][0](repository, *arguments)
    return repository.troubles


def on_vectors():
    directory = Path(__file__).resolve().parents[2] / "format-spec" / "vectors"
    count, troubles = vectors.run(directory)
    print(f"{count} vectors")
    return troubles


def main(arguments):
    known = len(arguments) >= 3 and arguments[2] in COMMANDS
    if arguments != ["vectors"] and not (known and len(arguments) == 3 + COMMANDS[arguments[2]][1]):
        sys.exit(__doc__)
    try:
        troubles = on_vectors() if arguments == ["vectors"] else on_repository(*arguments)
    except e.Newer as newer:
        print(f"newer: {newer}", file=sys.stderr)
        return 14
    except e.Refused as refused:
        troubles = [str(refused)]
    except OSError as error:
        sys.exit(str(error))
    for trouble in troubles:
        print(trouble, file=sys.stderr)
    return 13 if troubles else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
