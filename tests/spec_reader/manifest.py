"""What is in a directory, as the file system says it: what a restore of its snapshot must bring back.

    manifest.py [--content-only] DIRECTORY

Prints a list of entries in JSON, sorted by path as bytes. Names, targets and names of attributes are
percent-encoded bytes; times are [seconds, nanoseconds]; `same_as` is the first path of the same file. With
--content-only an entry has only what a stream has: no mode, time or attributes. It shares nothing with the reader.
"""

import json
import os
import stat
import sys
from urllib.parse import quote_from_bytes

from blake3 import blake3

KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
         stat.S_IFSOCK: "socket"}


def paths_below(top):
    for at, directories, files in os.walk(os.fsencode(top)):
        for name in directories + files:
            yield os.path.join(at, name)


def entry(path, shown):
    st = os.lstat(path)
    found = {"path": quote_from_bytes(shown), "kind": KINDS[stat.S_IFMT(st.st_mode)]}
    if found["kind"] == "file":
        with open(path, "rb") as file:
            content = file.read()
        found |= {"size": len(content), "blake3": blake3(content).hexdigest()}
    if found["kind"] == "symlink":
        found["target"] = quote_from_bytes(os.readlink(path))
    return found, st


def metadata(path, st):
    names = os.listxattr(path, follow_symlinks=False)
    values = {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names}
    return {"mode": st.st_mode & 0o7777, "mtime": list(divmod(st.st_mtime_ns, 10**9)),
            "xattrs": {quote_from_bytes(os.fsencode(name)): value for name, value in sorted(values.items())}}


def manifest(top, content_only):
    entries, first = [], {}
    for path in sorted(paths_below(top), key=lambda path: os.path.relpath(path, os.fsencode(top))):
        shown = os.path.relpath(path, os.fsencode(top))
        found, st = entry(path, shown)
        if not content_only:
            found |= metadata(path, st)
            if found["kind"] != "directory" and st.st_nlink > 1:
                same = first.setdefault((st.st_dev, st.st_ino), found["path"])
                found |= {"same_as": same} if same != found["path"] else {}
        entries.append(found)
    return entries


if __name__ == "__main__":
    content_only = "--content-only" in sys.argv
    print(json.dumps(manifest(sys.argv[-1], content_only)))
