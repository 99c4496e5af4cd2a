#!/usr/bin/env python3
"""A year of nightly backups of a source tree, then forgets one night and prunes: keepstone and its peers, side by side.

    benches/get-data.sh DATA
    cargo build --release --locked
    benches/nights.py --tree DATA/linux-1 --work /dev/shm/nights

Each night some files are changed, appended to, added, moved and removed, drawn by lot from a fixed seed, so that
every tool backs up the same nights (one after the other, from a copy of the tree). Then, for each round, every
tool's repository and cache are copied, one night in the middle is forgotten and its room given back (`forget ID
--prune`), and after it `check` must find nothing wrong. Printed are medians over the rounds: wall and CPU
seconds, peak memory, and the bytes that the process read and wrote by system calls (its cache counted).

Then a backup that reads the whole tree anew is timed: alone, beside a prune of the same repository that rewrites
it, and beside the same prune of a copy of the repository, which takes from the disk and the cores as much. What the
second takes longer than the third is what the prune delays it by.

`--nights`, `--rounds` and `--tools` choose less; repositories that are there already are used again.
"""

import argparse
import datetime
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

SECRET = "bench"
FIRST_NIGHT = datetime.datetime(2025, 1, 1, 2, 30)


def environment(tool, where):
    variables = {
        "keepstone": {"KEEPSTONE_REPOSITORY": f"{where}/repo", "KEEPSTONE_CACHE_DIR": f"{where}/cache",
                      "KEEPSTONE_PASSWORD": SECRET, "KEEPSTONE_HOST": "bench"},
        "restic": {"RESTIC_REPOSITORY": f"{where}/repo", "RESTIC_CACHE_DIR": f"{where}/cache",
                   "RESTIC_PASSWORD": SECRET},
        "rustic": {"RUSTIC_REPOSITORY": f"{where}/repo", "RUSTIC_CACHE_DIR": f"{where}/cache",
                   "RUSTIC_PASSWORD": SECRET, "RUSTIC_NO_PROGRESS": "true", "RUSTIC_LOG_LEVEL": "error"},
    }
    return {**os.environ, **variables[tool]}


def backup_words(tool, program, tree, night):
    when = (FIRST_NIGHT + datetime.timedelta(days=night)).strftime("%Y-%m-%d %H:%M:%S")
    time = ["--time", when] if tool != "rustic" else ["--time", when.replace(" ", "T") + "+00:00"]
    quiet = ["-q"] if tool != "rustic" else []
    return [program, "backup", *quiet, *time, str(tree)]


def forget_words(tool, program, snapshot):
    return {
        "keepstone": [program, "forget", "--prune", snapshot],
        "restic": [program, "forget", "--prune", snapshot],
        # Without this rustic only marks packs, and would not be compared doing the same.
        "rustic": [program, "forget", "--prune", "--instant-delete", snapshot],
    }[tool]


def churn(tree, files, night):
    """What one day does to a tree. Draws from the night's own seed."""
    dice = random.Random(night)
    for path in dice.sample(files, 120):  # edited
        data = bytearray(path.read_bytes())
        at = dice.randrange(len(data) + 1)
        data[at:at] = dice.randbytes(40).hex().encode()
        path.write_bytes(data)
    for path in dice.sample(files, 30):  # logs grow
        with path.open("ab") as log:
            log.write(dice.randbytes(2000).hex().encode())
    for number in range(25):  # new ones, in old and new directories
        directory = dice.choice(files).parent if number % 5 else tree / f"new-{night}"
        directory.mkdir(exist_ok=True)
        path = directory / f"file-{night}-{number}"
        path.write_bytes(dice.randbytes(dice.randrange(100, 60_000)))
        files.append(path)
    for _ in range(10):  # moved
        at = dice.randrange(len(files))
        moved = files[at].with_name(f"moved-{night}-{at}")
        files[at].rename(moved)
        files[at] = moved
    for _ in range(15):  # removed
        files.pop(dice.randrange(len(files))).unlink()


