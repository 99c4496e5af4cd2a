"""The source of a golden repository: every kind of entry and content, small and always the same.

    source.py first DIRECTORY      makes it
    source.py second DIRECTORY     changes it, for the second snapshot
    source.py stream FILE          writes the content of the third
"""

import hashlib
import os
import stat
import sys

DAY = 86400


def noise(seed, length):
    return hashlib.shake_256(seed.encode()).digest(length)


def lines(count):
    """Many chunks' worth of text that compresses well: numbers make each stretch distinct, the rest does not."""
    filling = b" which is one of many lines that say the same, and say it at length so that there is a lot of it;" * 3
    return b"".join(b"line %07d" % i + filling + b"\n" for i in range(count))


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def write_sparse(path, size, pieces):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        for at, content in pieces:
            file.seek(at)
            file.write(content)
        file.truncate(size)


def contents(top):
    for size in (0, 1, 127, 128, 129, 4095, 300_000):
        write(b"%s/sizes/%d" % (top, size), noise(f"size {size}", size))
    write(top + b"/text/5 chunks or so", lines(16_000))
    write(top + b"/text/many chunks", lines(50_000))
    write(top + b"/text/zeros", bytes(100_000))
    write_sparse(top + b"/sparse/hole, data, hole, data", 5_000_000, [(1 << 20, noise("a", 5000)), (4_996_000, noise("b", 4000))])
    write_sparse(top + b"/sparse/data and a hole", 3_000_000, [(0, noise("c", 100))])
    write_sparse(top + b"/sparse/nothing but a hole", 64 << 20, [])
    write_sparse(top + b"/sparse/a short hole", 100, [])
    write_sparse(top + b"/sparse/many holes", 1101 << 13, [(i << 13, noise(f"hole {i}", 8)) for i in range(1100)])


def names(top):
    for name in (b"with a space", b" leading", b"-dash", "größe 日本".encode(), b"not utf-8 \xff\xfe", b"new\nline",
                 b"quote'\"`$(x)", b"*?[a]", b"back\\slash", b"\x01\x7f", b"..three", b"n" * 255):
        write(top + b"/names/" + name, name)
    for i in range(600):
        write(b"%s/600 entries/%04d" % (top, i * 37), b"entry %d" % i if i % 3 else noise(f"entry {i}", 200))
    os.makedirs(top + b"/empty directory")
    write(top + b"/deep" + b"/down" * 40 + b"/file", b"deep")


def kinds(top):
    links = top + b"/links/"
    write(links + b"one", noise("linked", 1000))
    os.link(links + b"one", links + b"two")
    os.link(links + b"one", top + b"/deep/three")
    write(links + b"empty", b"")
    os.link(links + b"empty", links + b"empty again")
    for name, target in ((b"relative", b"../sizes/128"), (b"absolute", b"/nowhere/at/all"), (b"directory", b"../deep"),
                         (b"dangling", b"no\xff such\nfile"), (b"long", b"t/" * 2000)):
        os.symlink(target, links + name)
    os.mkfifo(top + b"/fifo", 0o620)
    os.mknod(top + b"/socket", stat.S_IFSOCK | 0o600)


def metadata(top):
    for name, mode in ((b"setuid", 0o4755), (b"setgid", 0o2755), (b"read only", 0o444), (b"all bits", 0o7777)):
        write(top + b"/modes/" + name, name)
        os.chmod(top + b"/modes/" + name, mode)
    for name, mode in ((b"sticky", 0o1777), (b"group", 0o2770)):
        os.makedirs(top + b"/modes/" + name)
        os.chmod(top + b"/modes/" + name, mode)
    write(top + b"/xattrs/file", b"attributes")
    os.setxattr(top + b"/xattrs/file", "user.comment", "schön".encode())
    os.setxattr(top + b"/xattrs/file", "user.empty", b"")
    os.setxattr(top + b"/xattrs/file", "user.all bytes", bytes(range(256)))
    os.setxattr(top + b"/xattrs", "user.of a directory", noise("xattr", 1500))


def times(top):
    """The whole tree gets a time of its own, directories after what is in them; a few files get remarkable ones."""
    remarkable = {b"before 1970": -DAY * 365 * 20 - 250_000_000e-9, b"1901": -0x80000000, b"a nanosecond": 1e-9,
                  b"2262 and later": 10_000_000_000}
    for name in remarkable:
        write(top + b"/times/" + name, name)
    for at, directories, files in os.walk(top, topdown=False):
        for name in directories + files:
            path = os.path.join(at, name)
            number = int.from_bytes(hashlib.sha256(path[len(top):]).digest()[:6], "little")
            set_time(path, 1_600_000_000 * 10**9 + number)
    for name, seconds in remarkable.items():
        set_time(top + b"/times/" + name, round(seconds * 10**9))
    set_time(top + b"/times", 1_500_000_000_123_456_789)
    set_time(top, 1_700_000_000_987_654_321)


def set_time(path, ns):
    os.utime(path, ns=(ns, ns), follow_symlinks=False)


def second(top):
    with open(top + b"/text/many chunks", "r+b") as file:
        file.seek(7_000_000)
        file.write(b"something else in the middle")
    write(top + b"/sizes/128", noise("another 128", 128))
    os.remove(top + b"/sizes/127")
    os.rename(top + b"/600 entries/0000", top + b"/600 entries/renamed")
    os.chmod(top + b"/modes/setuid", 0o755)
    os.setxattr(top + b"/xattrs/file", "user.comment", b"changed")
    os.remove(top + b"/fifo")
    write(top + b"/fifo", b"a file now")
    for path in (b"/text/many chunks", b"/sizes/128", b"/sizes", b"/600 entries", b"/fifo", b""):
        set_time(top + path, 1_750_000_000_000_000_001)


if __name__ == "__main__":
    top = os.fsencode(sys.argv[2])
    if sys.argv[1] == "first":
        for make in (contents, names, kinds, metadata, times):
            make(top)
    elif sys.argv[1] == "second":
        second(top)
    else:
        write(top, noise("stream", 100_000) + lines(500))
