"""Makes the Python environment of the tests, once, and prints where it is.

    python3 venv.py FOLDER [REQUIREMENTS]

The environment lies in FOLDER/python-HASH; the hash is of REQUIREMENTS (requirements.txt) beside this file and of the
Python it was made with, so that a change of either makes a new one. Test binaries that start at the same time wait for each other at a file lock.
Only Python's standard library is used here. Progress and errors go to stderr, the path alone to stdout.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name(sys.argv[2] if len(sys.argv) > 2 else "requirements.txt")


def wanted(folder: Path) -> Path:
    """Where the environment for these requirements belongs."""
    made_of = REQUIREMENTS.read_bytes() + sys.version.encode() + sys.executable.encode()
    return folder / f"python-{hashlib.sha256(made_of).hexdigest()[:12]}"


def make(place: Path) -> None:
    """Makes the environment; `place` is there only when it is whole."""
    shutil.rmtree(place, ignore_errors=True)
    print(f"making the tests' Python environment in {place} (once; half a minute)", file=sys.stderr)
    # stdout carries one line, the path: what venv and pip have to say goes to stderr.
    quiet = {"stdout": sys.stderr, "check": True}
    subprocess.run([sys.executable, "-m", "venv", place], **quiet)
    pip = [place / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--requirement", REQUIREMENTS], **quiet)
    (place / "complete").touch()


def main() -> None:
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    place = wanted(folder)
    with open(folder / "python.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            for old in folder.glob("python-*"):
                shutil.rmtree(old, ignore_errors=True)
            try:
                make(place)
            except (subprocess.CalledProcessError, OSError) as error:
                sys.exit(f"venv.py: {error}")
    print(place)


if __name__ == "__main__":
    os.environ.pop("PYTHONHOME", None)
    main()