def must(words, env, cwd):
    done = subprocess.run(words, env=env, cwd=cwd, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
    return done.stdout


def build(tool, program, source, work, nights):
    where = work / tool
    if (where / "built").exists():
        return
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    tree = work / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    subprocess.run(["cp", "-a", str(source), str(tree)], check=True)
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    must([program, "init"], environment(tool, where), where)
    for night in range(nights):
        if night:
            churn(tree, files, night)
        must(backup_words(tool, program, tree, night), environment(tool, where), where)
        print(f"\r{tool}: night {night + 1} of {nights}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    shutil.rmtree(tree)
    (where / "built").write_text(str(nights))


def middle_snapshot(tool, program, where):
    listed = json.loads(must([program, "snapshots", "--json"], environment(tool, where), where))
    if tool == "rustic":  # groups of snapshots
        listed = [snapshot for group in listed for snapshot in (group[1] if isinstance(group, list) else group["snapshots"])]
    listed.sort(key=lambda snapshot: snapshot["time"])
    return listed[len(listed) // 2]["id"]


def measure(words, env, cwd):
    """Wall and CPU seconds, peak RSS in MiB, and MiB read and written, of one command."""
    began = datetime.datetime.now()
    with open(cwd / "output", "wb") as output:
        child = subprocess.Popen(words, env=env, cwd=cwd, stdout=output, stderr=output)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        wall = (datetime.datetime.now() - began).total_seconds()
        io = dict(line.split(": ") for line in Path(f"/proc/{child.pid}/io").read_text().splitlines())
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(words)} ended with {child.returncode}:\n{(cwd / 'output').read_text()[-2000:]}")
    cpu = usage.ru_utime + usage.ru_stime
    return wall, cpu, usage.ru_maxrss / 1024, int(io["rchar"]) / 2**20, int(io["wchar"]) / 2**20


def beside(program, tree, work, neighbour):
    """Seconds that a backup of the whole tree takes while the repository `neighbour`, a name below `work`, is pruned."""
    where, other = work / "copy" / "keepstone", work / "copy" / neighbour if neighbour else None
    for copy in {where, other} - {None}:
        subprocess.run(["cp", "-a", str(work / "keepstone"), str(copy)], check=True)
    prune = None
    if other:
        env = environment("keepstone", other)
        must([program, "forget", "--keep-monthly", "100"], env, other)
        words = [program, "prune", "--max-unused", "0", "--reseal"]
        must([program, "key", "rotate"], env, other)
        prune = subprocess.Popen(words, env=env, cwd=other, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    env = environment("keepstone", where)
    wall, *_ = measure([program, "backup", "-q", "--force", str(tree)], env, where)
    if prune:
        outlived = prune.poll() is None
        _, said = prune.communicate()
        if prune.returncode != 0:
            sys.exit(f"prune ended with {prune.returncode}:\n{said.decode()[-2000:]}")
        if not outlived:
            print("the prune ended before the backup did", file=sys.stderr)
    must([program, "check"], env, where)
    shutil.rmtree(work / "copy")
    return wall


def compare_beside(program, tree, work, rounds):
    cases = {"alone": None, "beside a prune of the same repository": "keepstone", "beside a prune of another": "other"}
    walls = {case: [] for case in cases}
    for _ in range(rounds):
        for case, neighbour in cases.items():
            (work / "copy").mkdir()
            walls[case].append(beside(program, tree, work, neighbour))
    print(f"a backup that reads everything: median of {rounds} rounds, wall s")
    for case, seconds in walls.items():
        print(f"{case:40}{statistics.median(seconds):9.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--keepstone", default=str(Path(__file__).resolve().parent.parent / "target/release/keepstone"))
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tools", default="keepstone,restic,rustic")
    parser.add_argument("--build-only", action="store_true")
    args = parser.parse_args()
    tools = {}
    for tool in args.tools.split(","):
        program = args.keepstone if tool == "keepstone" else shutil.which(tool)
        if program is None:
            print(f"{tool} is not on PATH and left out", file=sys.stderr)
        else:
            tools[tool] = program
    for tool, program in tools.items():
        build(tool, program, args.tree, args.work, args.nights)
    if args.build_only:
        return
    results = {tool: [] for tool in tools}
    for _ in range(args.rounds):
        for tool, program in tools.items():
            copy = args.work / "copy" / tool
            shutil.rmtree(copy.parent, ignore_errors=True)
            copy.parent.mkdir()
            # The same path as the original: some caches are bound to it.
            original = args.work / tool
            subprocess.run(["cp", "-a", str(original), str(copy)], check=True)
            env = environment(tool, copy)
            words = forget_words(tool, program, middle_snapshot(tool, program, copy))
            results[tool].append(measure(words, env, copy))
            must([program, "check"], env, copy)
            shutil.rmtree(copy.parent)
    print(f"forget and prune one night of {args.nights}: median of {args.rounds} rounds")
    print(f"{'':12}{'wall s':>9}{'CPU s':>9}{'RSS MiB':>9}{'read MiB':>10}{'written':>10}")
    for tool, rounds in results.items():
        medians = [statistics.median(column) for column in zip(*rounds)]
        print(f"{tool:12}{medians[0]:9.2f}{medians[1]:9.2f}{medians[2]:9.0f}{medians[3]:10.0f}{medians[4]:10.0f}")
    if "keepstone" in tools:
        compare_beside(tools["keepstone"], args.tree, args.work, args.rounds)


if __name__ == "__main__":
    main()
