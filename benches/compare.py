"""The measuring part of compare.sh, which tells what it does and starts it.

    python compare.py RUNS FOLDER_OF_OUR_TOOLS FOLDER_OF_THE_OLD_TOOLS
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What a user's queue may hold; both tools list all of it.
JOBS_IN_THE_QUEUE = 100
WARM_UP = 2


class Moto:
    """The tests' moto server; it ends with us, because its stdin does."""

    def __init__(self, folder):
        script = ROOT / "crates/awsb-testkit/python/moto_cluster.py"
        command = [sys.executable, script, folder, "--no-docker", "--no-recording"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.endpoint = self.answer()["endpoint"]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("compare.py: the moto server did not start")
        return json.loads(line)

    def cluster(self, name):
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        return self.answer()

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def settings(home, moto, cluster):
    """One cluster, as each side's settings file has it."""
    (home / "config.toml").write_text(
        f"""\
default_cluster = "bench"

[cluster.bench]
region = "{cluster["region"]}"
endpoint_url = "{moto.endpoint}"
bucket = "{cluster["bucket"]}"
job_queue = "{cluster["job_queue"]}"
job_definition = "{cluster["job_definition"]}"
"""
    )
    (home / ".parallelcluster").mkdir()
    (home / ".parallelcluster/awsbatch-cli.cfg").write_text(
        f"""\
[main]
cluster_name = bench
region = {cluster["region"]}

[cluster bench]
region = {cluster["region"]}
s3_bucket = {cluster["bucket"]}
artifact_directory = artifacts
batch_cli_requirements = aws-parallelcluster-awsbatch-cli>=1.0.0
compute_environment = {cluster["compute_environment"]}
job_queue = {cluster["job_queue"]}
job_definition = {cluster["job_definition"]}
head_node_ip = 10.0.0.1
proxy = NONE
"""
    )
    (home / "job.sh").write_text("#!/bin/sh\necho \"$@\"\n")
    return {
        "AWSB_CONFIG": str(home / "config.toml"),
        "AWS_ACCESS_KEY_ID": "moto",
        "AWS_SECRET_ACCESS_KEY": "moto",
        "AWS_EC2_METADATA_DISABLED": "true",
        # The old tools have no setting for it.
        "AWS_ENDPOINT_URL": moto.endpoint,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": os.environ["PATH"],
    }


def run(command, environment, folder):
    """One run, from exec to exit: wall seconds, CPU seconds, peak memory in MiB."""
    output = folder / "output"
    with open(output, "wb") as sink, open(os.devnull) as nothing:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=nothing, stdout=sink, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    text = output.read_text()
    if process.returncode != 0:
        sys.exit(f"compare.py: {command} ended with {process.returncode}:\n{text}")
    # Linux counts KiB, macOS bytes.
    unit = 1024 if platform.system() == "Darwin" else 1
    return (wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit / 1024), text


def pair(name, old, new, check, runs, environment, folder):
    """Measures two commands in turns; returns their medians."""
    figures = {"old": [], "new": []}
    for turn in range(WARM_UP + runs):
        for side, command in (("old", old), ("new", new)):
            measured, text = run(command, environment, folder)
            if not check(text):
                sys.exit(f"compare.py: {command} did not do its work:\n{text}")
            if turn >= WARM_UP:
                figures[side].append(measured)
    medians = {side: [statistics.median(column) for column in zip(*rows)] for side, rows in figures.items()}
    return name, Path(old[0]).name, Path(new[0]).name, medians


def table(rows, columns=("wall", "CPU", "peak memory")):
    lines = [["", "", *columns]]
    for name, old_name, new_name, medians in rows:
        for side, tool in (("old", old_name), ("new", new_name)):
            wall, cpu, memory = medians[side]
            what = name if side == "old" else ""
            cells = [f"{wall * 1000:.1f} ms", f"{cpu * 1000:.1f} ms", f"{memory:.1f} MiB"]
            lines.append([what, tool, *cells[: len(columns)]])
        ratios = [f"{old / new:.1f} x" for old, new in zip(medians["old"], medians["new"])]
        lines.append(["", "ratio", *ratios[: len(columns)]])
    widths = [max(len(line[column]) for line in lines) for column in range(2 + len(columns))]
    for line in lines:
        cells = [cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths))]
        print("  ".join(cells).rstrip())


def main():
    runs, ours, theirs = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    with tempfile.TemporaryDirectory(prefix="awsb-compare-") as folder:
        home = Path(folder)
        moto = Moto(home / "moto")
        try:
            environment = settings(home, moto, moto.cluster("bench"))
            for _ in range(JOBS_IN_THE_QUEUE):
                run([ours / "bsub", "-J", "filler", "true"], environment, home)
            # Listing first: the submissions would make the list longer from run to run.
            rows = [
                pair(
                    f"list {JOBS_IN_THE_QUEUE} jobs",
                    [theirs / "awsbstat", "-s", "ALL"],
                    [ours / "bstat", "-s", "ALL"],
                    lambda text: text.count("SUCCEEDED") == JOBS_IN_THE_QUEUE,
                    runs,
                    environment,
                    home,
                ),
                pair(
                    "submit a script",
                    [theirs / "awsbsub", "-jn", "job", "-cf", "job.sh", "1", "2"],
                    [ours / "bsub", "-J", "job", "job.sh", "1", "2"],
                    lambda text: "has been submitted" in text,
                    runs,
                    environment,
                    home,
                ),
            ]
        finally:
            moto.stop()
    name = "aws-parallelcluster-awsbatch-cli"
    print(f"medians of {runs} runs; {name} {version(name)} on Python {platform.python_version()},")
    print(f"moto {version('moto')}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs\n")
    table(rows)


if __name__ == "__main__":
    main()
