"""The measuring part of look.sh, which tells what it does and starts it.

    python look.py CHILDREN RUNS FOLDER_OF_OUR_TOOLS FOLDER_OF_THE_OLD_TOOLS
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

from compare import settings
from local import Local
from wire import Wire

DELAY = 0.05
LIMIT = 25


class Bench:
    """A local cluster behind a wire, and both tools' settings for it."""

    def __init__(self, local, home, **wire):
        exports = json.loads(local.run("blocal", "env", "--json")[1])[0]
        self.wire = Wire(exports["AWS_ENDPOINT_URL"], **wire)
        home.mkdir()
        names = dict.fromkeys(("compute_environment", "job_definition"), "local")
        queue = local.client("batch").describe_job_queues(jobQueues=["local"])["jobQueues"][0]["jobQueueArn"]
        cluster = {"region": exports["AWS_REGION"], "bucket": "awsb-local", "job_queue": queue, **names}
        keys = {name: exports[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        old = settings(home, self.wire, cluster) | keys
        (home / ".aws").mkdir()
        lines = [f"{name.lower()} = {key}" for name, key in keys.items()]
        (home / ".aws/credentials").write_text("\n".join(["[wire]", *lines, ""]))
        config = home / "config.toml"
        config.write_text(config.read_text() + 'profile = "wire"\n')
        ours = {name: value for name, value in old.items() if not name.startswith("AWS_")}
        self.environments = {"old": old, "new": ours | {"AWS_EC2_METADATA_DISABLED": "true"}}

    def run(self, side, command):
        """Wall time, calls made, calls turned away, and what was shown."""
        self.wire.forget()
        start = time.perf_counter()
        environment = self.environments[side]
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        wall = time.perf_counter() - start
        return wall, len(self.wire.requests), self.wire.turned_away, done


def beside(title, bench, commands, count, runs):
    """Runs the commands in turns, and prints a line for each."""
    print(f"\n{title}\n")
    seen = {tool: [] for tool, _, _ in commands}
    for _ in range(runs):
        for tool, side, command in commands:
            wall, calls, away, done = bench.run(side, command)
            seen[tool].append((wall, calls, away, count(done.stdout), done.returncode))
    first = None
    for tool, rows in seen.items():
        wall, calls, away, shown, _ = (statistics.median(column) for column in zip(*rows))
        first = first or wall
        failed = sum(row[-1] != 0 for row in rows)
        note = f", {failed} of {runs} runs FAILED" if failed else ""
        print(f"  {tool:<10} {wall:8.2f} s  {first / wall:6.1f} x  {calls:5.0f} calls, {away:4.0f} turned away, {shown:6.0f} jobs shown{note}")


def main():
    children, runs = (int(argument) for argument in sys.argv[1:3])
    ours, theirs = Path(sys.argv[3]), Path(sys.argv[4])
    with tempfile.TemporaryDirectory(prefix="awsb-look-") as folder:
        home = Path(folder)
        (home / "local").mkdir()
        local = Local(ours, home / "local")
        print(f"aws-parallelcluster-awsbatch-cli {version('aws-parallelcluster-awsbatch-cli')},")
        print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; medians of {runs} runs")
        try:
            local.run("blocal", "start")
            job = local.run("bsub", "-K", "--parsable", "-a", str(children), "true")[1].split()[0]
            of_job = lambda text: sum(f"{job}:" in line for line in text.splitlines())
            slow = Bench(local, home / "slow", delay=DELAY)
            expanded = [
                ("awsbstat", "old", [theirs / "awsbstat", "-e", "-s", "ALL"]),
                ("bstat", "new", [ours / "bstat", "-e", "-s", "ALL"]),
            ]
            beside(f"bstat -e -s ALL: an array of {children:,}, {DELAY * 1000:.0f} ms to every answer", slow, expanded, of_job, runs)
            # With nothing active bstat asks once more, one state after the other.
            active = local.run("bsub", "--parsable", "--wrap", "sleep 3600")[1].split()[0]
            of_active = lambda text: text.count(active)
            states = [
                ("awsbstat", "old", [theirs / "awsbstat"]),
                ("bstat", "new", [ours / "bstat"]),
            ]
            beside(f"bstat: the five active states, {DELAY * 1000:.0f} ms to every answer", slow, states, of_active, runs)
            local.run("bkill", active)
            busy = Bench(local, home / "busy", delay=DELAY, limit=LIMIT)
            indices = [f"{job}:{index}" for index in range(min(children, 5000))]
            described = [
                ("awsbstat", "old", [theirs / "awsbstat", *indices]),
                ("bstat", "new", [ours / "bstat", *indices]),
            ]
            beside(f"bstat with {len(indices):,} IDs, not more than {LIMIT} calls a second", busy, described, of_job, runs)
        finally:
            local.run("blocal", "stop")


if __name__ == "__main__":
    main()
