"""The measuring part of lost_replies.sh, which tells what it does and starts it.

    python lost_replies.py SUBMISSIONS FOLDER_OF_OUR_TOOLS CHAOS FOLDER_OF_THE_OTHER_TOOLS
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

SEED = "20260131"
AT_A_TIME = 8
REGION = "eu-west-1"
WEATHERS = {"lossy": "20 % of the replies are lost", "storm": "replies lost, late actions and lists, resets, 429, 500"}


class Chaos:
    """The tests' server; it ends with its stdin."""

    def __init__(self, program, weather):
        self.process = subprocess.Popen(
            [program, SEED, weather], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.endpoint = self.process.stdout.readline().strip()

    def tally(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def marked():
    """Others have no mark of their own: one for each submission tells the doubles."""
    return {"environment": [{"name": "AWSB_SUBMISSION", "value": str(uuid.uuid4())}], "command": ["true"]}


def clients(ours, theirs, environment, folder):
    """Each client: a function from the endpoint to one that submits a job and returns its ID, or None."""

    def run(command):
        outcome = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        return outcome.stdout.strip() if outcome.returncode == 0 else None

    def bsub(_):
        return lambda: run([ours / "bsub", "--parsable", "-J", "job", "true"])

    def boto3_client(endpoint):
        keys = {"aws_access_key_id": "chaos", "aws_secret_access_key": "chaos"}
        client = boto3.client("batch", endpoint_url=endpoint, region_name=REGION, **keys)

        def submit():
            try:
                job = {"jobName": "job", "jobQueue": "q", "jobDefinition": "d"}
                return client.submit_job(**job, containerOverrides=marked())["jobId"]
            except (BotoCoreError, ClientError):
                return None

        return submit

    def aws(endpoint):
        job = ["--job-name", "job", "--job-queue", "q", "--job-definition", "d"]
        job += ["--endpoint-url", endpoint, "--query", "jobId", "--output", "text"]
        command = [theirs / "aws", "batch", "submit-job", *job, "--container-overrides"]
        return lambda: run([*command, json.dumps(marked())])

    return {"bsub": bsub, f"boto3 {version('boto3')}": boto3_client, f"aws {aws_version(theirs)}": aws}


def aws_version(theirs):
    said = subprocess.run([theirs / "aws", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[0].removeprefix("aws-cli/")


def measure(client, weather, submissions, chaos_program, folder):
    chaos = Chaos(chaos_program, weather)
    try:
        (folder / "config.toml").write_text(
            f'default_cluster = "bad"\n[cluster.bad]\nregion = "{REGION}"\nendpoint_url = "{chaos.endpoint}"\n'
            'bucket = "b"\njob_queue = "q"\njob_definition = "d"\n'
        )

        submit = client(chaos.endpoint)
        start = time.perf_counter()
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            outcomes = list(pool.map(lambda _: submit(), range(submissions)))
        seconds = time.perf_counter() - start
        # What is late shows within this time.
        time.sleep(2)
        tally = chaos.tally()
    finally:
        chaos.stop()
    alive = [job for job in tally["jobs"] if job["alive"]]
    ids = {job["id"] for job in alive}
    told = [outcome for outcome in outcomes if outcome is not None]
    doubled = sum(1 for count in Counter(job["mark"] for job in alive).values() if count > 1)
    return [submissions - len(told), sum(1 for id in told if id not in ids), doubled, len(alive), f"{seconds:.0f} s"]


def main():
    submissions, ours, chaos, theirs = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    with tempfile.TemporaryDirectory(prefix="awsb-lost-") as home:
        home = Path(home)
        environment = {
            "AWSB_CONFIG": str(home / "config.toml"),
            "AWSB_SUBMIT_SETTLE": "0.8",
            "AWS_ACCESS_KEY_ID": "chaos",
            "AWS_SECRET_ACCESS_KEY": "chaos",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PATH": os.environ["PATH"],
        }
        print(f"{submissions} submissions each, {AT_A_TIME} at a time, each client with its own settings for retries\n")
        heads = ["errors", "lost", "doubled", "jobs", "time"]
        for weather, words in WEATHERS.items():
            print(f"{weather}: {words}")
            print(f"  {'':16}" + "".join(f"{head:>9}" for head in heads))
            for name, client in clients(ours, theirs, environment, home).items():
                row = measure(client, weather, submissions, chaos, home)
                print(f"  {name:16}" + "".join(f"{cell:>9}" for cell in row), flush=True)
            print()


if __name__ == "__main__":
    main()
