"""The measuring part of local.sh, which tells what it does and starts it.

    python local.py ROUNDS FOLDER_OF_OUR_TOOLS
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3

SIZE = 10_000
ENDED = 100_000
ARRAYS = (3_000, 10_000)
# What each may take, as a multiple of another in the same run.
GOALS = {"--wrap": ("xargs sh -c", 2.0), "script": ("--wrap", 1.3), "--commands": ("--wrap", 1.5)}


def timed(command, environment=None):
    """Runs a command; returns its wall time in seconds and what it prints."""
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    wall = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"local.py: {command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return wall, done.stdout


class Local:
    """A local cluster of its own, and the tools."""

    def __init__(self, tools, home):
        self.tools = tools
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), "AWSB_LOCAL_HOME": str(home / "local")}

    def run(self, tool, *arguments):
        return timed([self.tools / tool, *arguments], self.environment)

    def status(self):
        return json.loads(self.run("blocal", "status", "--json")[1])[0]

    def client(self, service):
        exports = json.loads(self.run("blocal", "env", "--json")[1])[0]
        return boto3.client(
            service,
            endpoint_url=exports["AWS_ENDPOINT_URL"],
            region_name=exports["AWS_REGION"],
            aws_access_key_id=exports["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=exports["AWS_SECRET_ACCESS_KEY"],
        )


def many_small(local, rounds):
    cpus = os.cpu_count()
    runs = {
        "xargs": lambda: timed(["sh", "-c", f"seq {SIZE} | xargs -P {cpus} -n1 true"])[0],
        "bsub -K": lambda: local.run("bsub", "-K", "-a", str(SIZE), "true")[0],
    }
    if shutil.which("hq"):
        # Its server and one worker on this machine, started before and stopped after the measured
        # part.
        runs["hq submit"] = lambda: timed(["hq", "submit", "--wait", "--array", f"1-{SIZE}", "true"])[0]
        server = subprocess.Popen(["hq", "server", "start"], stdout=subprocess.DEVNULL)
        time.sleep(1)
        worker = subprocess.Popen(["hq", "worker", "start", f"--cpus={cpus}"], stdout=subprocess.DEVNULL)
    medians = in_turns(runs, rounds)
    if "hq submit" in runs:
        subprocess.run(["hq", "server", "stop"], check=False)
        server.wait()
        worker.wait()
    print(f"{SIZE:,} x true on {cpus} CPUs, medians of {rounds} rounds")
    for name, wall in medians.items():
        print(f"  {name:<10} {wall:7.2f} s   {wall / medians['xargs']:5.2f} x xargs")


def many_scripts(local, rounds, folder):
    """The same small work in every form that an array can have, beside xargs; each goal is a ratio of one run."""
    cpus = os.cpu_count()
    script, lines = folder / "job.sh", folder / "lines"
    script.write_text("#!/bin/sh\ntrue\n")
    for size in ARRAYS:
        lines.write_text("".join(f"true {line}\n" for line in range(size)))
        runs = {
            "xargs sh -c": lambda: timed(["sh", "-c", f"xargs -P {cpus} -I {{}} sh -c {{}} <{lines}"])[0],
            "--wrap": lambda: local.run("bsub", "-K", "-a", str(size), "--wrap", "true")[0],
            "script": lambda: local.run("bsub", "-K", "-a", str(size), script)[0],
            "--commands": lambda: local.run("bsub", "-K", "--commands", lines)[0],
            "command": lambda: local.run("bsub", "-K", "-a", str(size), "true")[0],
        }
        medians = in_turns(runs, rounds)
        print(f"{size:,} x true in a shell, {cpus} at once, medians of {rounds} rounds")
        for name, wall in medians.items():
            of, goal = GOALS.get(name, ("xargs sh -c", None))
            ratio = wall / medians[of]
            told = "" if goal is None else f", at most {goal}: {'yes' if ratio <= goal else 'NO'}"
            print(f"  {name:<12} {wall:7.2f} s   {ratio:5.2f} x {of}{told}")


def in_turns(runs, rounds):
    """The median of each run; a slow moment of the machine meets all of them."""
    walls = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            walls[name].append(run())
    return {name: statistics.median(of) for name, of in walls.items()}


def many_lines(local):
    children, lines = 1000, 100
    script = f"for i in $(seq {lines}); do echo line $i of $AWS_BATCH_JOB_ARRAY_INDEX; done"
    wall, said = local.run("bsub", "-K", "--parsable", "-a", str(children), "--wrap", script)
    job = said.split()[0]
    batch, logs = local.client("batch"), local.client("logs")
    found = 0
    for first in range(0, children, 100):
        ids = [f"{job}:{index}" for index in range(first, first + 100)]
        for child in batch.describe_jobs(jobs=ids)["jobs"]:
            events = logs.get_log_events(
                logGroupName="/aws/batch/job",
                logStreamName=child["container"]["logStreamName"],
                startFromHead=True,
            )["events"]
            index = child["arrayProperties"]["index"]
            if [event["message"] for event in events] != [f"line {n} of {index}" for n in range(1, lines + 1)]:
                sys.exit(f"local.py: {child['jobId']} has not the lines that it printed")
            found += len(events)
    print(f"{children:,} children with {lines} lines each in {wall:.2f} s: {found:,} lines found")


def many_ended(local, rounds):
    # Single jobs, as ListJobs has them in pages; arrays of them are parents with children.
    batch = local.client("batch")
    while (have := local.status()["jobs"]["SUCCEEDED"]) < 2_000:
        for _ in range(2_000 - have):
            batch.submit_job(
                jobName="filler", jobQueue="local", jobDefinition="local", containerOverrides={"command": ["true"]}
            )
        while sum(local.status()["jobs"][s] for s in ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")):
            time.sleep(0.1)
    children = 0
    while children < ENDED:
        local.run("bsub", "-K", "-a", str(SIZE), "true")
        children += SIZE
    running = batch.submit_job(
        jobName="runs", jobQueue="local", jobDefinition="local", containerOverrides={"command": ["sleep", "600"]}
    )["jobId"]
    bstat = statistics.median(local.run("bstat")[0] for _ in range(10 * rounds))
    pages = []
    token = ""
    while token is not None:
        start = time.perf_counter()
        page = batch.list_jobs(jobQueue="local", jobStatus="SUCCEEDED", maxResults=100, nextToken=token)
        pages.append(time.perf_counter() - start)
        token = page.get("nextToken")
    pid = local.status()["pid"]
    memory = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True).stdout
    batch.terminate_job(jobId=running, reason="measured")
    local.run("blocal", "stop")
    start = local.run("blocal", "start")[0]
    print(f"with {children + 2000:,} ended jobs")
    print(f"  bstat of the active ones  {bstat * 1000:7.1f} ms")
    print(f"  ListJobs, 100 a page      {pages[0] * 1000:7.1f} ms the first, {pages[-1] * 1000:.1f} ms the last of {len(pages)}")
    print(f"  resident memory           {int(memory) / 1024:7.1f} MiB")
    print(f"  start                     {start * 1000:7.1f} ms")


def main():
    rounds, tools = int(sys.argv[1]), Path(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="awsb-local-bench-") as folder:
        local = Local(tools, Path(folder))
        print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs\n")
        try:
            local.run("blocal", "start")
            many_scripts(local, rounds, Path(folder))
            many_small(local, rounds)
            many_lines(local)
            many_ended(local, rounds)
        finally:
            local.run("blocal", "stop")


if __name__ == "__main__":
    main()
