"""A snapshot, restored into a directory that is not there yet.

Everything is made new and exclusively, so that no link that a snapshot brings is ever followed.
"""

import os
import stat

import encoding as e
from repository import TREE_DEPTH_MAX

MAKE = {"fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK, "char device": stat.S_IFCHR, "block device": stat.S_IFBLK}


def entry_fit(entry):
    name = entry.key.name
    if e.unknown_extra(entry):
        raise e.Newer("an extra that must be understood")
    e.require(name not in (b".", b"..") and b"/" not in name and b"\0" not in name, "a name that no file has")


def walk(repository, root, visit):
    """Visits (path of the directory, entry) from the top down; what `visit` refuses is not entered."""
    todo = [(b"", root, 0)]
    while todo:
        at, tree, depth = todo.pop()
        try:
            for entry in repository.entries(tree):
                path = os.path.join(at, entry.key.name)
                try:
                    entry_fit(entry)
                    visit(path, entry)
                except (e.Refused, OSError) as error:
                    repository.troubles.append(f"{path!r}: {error}")
                    continue
                if entry.node.choice == "directory":
                    e.require(depth < TREE_DEPTH_MAX, "directories too deep")
                    todo.append((path, entry.node.tree, depth + 1))
        except e.Refused as refused:
            repository.troubles.append(f"{at!r}: {refused}")


class Restore:
    def __init__(self, repository, target):
        self.repository, self.target = repository, os.fsencode(target)
        self.links, self.directories = {}, []

    def run(self, root):
        os.makedirs(self.target)
        walk(self.repository, root, self.visit)
        for path, entry in reversed(self.directories):
            try:
                self.finish(path, entry)
            except (e.Refused, OSError) as error:
                self.repository.troubles.append(f"{path!r}: {error}")

    def visit(self, path, entry):
        path = os.path.join(self.target, path)
        if entry.node.choice == "directory":
            os.mkdir(path, 0o700)
            self.directories.append((path, entry))
            return
        values = [extra.value for extra in entry.extras if extra.tag == e.HARD_LINK]
        if values:
            identity = e.decode(e.HARD_LINK_IDENTITY, values[0])
            first = self.links.setdefault((identity.device, identity.inode), path)
            if first != path:
                os.link(first, path, follow_symlinks=False)
                return
        self.make(path, entry.node)
        self.finish(path, entry)

    def make(self, path, node):
        if node.choice == "file":
            self.write(path, node.content)
        elif node.choice == "symlink":
            os.symlink(node.target, path)
        elif node.choice in ("fifo", "socket"):
            os.mknod(path, MAKE[node.choice] | 0o600)
        else:
            os.mknod(path, MAKE[node.choice] | 0o600, os.makedev(node.major, node.minor))

    def write(self, path, content):
        with open(path, "xb") as file:
            for part in self.repository.content(content):
                if isinstance(part, int):
                    file.seek(part, os.SEEK_CUR)
                else:
                    file.write(part)
            file.truncate(content.size)

    def finish(self, path, entry):
        """Owner first: a change of owner takes set-id bits and capabilities away; times last.

        Who cannot give files away does not set these bits: they would lend his own rights.
        """
        meta, bits = entry.meta, 0o1777
        if os.geteuid() == 0:
            os.chown(path, meta.uid, meta.gid, follow_symlinks=False)
            bits = 0o7777
        for name, value in self.repository.xattrs(entry).items():
            os.setxattr(path, name, value, follow_symlinks=False)
        if entry.node.choice != "symlink":
            os.chmod(path, meta.mode & bits)
        mtime = meta.mtime.secs * 10**9 + meta.mtime.nanos
        os.utime(path, ns=(mtime, mtime), follow_symlinks=False)
