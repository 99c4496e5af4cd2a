#!/usr/bin/env python3
"""Runs the same jobs through keepstone and its peers, side by side in one run, and prints a table.

    benches/get-data.sh DATA
    cargo build --release
    benches/compare.py --docs DATA/docs --tree DATA/linux-1 --next DATA/linux-2 --work /dev/shm/keepstone-bench

Jobs: first backup, backup with nothing changed, restore, a structural check, and (tree only) backup of the
next version: files whose content differs are written anew, the others are left as they are (rsync -rlpc).
The source is copied into the working place once. Every tool starts each round with a new repository and the
source in the page cache, and the tools take turns within a round, so that a slow minute of the machine hits
all of them. Printed are
medians over the rounds: wall and CPU seconds, peak memory of the largest process, repository size after
the first backup. Restored trees are compared with the source (`diff -r --no-dereference`) in the first
round. Tools that are not on PATH are left out, and that is said.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path


class Tool:
    """How one program does each job. `source` is a directory; its path within a snapshot is the same."""

    def __init__(self, name, program, environment, init, backup, restore, check):
        self.name, self.program, self.environment = name, program, environment
        self.init, self.backup, self.restore, self.check = init, backup, restore, check


def tools(keepstone):
    secret = "bench"
    return [
        Tool("keepstone", keepstone,
             lambda w: {"KEEPSTONE_REPOSITORY": f"{w}/repo", "KEEPSTONE_CACHE_DIR": f"{w}/cache", "KEEPSTONE_PASSWORD": secret},
             lambda t: [t, "init", "-q"],
             lambda t, s, at: [t, "backup", "-q", s],
             lambda t, target: [t, "restore", "-q", "latest", "--target", target],
             lambda t: [t, "check", "-q"]),
        Tool("restic", "restic",
             lambda w: {"RESTIC_REPOSITORY": f"{w}/repo", "RESTIC_CACHE_DIR": f"{w}/cache", "RESTIC_PASSWORD": secret},
             lambda t: [t, "init", "-q"],
             lambda t, s, at: [t, "backup", "-q", s],
             lambda t, target: [t, "restore", "-q", "latest", "--target", target],
             lambda t: [t, "check", "-q"]),
        Tool("rustic", "rustic",
             lambda w: {"RUSTIC_REPOSITORY": f"{w}/repo", "RUSTIC_CACHE_DIR": f"{w}/cache", "RUSTIC_PASSWORD": secret,
                        "RUSTIC_NO_PROGRESS": "true", "RUSTIC_LOG_LEVEL": "error"},
             lambda t: [t, "init"],
             lambda t, s, at: [t, "backup", s],
             lambda t, target: [t, "restore", "latest", target],
             lambda t: [t, "check"]),
        Tool("borg", "borg",
             lambda w: {"BORG_REPO": f"{w}/repo", "BORG_CACHE_DIR": f"{w}/cache", "BORG_CONFIG_DIR": f"{w}/config",
                        "BORG_SECURITY_DIR": f"{w}/security", "BORG_PASSPHRASE": secret,
                        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"},
             lambda t: [t, "init", "--encryption", "repokey-blake2"],
             lambda t, s, at: [t, "create", "--compression", "zstd,3", f"::{at}", s],
             lambda t, target: [t, "extract", "::1"],
             lambda t: [t, "check", "--repository-only"]),
    ]


def run(words, environment, where):
    """Wall seconds, CPU seconds and peak RSS in MiB of one command; ends the program if it fails."""
    began = time.monotonic()
    with open(os.devnull, "wb") as nowhere, open(f"{where}/output", "wb") as output:
        child = subprocess.Popen(words, env={**os.environ, **environment}, cwd=where, stdout=nowhere, stderr=output)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    if child.returncode != 0:
        sys.exit(f"{' '.join(words)} ended with {child.returncode}:\n{Path(where, 'output').read_text()[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def size(directory):
    return sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file()) / 2**20


def verify(source, target):
    """The source, wherever the tool put it below the target, is the same."""
    found = next((path for path in (target / "source", target / source.relative_to("/"), target) if path.is_dir()
                  and {p.name for p in path.iterdir()} == {p.name for p in source.iterdir()}), None)
    if found is None:
        sys.exit(f"{source} was not restored below {target}")
    subprocess.run(["diff", "-r", "--no-dereference", str(source), str(found)], check=True)


class Bench:
    def __init__(self, work, results):
        self.work, self.results = work, results

    def job(self, tool, name, words, where=""):
        directory = self.work / tool.name
        measured = run(words, tool.environment(directory), directory / where)
        self.results.setdefault((name, tool.name), []).append(measured)

    def first_half(self, tool, source, is_first):
        where = self.work / tool.name
        shutil.rmtree(where, ignore_errors=True)
        (where / "target").mkdir(parents=True)
        run(tool.init(tool.program), tool.environment(where), where)
        self.job(tool, "first backup", tool.backup(tool.program, str(source), "1"))
        self.results.setdefault(("size", tool.name), []).append(size(where / "repo"))
        self.job(tool, "unchanged", tool.backup(tool.program, str(source), "2"))
        self.job(tool, "restore", tool.restore(tool.program, str(where / "target")), "target")
        if is_first:
            verify(source, where / "target")
        shutil.rmtree(where / "target")
        self.job(tool, "check", tool.check(tool.program))

    def second_half(self, tool, source):
        self.job(tool, "next version", tool.backup(tool.program, str(source), "3"))

    def round(self, present, source, tree, following, is_first):
        become(tree, source)
        for tool in present:
            self.first_half(tool, source, is_first)
        if following:
            become(following, source)
            for tool in present:
                self.second_half(tool, source)
        for tool in present:
            shutil.rmtree(self.work / tool.name)


def make_flat(directory, count):
    """One directory of `count` files, each with a few bytes of its own."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for number in range(count):
        (directory / f"{number:08}").write_text(f"file {number}\n")
    return directory


