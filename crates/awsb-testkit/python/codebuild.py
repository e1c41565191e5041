"""Runs a buildspec on this machine as CodeBuild does, phase by phase.

    python codebuild.py BUILDSPEC (check | commands | run [--no-on-failure])

`check` says what is wrong with the file, `commands` prints its commands, each behind a line `#!/usr/bin/env SHELL` and
with a NUL at its end. `run` runs them, and prints CodeBuild's words for what happens; its last line of stdout is a JSON
object with `buildStatus`, `phases` and `exportedEnvironmentVariables`.

What CodeBuild does, by https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html and
.../view-build-details.html#view-build-details-phases:

* `env/variables` count where the project or StartBuild sets none.
* Variables that a command exports, and the folder that it changes to, are there for those that follow (version 0.2).
* A command that fails ends its phase; its `finally` runs all the same.
* After a failed INSTALL or PRE_BUILD the build ends. After a failed BUILD comes POST_BUILD, with
  CODEBUILD_BUILD_SUCCEEDING=0, unless the phase says `on-failure: ABORT`, which reserved capacity and Lambda do not
  know (.../lambda-compute-images.html): `--no-on-failure`.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

PHASES = ["install", "pre_build", "build", "post_build"]
PHASE_KEYS = {"run-as", "on-failure", "runtime-versions", "commands", "finally"}
ENV_KEYS = {"shell", "variables", "parameter-store", "secrets-manager", "exported-variables", "git-credential-helper"}


def problems(spec):
    """What CodeBuild would refuse, or take for something else than it looks like."""
    if spec.get("version") != 0.2:
        yield "version is not 0.2"
    for key in spec.keys() - {"version", "run-as", "env", "proxy", "batch", "phases", "reports", "artifacts", "cache"}:
        yield f"{key} is no key"
    env = spec.get("env", {})
    for key in env.keys() - ENV_KEYS:
        yield f"env/{key} is no key"
    for name, value in env.get("variables", {}).items():
        if not isinstance(value, str):
            yield f"env/variables/{name} is no string, but {value!r}"
    for name, phase in spec["phases"].items():
        if name not in PHASES:
            yield f"{name} is no phase"
        for key in phase.keys() - PHASE_KEYS:
            yield f"{name}/{key} is no key"
        if phase.get("on-failure") not in (None, "ABORT", "CONTINUE"):
            yield f"{name}/on-failure"
        for command in phase.get("commands", []) + phase.get("finally", []):
            if not isinstance(command, str):
                yield f"a command of {name} is no string, but {command!r}"


def commands(spec):
    shell = spec["env"].get("shell", "sh")
    for phase in spec["phases"].values():
        for command in phase.get("commands", []) + phase.get("finally", []):
            print(f"#!/usr/bin/env {shell}\n{command}", end="\0")


class Build:
    def __init__(self, spec, scratch):
        self.shell = spec["env"].get("shell", "sh")
        self.variables = {**spec["env"].get("variables", {}), **os.environ, "CODEBUILD_BUILD_SUCCEEDING": "1"}
        self.variables.setdefault("CODEBUILD_SRC_DIR", os.getcwd())
        self.folder = self.variables["CODEBUILD_SRC_DIR"]
        self.scratch = scratch

    def run(self, command):
        """Runs a command in a shell of its own; what it leaves behind is kept. Returns its exit code."""
        left = self.scratch / "left"
        left.unlink(missing_ok=True)
        script = self.scratch / "script.sh"
        keep = f"'{sys.executable}' -c 'import json, os; print(json.dumps([os.getcwd(), dict(os.environ)]))' >'{left}'"
        script.write_text(f'trap "{keep}" EXIT\n{command}')
        print(f"[Container] Running command {command}", flush=True)
        code = subprocess.run(
            [self.shell, script], env=self.variables, cwd=self.folder, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT
        ).returncode
        self.folder, self.variables = json.loads(left.read_text())
        return code

    def phase(self, phase):
        failed = None
        for command in phase.get("commands", []):
            code = self.run(command)
            if code != 0:
                failed = f"Error while executing command: {command}. Reason: exit status {code}"
                break
        for command in phase.get("finally", []):
            if self.run(command) != 0 and failed is None:
                failed = "finally"
        return failed


def run(spec):
    phases = []
    with tempfile.TemporaryDirectory() as scratch:
        build = Build(spec, Path(scratch))
        for name in PHASES:
            phase = spec["phases"].get(name, {})
            failed = build.phase(phase)
            state = "FAILED" if failed else "SUCCEEDED"
            print(f"[Container] Phase complete: {name.upper()} State: {state}", flush=True)
            phases.append({"phaseType": name.upper(), "phaseStatus": state, "message": failed})
            if failed:
                build.variables["CODEBUILD_BUILD_SUCCEEDING"] = "0"
                policy = None if "--no-on-failure" in sys.argv else phase.get("on-failure")
                if policy == "ABORT" or (policy is None and name != "build"):
                    break
        exported = {name: build.variables.get(name) for name in spec["env"].get("exported-variables", [])}
    status = "FAILED" if any(phase["phaseStatus"] == "FAILED" for phase in phases) else "SUCCEEDED"
    print(json.dumps({"buildStatus": status, "phases": phases, "exportedEnvironmentVariables": exported}))


def main():
    spec = yaml.safe_load(Path(sys.argv[1]).read_text())
    match sys.argv[2]:
        case "check":
            found = list(problems(spec))
            print("\n".join(found))
            sys.exit(1 if found else 0)
        case "commands":
            commands(spec)
        case "run":
            run(spec)


if __name__ == "__main__":
    main()
