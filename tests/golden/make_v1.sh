#!/bin/sh
# Makes the golden repository v1 and its manifest, once: with the release binary in $KEEPSTONE, and a Python that
# has the packages of tests/spec_reader/requirements.txt in $KEEPSTONE_PYTHON. It refuses if there is one.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${KEEPSTONE_PYTHON:-python3}
keepstone=${KEEPSTONE:?the release binary}
if [ -e "$here/v1" ]; then
    echo "there is a $here/v1, and golden repositories are never edited" >&2
    exit 1
fi

# On a file system that has what the source needs: holes, user attributes, times before 1970 and after 2262.
work=$(mktemp -d -p "${GOLDEN_WORK:-/var/tmp}")
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree" "$work/stream"
export KEEPSTONE_REPOSITORY="$here/v1" KEEPSTONE_PASSWORD=golden KEEPSTONE_CACHE_DIR="$work/cache" KEEPSTONE_HOST=golden
umask 022

manifest() {
    "$python" "$here/../spec_reader/manifest.py" "$@"
}

# One object of the list in v1.json: the summary of the backup that stands in $work/said, and what must come back.
snapshot() {
    "$python" -c 'import json, sys
said = [json.loads(line) for line in open(sys.argv[1])][-1]
tags = [tag for tag in sys.argv[2].split(",") if tag]
print(json.dumps({"id": said["snapshot_id"], "tags": tags, "entries": json.load(sys.stdin)}))' "$work/said" "$1" \
        >> "$work/snapshots"
}

"$keepstone" init

"$python" "$here/source.py" first "$work/tree/source"
"$keepstone" --json backup --as /source --time 2026-01-01T00:00:00Z --compression max "$work/tree/source" > "$work/said"
manifest "$work/tree" | snapshot ""

# A second password comes; it goes again below, which begins a new epoch.
mine=$(ls "$here/v1/keys")
printf silver > "$work/silver"
"$keepstone" key add --new-password-file "$work/silver"

"$python" "$here/source.py" second "$work/tree/source"
"$keepstone" --json backup --as /source --time 2026-01-02T00:00:00Z --tag changed,second "$work/tree/source" > "$work/said"
manifest "$work/tree" | snapshot changed,second

"$keepstone" key remove "$(ls "$here/v1/keys" | grep -v "$mine")"

"$python" "$here/source.py" stream "$work/stream/dump.sql"
"$keepstone" --json backup --stdin --stdin-filename dump.sql --time 2026-01-03T00:00:00Z --compression none \
    < "$work/stream/dump.sql" > "$work/said"
manifest --content-only "$work/stream" | snapshot ""

# Empty directories are no part of a tree in git, and none is part of a repository.
find "$here/v1" -type d -empty -delete
"$python" - "$work/snapshots" > "$here/v1.json" << 'END'
import json, sys

def snapshot(line):
    found = json.loads(line)
    entries = ",\n".join(json.dumps(entry) for entry in found.pop("entries"))
    return json.dumps(found)[:-1] + ', "entries": [\n' + entries + "]}"

print('{"password": "golden", "snapshots": [\n' + ",\n".join(map(snapshot, open(sys.argv[1]))) + "]}")
END
