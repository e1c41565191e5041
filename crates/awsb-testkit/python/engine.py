"""Puts the tests' image into the Docker engine and prints the image's name.

    python engine.py

The engine is the one that DOCKER_HOST names, without it the one at Docker's usual socket. The image holds one static
busybox (Debian's package busybox-static), is made here and is pulled from nowhere. No engine, or no busybox: a line on
stderr that says so, and exit code 1.
"""

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile

import docker

REPOSITORY = "awsb-test/busybox"


def static_busybox():
    """A busybox that needs no library, or None."""
    for place in (shutil.which("busybox"), "/bin/busybox", "/usr/bin/busybox"):
        if not place:
            continue
        with open(place, "rb") as file:
            program = file.read()
        # A dynamic ELF file names its loader; macOS's and Alpine's busybox would not start in the
        # container.
        if program.startswith(b"\x7fELF") and b"/ld-linux" not in program and b"/ld-musl" not in program:
            return place, program
    return None


def image_tar(place, program):
    """The image's files; the same busybox gives the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:

        def add(name, content=b"", **fields):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in fields.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(content))

        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)):
            add(folder, type=tarfile.DIRTYPE, mode=mode)
        add("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", mode=0o644)
        add("bin/busybox", program, mode=0o755)
        applets = subprocess.run([place, "--list"], capture_output=True, check=True, text=True).stdout.split()
        for applet in sorted(set(applets) - {"busybox"}):
            add(f"bin/{applet}", type=tarfile.SYMTYPE, linkname="busybox")
    return buffer.getvalue()


def main():
    try:
        engine = docker.from_env(timeout=60)
        engine.ping()
    except (docker.errors.DockerException, OSError) as error:
        sys.exit(f"no Docker engine answers: {error}")
    found = static_busybox()
    if found is None:
        sys.exit("no static busybox on this machine (Debian: apt-get install busybox-static)")
    tar = image_tar(*found)
    tag = hashlib.sha256(tar).hexdigest()[:12]
    name = f"{REPOSITORY}:{tag}"
    try:
        engine.images.get(name)
    except docker.errors.ImageNotFound:
        try:
            engine.api.import_image_from_data(tar, repository=REPOSITORY, tag=tag)
            engine.images.get(name)
        except docker.errors.APIError as error:
            sys.exit(f"the Docker engine does not take the tests' image: {error}")
    print(name)


if __name__ == "__main__":
    main()
