"""The measuring part of upload.sh, which tells what it does and starts it.

    python upload.py RUNS MIB FOLDER_OF_OUR_TOOLS FOLDER_OF_THE_AWS_CLI
"""

import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

BUCKET = "s3://awsb-local/"
MIB = 1 << 20


def environment(home, tools):
    """The variables of a user whose only cluster is a local one."""
    variables = {"HOME": str(home), "AWSB_LOCAL_HOME": str(home / "local"), "PATH": f"{tools}:/usr/bin:/bin", "LANG": "C.UTF-8"}
    exports = subprocess.run([tools / "blocal", "env"], env=variables, check=True, capture_output=True, text=True)
    exported = [line.removeprefix("export ") for line in exports.stdout.splitlines() if line.startswith("export ")]
    return variables, dict(shlex.split(line)[0].split("=", 1) for line in exported)


def measure(command, variables, folder):
    """Seconds, seconds of CPU, and MiB at the most."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, env=variables, cwd=folder, stdout=subprocess.PIPE)
    with process.stdout as stdout:
        said = stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    taken = time.perf_counter() - begun
    if status != 0:
        sys.exit(f"upload.py: {command}: {status}")
    # Kibibytes on Linux, bytes on macOS.
    peak = usage.ru_maxrss / (1024 if sys.platform == "linux" else MIB)
    return (taken, usage.ru_utime + usage.ru_stime, peak), said.decode().strip()


def main(runs, mib, tools, aws):
    with tempfile.TemporaryDirectory(prefix="awsb-bench-") as folder:
        folder = Path(folder)
        variables, exported = environment(folder, tools)
        for_aws = variables | exported
        with open(folder / "data", "wb") as data:
            for _ in range(mib):
                data.write(os.urandom(MIB))
        results = {"bsub -i": [], "aws s3 cp": []}
        # A job that needs more than the machine has waits, and fetches nothing while others are
        # measured.
        bsub = [tools / "bsub", "--parsable", "-p", "512", "-i", "data", "true"]
        cp = [aws / "aws", "s3", "cp", "--only-show-errors", "data", f"{BUCKET}copy"]
        remove = [aws / "aws", "s3", "rm", "--only-show-errors", "--recursive", BUCKET]
        try:
            for run in range(runs):
                for name, command, its in (("bsub -i", bsub, variables), ("aws s3 cp", cp, for_aws)):
                    result, said = measure(command, its, folder)
                    results[name].append(result)
                    print(f"run {run + 1}: {name}: {result[0]:.1f} s", file=sys.stderr)
                    if command is bsub:
                        subprocess.run([tools / "bkill", said], env=variables, check=True, stdout=subprocess.DEVNULL)
                    subprocess.run(remove, env=for_aws, check=True)
        finally:
            subprocess.run([tools / "blocal", "stop"], env=variables, check=True, stdout=subprocess.DEVNULL)
    print(f"{mib} MiB, medians of {runs} runs, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, "
          f"awscli {version('awscli')}\n")
    print(f"{'':10} {'wall s':>8} {'MiB/s':>8} {'CPU s':>8} {'peak MiB':>9}")
    medians = {}
    for name, measured in results.items():
        wall, cpu, peak = (statistics.median(column) for column in zip(*measured))
        medians[name] = wall
        print(f"{name:10} {wall:8.2f} {mib / wall:8.0f} {cpu:8.2f} {peak:9.1f}")
    ratio = medians["bsub -i"] / medians["aws s3 cp"]
    print(f"\nbsub takes {ratio:.2f} times what aws s3 cp takes")


main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
