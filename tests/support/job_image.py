"""Builds docker/ on the Docker engine, and on it an image with an MPI program; prints the name of the second.

    python job_image.py FOLDER

FOLDER keeps the base (see base_image.py). The names are those of the content: what is there is not built again.
The steps of the build reach Debian's mirror by the engine's own network, which is there where containers have none.
"""

import fcntl
import hashlib
import sys
from pathlib import Path

import base_image
import docker

ROOT = Path(__file__).parents[2]


def build(engine, name, folder, **arguments):
    """The full name of the image of this folder, which is built if it is not there."""
    content = hashlib.sha256(repr(sorted(arguments.items())).encode())
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content.update(f"\0{path.relative_to(folder)}\0{path.stat().st_mode & 0o111}\0".encode() + path.read_bytes())
    tag = f"{name}:{content.hexdigest()[:12]}"
    try:
        engine.images.get(tag)
    except docker.errors.ImageNotFound:
        print(f"building {tag} (once; half a minute)", file=sys.stderr)
        try:
            engine.images.build(path=str(folder), tag=tag, buildargs=arguments, network_mode="host", rm=True)
        except docker.errors.BuildError as error:
            said = "".join(line.get("stream", "") for line in error.build_log).splitlines()[-20:]
            sys.exit("\n".join([f"{folder.name}/Dockerfile cannot be built: {error}", *said]))
    return tag


def main():
    engine = base_image.connect()
    folder = Path(sys.argv[1]).absolute()
    base = base_image.put(engine, folder)
    with open(folder / "build.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another base, another image.
        image = build(engine, "awsb-test/job", ROOT / "docker", BASE=base)
        print(build(engine, "awsb-test/mpi", ROOT / "tests" / "support" / "mpi", IMAGE=image))


if __name__ == "__main__":
    main()
