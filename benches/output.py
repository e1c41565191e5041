"""The measuring part of output.sh, which tells what it does and starts it.

    python output.py LINES RUNS FOLDER_OF_OUR_TOOLS FOLDER_OF_THE_OLD_TOOLS
"""

import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# What a user of boto3 writes: page after page, until the token comes back as it was.
BOTO3 = """
import boto3, sys
job = boto3.client("batch").describe_jobs(jobs=[sys.argv[1]])["jobs"][0]
logs = boto3.client("logs")
where = dict(logGroupName="/aws/batch/job", logStreamName=job["container"]["logStreamName"], startFromHead=True)
token = None
while True:
    page = logs.get_log_events(**where, **({"nextToken": token} if token else {}))
    sys.stdout.write("".join(event["message"] + "\\n" for event in page["events"]))
    if page["nextForwardToken"] == token:
        break
    token = page["nextForwardToken"]
"""


class Server:
    """The tests' CloudWatch Logs behind a wire; it ends with us, because its stdin does."""

    def __init__(self, program, lines, latency, rate):
        command = [program, str(lines), str(latency), str(rate)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.place = json.loads(self.process.stdout.readline())
        self.before = {"answered": 0, "throttled": 0}

    def traffic(self):
        """What has gone over the wire since the last question."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        now = json.loads(self.process.stdout.readline())
        since = {name: now[name] - self.before[name] for name in now}
        self.before = now
        return since

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def settings(home, endpoint):
    """One cluster, as each side's settings have it."""
    (home / "config.toml").write_text(
        f"""\
default_cluster = "bench"

[cluster.bench]
region = "us-east-1"
endpoint_url = "{endpoint}"
bucket = "b"
job_queue = "q"
job_definition = "d"
"""
    )
    (home / ".parallelcluster").mkdir(exist_ok=True)
    (home / ".parallelcluster/awsbatch-cli.cfg").write_text(
        """\
[main]
cluster_name = bench
region = us-east-1

[cluster bench]
region = us-east-1
s3_bucket = b
artifact_directory = artifacts
batch_cli_requirements = aws-parallelcluster-awsbatch-cli>=1.0.0
compute_environment = c
job_queue = q
job_definition = d
head_node_ip = 10.0.0.1
proxy = NONE
"""
    )
    return {
        "AWSB_CONFIG": str(home / "config.toml"),
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": endpoint,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": os.environ["PATH"],
    }


def run(command, environment, folder):
    """One run: wall seconds, peak memory in MiB, the lines that were shown and their hash."""
    output = folder / "output"
    with open(output, "wb") as sink, open(os.devnull) as nothing:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdin=nothing, stdout=sink)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"output.py: {command[0]} ended with {process.returncode}")
    lines, digest = 0, hashlib.sha256()
    with open(output, "rb") as shown:
        for line in shown:
            lines += 1
            digest.update(line)
    # Linux counts KiB, macOS bytes.
    unit = 1024 if platform.system() == "Darwin" else 1
    return wall, usage.ru_maxrss / unit / 1024, lines, digest.hexdigest()


def truth(lines):
    """The hash of what the job has printed."""
    digest = hashlib.sha256()
    for n in range(lines):
        digest.update(f"0 line {n}, and so that it is of a usual length a few words\n".encode())
    return digest.hexdigest()


def main():
    lines, runs, ours, olds = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    expected = truth(lines)
    with tempfile.TemporaryDirectory(prefix="awsb-bench-") as name:
        folder = Path(name)
        for title, rate in (("50 ms of latency", 0), ("50 ms of latency, 25 calls a second", 25)):
            server = Server(ours / "examples/logs", lines, 50, rate)
            environment = settings(folder, server.place["endpoint"])
            job = server.place["job"]
            commands = {
                "bout": [str(ours / "bout"), job],
                "boto3": [str(olds / "python"), "-c", BOTO3, job],
                "awsbout": [str(olds / "awsbout"), job],
            }
            figures = {name: [] for name in commands}
            for _ in range(runs):
                for name, command in commands.items():
                    measured = run(command, environment, folder)
                    traffic = server.traffic()
                    if name == "bout" and (measured[2], measured[3]) != (lines, expected):
                        sys.exit(f"output.py: bout has shown {measured[2]} lines, and not the truth")
                    figures[name].append((*measured[:3], traffic["answered"], traffic["throttled"]))
                    # The rate is measured over a second.
                    time.sleep(1.1)
            server.stop()
            print(f"{lines:,} lines, {title}; medians of {runs} runs")
            print(f"{'':10} {'seconds':>8} {'lines':>10} {'calls':>6} {'turned away':>12} {'MiB':>5}")
            medians = {}
            for name, measured in figures.items():
                wall, memory, shown, answered, throttled = map(statistics.median, zip(*measured))
                medians[name] = wall
                print(f"{name:10} {wall:8.2f} {shown:10,.0f} {answered:6.0f} {throttled:12.0f} {memory:5.0f}")
            print(f"bout takes a {medians['boto3'] / medians['bout']:.1f}th of boto3's time\n", flush=True)


if __name__ == "__main__":
    main()
