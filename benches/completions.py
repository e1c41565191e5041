"""The measuring part of completions.sh, which tells what it does and starts it.

    python completions.py RUNS PROGRAM
"""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

CLUSTERS = 50
JOBS = 10_000
GOAL_MS = 50

# The words of a command line; the last one is completed.
LINES = {
    "job IDs": ["bstat", ""],
    "job IDs that begin so": ["bout", "a"],
    "clusters": ["bsub", "-c", ""],
    "queues": ["bstat", "-q", ""],
    "options": ["bsub", "--"],
    "tools": ["awsb", ""],
}

# Each prints how many microseconds each run of the function took.
IN_BASH = """
source <(awsb completions --print --shell bash)
COMP_WORDS=(@WORDS@) COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_TYPE=63
for ((run = 0; run <= @RUNS@; run++)); do
    start=${EPOCHREALTIME/./}
    _awsb_complete "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}"
    echo $((${EPOCHREALTIME/./} - start))
done
[ ${#COMPREPLY[@]} != 0 ]
"""
# The functions of zsh that show candidates work only while a line is edited.
IN_ZSH = """
zmodload zsh/datetime
compdef() { }
_describe() { }
source <(awsb completions --print --shell zsh)
words=(@WORDS@) CURRENT=$#words PREFIX=$words[-1]
for ((run = 0; run <= @RUNS@; run++)); do
    start=$EPOCHREALTIME
    _awsb_complete || exit
    printf '%.0f\\n' $(((EPOCHREALTIME - start) * 1000000))
done
"""
# fish has no clock of its own: the time of RUNS runs is taken from outside.
IN_FISH = """
awsb completions --print --shell fish | source
for run in (seq @RUNS@)
    test -n "$(complete -C '@WORDS@')"; or exit 1
end
"""


def write_world(home):
    """Settings with clusters, and a history; returns the environment that has them."""
    environment = {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "XDG_STATE_HOME": str(home / "state"),
        "AWSB_CONFIG": str(home / "config.toml"),
    }
    sections = ['default_cluster = "cluster-7"\n']
    for number in range(CLUSTERS):
        sections.append(
            f'[cluster.cluster-{number}]\nregion = "eu-west-1"\nbucket = "bucket-{number}"\n'
            f'job_queue = "queue-{number}"\njob_definition = "definition-{number}"\n'
        )
    (home / "config.toml").write_text("".join(sections))
    history = home / "state/awsb/jobs/cluster-7.eu-west-1"
    history.parent.mkdir(parents=True)
    with open(history, "w") as file:
        for number in range(JOBS):
            at = f"2026-11-{1 + number // 400:02}T{number // 60 % 24:02}:{number % 60:02}:00.000000000Z"
            file.write(f"{uuid.uuid4()} sample-{number} {at} - 0123456789abcdef\n")
    return environment


def run(words, environment):
    done = subprocess.run(words, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0 or done.stderr:
        sys.exit(f"completions.py: {words} ended with {done.returncode}:\n{done.stderr[:2000]}")
    return done.stdout


def alone(shell, words, runs, environment):
    """Milliseconds of the program, for each run."""
    command = ["awsb", "__complete", shell, str(len(words) - 1), *words]
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        answer = run(command, environment)
        times.append((time.perf_counter() - start) * 1000)
        if len(answer.splitlines()) < 2:
            sys.exit(f"completions.py: {command} has no candidates: {answer}")
    return times[1:]


def inside(shell, words, runs, environment):
    """Milliseconds of the function inside a shell, for each run."""
    quoted = " ".join(f"'{word}'" for word in words)
    if shell == "fish":
        script = IN_FISH.replace("@WORDS@", " ".join(words))
        command = ["fish", "--no-config", "-c"]
        times = []
        for count in (1, 1 + runs):
            start = time.perf_counter()
            run([*command, script.replace("@RUNS@", str(count))], environment)
            times.append((time.perf_counter() - start) * 1000)
        return [(times[1] - times[0]) / runs]
    options = {"bash": ["--norc", "--noprofile", "-c"], "zsh": ["-f", "-c"]}[shell]
    script = {"bash": IN_BASH, "zsh": IN_ZSH}[shell]
    output = run([shell, *options, script.replace("@WORDS@", quoted).replace("@RUNS@", str(runs))], environment)
    return [int(line) / 1000 for line in output.splitlines()][1:]


def main():
    runs, program = int(sys.argv[1]), Path(sys.argv[2]).absolute()
    shells = [shell for shell in ("bash", "zsh", "fish") if shutil.which(shell)]
    with tempfile.TemporaryDirectory(prefix="awsb-completions-") as folder:
        environment = write_world(Path(folder))
        environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
        print(f"{CLUSTERS} clusters, {JOBS} jobs; medians of {runs} runs; {platform.machine()}, {os.cpu_count()} CPUs")
        print(f"{'':24}{''.join(f'{shell:>8}  inside' for shell in shells)}")
        slowest = 0
        for kind, words in LINES.items():
            row = f"{kind:24}"
            for shell in shells:
                medians = [statistics.median(of(shell, words, runs, environment)) for of in (alone, inside)]
                slowest = max(slowest, *medians)
                row += f"{medians[0]:>8.1f}{medians[1]:>8.1f}"
            print(row)
    print(f"the slowest: {slowest:.1f} ms of at most {GOAL_MS}")
    sys.exit(slowest > GOAL_MS)


if __name__ == "__main__":
    main()