def become(tree, source):
    """Makes `source` hold what `tree` does, touching only what differs."""
    source.mkdir(exist_ok=True)
    subprocess.run(["rsync", "-rlpc", "--delete", f"{tree}/", f"{source}/"], check=True)


def table(title, names, results):
    print(f"\n{title}\n{'':<14}{'':<11}{'wall s':>8}{'cpu s':>8}{'MiB RSS':>9}{'repo MiB':>10}{'wall / keepstone':>18}")
    for job in dict.fromkeys(job for job, _ in results if job != "size"):
        ours = statistics.median(run[0] for run in results[(job, names[0])])
        for name in names:
            wall, cpu, rss = (statistics.median(column) for column in zip(*results[(job, name)]))
            repo = f"{statistics.median(results[('size', name)]):.0f}" if job == "first backup" else ""
            print(f"{job:<14}{name:<11}{wall:8.2f}{cpu:8.2f}{rss:9.0f}{repo:>10}{wall / ours:17.1f}x")


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--docs", type=Path, help="a directory of documents")
    words.add_argument("--tree", type=Path, help="a directory of many small files")
    words.add_argument("--next", type=Path, help="the same tree, some days later")
    words.add_argument("--flat", type=int, metavar="N", help="also: one directory of N small files")
    words.add_argument("--work", type=Path, required=True, help="an empty place for repositories and targets, best on tmpfs")
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--keepstone", default=str(Path(__file__).resolve().parent.parent / "target/release/keepstone"))
    args = words.parse_args()
    present = [tool for tool in tools(args.keepstone) if shutil.which(tool.program)]
    for tool in tools(args.keepstone):
        if not shutil.which(tool.program):
            print(f"left out, not found: {tool.program}")
    flat = args.flat and make_flat(args.work.resolve() / "flat", args.flat)
    sources = ("documents", args.docs, None), ("source tree", args.tree, args.next), ("one directory", flat, None)
    for title, source, following in sources:
        if source is None:
            continue
        tree, following, source = source.resolve(), following and following.resolve(), args.work.resolve() / "source"
        args.work.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(source, ignore_errors=True)
        results = {}
        bench = Bench(args.work.resolve(), results)
        for number in range(args.rounds):
            bench.round(present, source, tree, following, number == 0)
        shutil.rmtree(source)
        table(f"{title}: {tree}, median of {args.rounds} rounds, {os.cpu_count()} processors", [t.name for t in present], results)


if __name__ == "__main__":
    main()
