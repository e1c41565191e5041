"""The measuring part of kill.sh, which tells what it does and starts it.

    python kill.py JOBS RUNS FOLDER_OF_OUR_TOOLS
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3

from local import Local
from look import DELAY, Bench


def ids_of(local, count):
    """The IDs of so many jobs that wait: children of one array, which start one by one."""
    array = local.run("bsub", "--parsable", "-a", str(count), "sleep", "3600")[1].split()[0]
    return array, [f"{array}:{index}" for index in range(count)]


def kill(bench, tools, ids):
    """Seconds and calls that bkill takes for the jobs on its standard input."""
    bench.wire.forget()
    start = time.perf_counter()
    done = subprocess.run(
        [tools / "bkill", "-"], env=bench.environments["new"], input="\n".join(ids), capture_output=True, text=True
    )
    wall = time.perf_counter() - start
    if done.returncode != 0 or len(done.stdout.splitlines()) != len(ids):
        sys.exit(f"kill.py: bkill ended with {done.returncode}:\n{done.stderr[:2000]}")
    return wall, len(bench.wire.requests)


def one_by_one(bench, ids):
    """Seconds that boto3 takes for the jobs, one call after the other."""
    old = bench.environments["old"]
    batch = boto3.client(
        "batch",
        endpoint_url=bench.wire.endpoint,
        region_name="us-east-1",
        aws_access_key_id=old["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=old["AWS_SECRET_ACCESS_KEY"],
    )
    start = time.perf_counter()
    for id in ids:
        batch.terminate_job(jobId=id, reason="measured")
    return time.perf_counter() - start


def main():
    count, runs = (int(argument) for argument in sys.argv[1:3])
    ours = Path(sys.argv[3])
    with tempfile.TemporaryDirectory(prefix="awsb-kill-") as folder:
        home = Path(folder)
        (home / "local").mkdir()
        local = Local(ours, home / "local")
        load = os.getloadavg()[0]
        print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, load {load:.1f}; {ours.name} build, medians of {runs} runs")
        try:
            local.run("blocal", "start")
            bench = Bench(local, home / "slow", delay=DELAY)
            seen = []
            for _ in range(runs):
                array, ids = ids_of(local, count)
                seen.append(kill(bench, ours, ids))
                local.run("bkill", array)
            array, ids = ids_of(local, count)
            few = max(count // 100, 1)
            alone = one_by_one(bench, ids[:few]) * count / few
            local.run("bkill", array)
            wall, calls = (statistics.median(column) for column in zip(*seen))
            print(f"\n{count:,} jobs by ID, {DELAY * 1000:.0f} ms to every answer\n")
            print(f"  bkill                      {wall:8.2f} s   {calls:6.0f} calls")
            print(f"  boto3, one after the other {alone:8.2f} s   {count:6} calls (of {few} measured)")
        finally:
            local.run("blocal", "stop")


if __name__ == "__main__":
    main()
