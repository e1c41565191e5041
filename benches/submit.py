"""The measuring part of submit.sh, which tells what it does and starts it.

    python submit.py RUNS SUBMISSIONS LINES FOLDER_OF_OUR_TOOLS FOLDER_OF_THE_OLD_TOOLS
"""

import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

from compare import Moto, pair, run, settings, table
from local import Local, timed
from wire import Wire

DELAY = 0.1


def through_proxy(runs, moto, ours, theirs, home):
    proxy = Wire(moto.endpoint, DELAY)
    environment = settings(home, proxy, moto.cluster("proxy"))
    old = [theirs / "awsbsub", "-jn", "job", "-cf", "job.sh", "1", "2"]
    new = [ours / "bsub", "-J", "job", "job.sh", "1", "2"]
    measured = pair(
        "submit a script", old, new, lambda text: "has been submitted" in text, runs, environment, home
    )
    print(f"every request takes {DELAY * 1000:.0f} ms more, medians of {runs} runs in turns\n")
    # No memory: this process has more than the tools, and a child's peak begins with its parent's.
    table([measured], ("wall", "CPU"))
    for command in (old, new):
        proxy.forget()
        run(command, environment, home)
        paths = [request.split("?")[0] for request in proxy.requests]
        print(f"{command[0].name} makes {len(paths)} requests: {', '.join(paths)}")


def first_byte(command, environment, folder, listener):
    """Seconds from before exec until the server has the first byte; the process is ended then."""
    start = time.perf_counter()
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=folder, env=environment, **quiet) as process:
        try:
            connection, _ = listener.accept()
            with connection:
                if not connection.recv(1):
                    sys.exit(f"submit.py: {command} sent nothing")
                return time.perf_counter() - start
        except TimeoutError:
            sys.exit(f"submit.py: {command} does not connect")
        finally:
            process.kill()


def first_bytes(runs, cluster, ours, theirs, home):
    print(f"\nfrom process start to the first byte at the server, medians of {runs} runs (and the shortest)\n")
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(60)
        for scheme in ("http", "https"):
            server = SimpleNamespace(endpoint=f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
            place = home / scheme
            place.mkdir()
            environment = settings(place, server, cluster)
            in_file = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
            (place / ".aws").mkdir()
            (place / ".aws/credentials").write_text(
                "[default]\naws_access_key_id = moto\naws_secret_access_key = moto\n"
            )
            for what, command, variables in (
                ("bsub, keys in the environment", [ours / "bsub", "job.sh"], environment),
                ("bsub, keys in ~/.aws/credentials", [ours / "bsub", "job.sh"], in_file),
                ("awsbsub", [theirs / "awsbsub", "-cf", "job.sh"], environment),
            ):
                times = [first_byte(command, variables, place, listener) * 1000 for _ in range(runs)]
                print(f"{scheme:<6} {what:<33} {statistics.median(times):7.1f} ms  ({min(times):.1f})")


def in_a_loop(submissions, moto, local, ours, theirs, home):
    environment = settings(home, moto, moto.cluster("loop"))
    fewer = max(submissions // 20, 1)
    print("\nin a shell loop\n")
    for what, count, tool, variables in (
        ("awsbsub, moto", fewer, f"{theirs}/awsbsub -cf", environment),
        ("bsub, moto", submissions, f"{ours}/bsub", environment),
        ("bsub, local cluster", submissions, f"{ours}/bsub", local.environment),
    ):
        loop = f"cd {home}; i=0; while [ $i -lt {count} ]; do {tool} job.sh $i >output || exit; i=$((i + 1)); done"
        wall, _ = timed(["sh", "-c", loop], variables)
        print(f"{what:<20} {count:>6} submissions {wall:8.2f} s {wall / count * 1000:8.1f} ms each")


def many_commands(lines, local, home):
    cpus = os.cpu_count()
    commands = home / "commands"
    commands.write_text("".join(f"echo {line}\n" if line % 2 else "true\n" for line in range(lines)))
    runs = {
        "bsub -K --commands": lambda: local.run("bsub", "-K", "--commands", commands)[0],
        "xargs sh -c": lambda: timed(["sh", "-c", f"xargs -P {cpus} -I {{}} sh -c {{}} <{commands}"])[0],
    }
    if shutil.which("parallel"):
        runs["parallel"] = lambda: timed(["sh", "-c", f"parallel -j {cpus} <{commands}"])[0]
    script = home / "job.sh"
    script.write_text("#!/bin/sh\n[ $((AWSB_TASK_ID % 2)) = 0 ] || echo $AWSB_TASK_ID\n")
    runs["bsub -K --wrap"] = lambda: local.run("bsub", "-K", "-a", str(lines), "--wrap", script.read_text())[0]
    runs["bsub -K script"] = lambda: local.run("bsub", "-K", "-a", str(lines), script)[0]
    print(f"\n{lines:,} lines, {cpus} at once\n")
    walls = {name: measure() for name, measure in runs.items()}
    for name, wall in walls.items():
        of_xargs, of_wrap = wall / walls["xargs sh -c"], wall / walls["bsub -K --wrap"]
        each = f"{wall:8.2f} s {wall / lines * 1000:8.2f} ms each"
        print(f"{name:<20} {each}, {of_xargs:5.2f} x xargs, {of_wrap:5.2f} x --wrap")


def main():
    runs, submissions, lines = (int(argument) for argument in sys.argv[1:4])
    ours, theirs = Path(sys.argv[4]), Path(sys.argv[5])
    with tempfile.TemporaryDirectory(prefix="awsb-submit-") as folder:
        home = Path(folder)
        places = [home / name for name in ("proxy", "first", "loop", "local")]
        for place in places:
            place.mkdir()
        at_proxy, at_first, at_loop, at_local = places
        moto, local = Moto(home / "moto"), Local(ours, at_local)
        print(f"aws-parallelcluster-awsbatch-cli {version('aws-parallelcluster-awsbatch-cli')}, moto {version('moto')},")
        print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
        try:
            local.run("blocal", "start")
            through_proxy(runs, moto, ours, theirs, at_proxy)
            first_bytes(runs, moto.cluster("first"), ours, theirs, at_first)
            many_commands(lines, local, at_local)
            in_a_loop(submissions, moto, local, ours, theirs, at_loop)
        finally:
            local.run("blocal", "stop")
            moto.stop()


if __name__ == "__main__":
    main()
