#!/usr/bin/env python3
"""Backs up one bucket with keepstone, and with `rclone sync` to a disk followed by restic of that copy, side by side.

    cargo build --release
    benches/bucket_peers.py --endpoint http://127.0.0.1:9000 --bucket documents --work /dev/shm/bucket-peers

The keys of the bucket come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. With `--fill N` the bucket is made and N
documents of 1 to 64 KiB and 8 large ones of 40 MiB are put into it first (needs boto3). Both begin each round with nothing; they take
turns within a round. Printed are medians over the rounds: wall and CPU seconds, peak memory of the largest
process, and what lies on the disk at the end, the mirror included. rclone and restic have to be on PATH.
"""

import argparse
import multiprocessing
import os
import random
import resource
import shutil
import statistics
import subprocess
import time
from pathlib import Path


def fill(endpoint, bucket, count):
    import boto3
    from concurrent.futures import ThreadPoolExecutor

    s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    s3.create_bucket(Bucket=bucket)

    def put(number):
        chance = random.Random(number)
        size = 40 << 20 if number < 8 else chance.randrange(1 << 10, 64 << 10)
        # Half of it repeats, as documents do.
        body = chance.randbytes(size // 2) + bytes(size - size // 2)
        s3.put_object(Bucket=bucket, Key=f"documents/{number % 100:02}/{number:06}.pdf", Body=body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(count)))


def measured(commands, environment):
    """Wall and CPU seconds and peak memory in MiB of commands one after the other."""
    before, begun, peak = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), 0
    for command in commands:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = max(peak, usage.ru_maxrss)
        if process.returncode != 0:
            raise SystemExit(f"{command} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - begun, cpu, peak / 1024


def disk_mib(place):
    return int(subprocess.check_output(["du", "-sk", place]).split()[0]) / 1024


def keepstone(args, work):
    program = Path(__file__).resolve().parent.parent / "target/release/keepstone"
    environment = {"KEEPSTONE_REPOSITORY": f"{work}/repo", "KEEPSTONE_CACHE_DIR": f"{work}/cache", "KEEPSTONE_PASSWORD": "bench"}
    subprocess.run([program, "init", "-q"], env={**os.environ, **environment}, check=True)
    backup = [[program, "backup", "-q", "-b", f"endpoint={args.endpoint}", f"s3://{args.bucket}"]]
    return backup, environment


def rclone_and_restic(args, work):
    environment = {"RESTIC_REPOSITORY": f"{work}/repo", "RESTIC_CACHE_DIR": f"{work}/cache", "RESTIC_PASSWORD": "bench"}
    subprocess.run(["restic", "init", "-q"], env={**os.environ, **environment}, check=True)
    remote = f":s3,provider=Other,env_auth,endpoint='{args.endpoint}':{args.bucket}"
    flags = ["--transfers", "32", "--checkers", "32", "--config", "/dev/null", "-q"]
    sync = ["rclone", "sync", *flags, remote, f"{work}/mirror"]
    return [sync, ["restic", "backup", "-q", f"{work}/mirror"]], environment


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fill", type=int, metavar="N")
    args = parser.parse_args()
    if args.fill:
        # By a process of its own: what starts others lends them its peak of memory.
        filling = multiprocessing.Process(target=fill, args=(args.endpoint, args.bucket, args.fill))
        filling.start()
        filling.join()
    found = {}
    for _ in range(args.rounds):
        for name, tool in [("keepstone", keepstone), ("rclone + restic", rclone_and_restic)]:
            work = args.work / "round"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            commands, environment = tool(args, work)
            for job in ["first", "unchanged"]:
                found.setdefault((job, name), []).append((*measured(commands, environment), disk_mib(work)))
            shutil.rmtree(work)
    print(f"{'':28} {'wall s':>8} {'CPU s':>8} {'peak MiB':>9} {'disk MiB':>9}")
    for (job, name), runs in sorted(found.items()):
        wall, cpu, peak, disk = (statistics.median(figures) for figures in zip(*runs))
        print(f"{job:10} {name:17} {wall:8.2f} {cpu:8.2f} {peak:9.0f} {disk:9.0f}")


main()
