"""Puts a Debian into the Docker engine under the name that docker/Dockerfile has for its base, and prints that name.

    python base_image.py FOLDER

Nothing is pulled: debootstrap makes it, from the mirror that this machine's own apt uses. The mirror is then known in
the image (so that packages can be installed in it), and nowhere else. The archive is kept in FOLDER, and made anew
when it is a month old. An image of that name that the engine has is taken as it is.

What is missing (an engine, debootstrap, root) is said on stderr, with exit code 1.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import docker

DOCKERFILE = Path(__file__).parents[3] / "docker" / "Dockerfile"
NOT_TAKEN = ("dev", *(f"usr/share/{folder}" for folder in ("doc", "info", "locale", "man")))
MONTH = 30 * 24 * 60 * 60


def base():
    """The name of the image, as the Dockerfile says it."""
    return re.search(r"^ARG BASE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)[1]


def apt(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def mirror(suite):
    """Where this machine's apt has Debian's own packages from, if that has the suite."""
    lines = apt("apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages")
    uris = re.findall(r"^Debian (https?://\S+)", lines, re.MULTILINE)
    if not uris:
        # Before the first `apt-get update` apt does not know whose packages they are.
        uris = re.findall(r"https?://\S+", lines)
    for uri in dict.fromkeys(uris):
        try:
            urllib.request.urlopen(f"{uri.rstrip('/')}/dists/{suite}/Release", timeout=30).close()
        except (urllib.error.URLError, OSError):
            continue
        return uri.rstrip("/")
    sys.exit(f"apt's sources on this machine have no Debian {suite}")


def as_root(command, **options):
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    return subprocess.run([*sudo, *command], check=True, **options)


def make(archive, suite):
    """Makes the archive with the files of a small Debian."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    debootstrap = shutil.which("debootstrap", path=path)
    if not debootstrap or not shutil.which("apt-get"):
        sys.exit("the job image's base takes debootstrap and apt (Debian: apt-get install debootstrap)")
    uri = mirror(suite)
    proxy = apt("apt-config", "shell", "proxy", "Acquire::http::Proxy").partition("'")[2].rstrip("'\n")
    print(f"making a Debian {suite} for the job image (once a month; a minute)", file=sys.stderr)
    options = ["--variant=minbase", *(["--include=ca-certificates"] if uri.startswith("https:") else [])]
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if keyring.exists():
        options.append(f"--keyring={keyring}")
    environment = ["env", f"PATH={path}", *([f"http_proxy={proxy}"] if proxy else [])]
    scratch = Path(tempfile.mkdtemp(prefix="awsb-base-"))
    root = scratch / "root"
    log = scratch / "log"
    try:
        with open(log, "wb") as output:
            as_root([*environment, debootstrap, *options, suite, str(root), uri], stdout=output, stderr=output)
        if proxy:
            as_root(["tee", f"{root}/etc/apt/apt.conf.d/proxy"], input=f'Acquire::http::Proxy "{proxy}";\n'.encode(),
                    stdout=subprocess.DEVNULL)
        as_root(["rm", "-rf", f"{root}/var/lib/apt/lists", f"{root}/var/cache/apt"])
        part = archive.with_suffix(".part")
        with open(part, "wb") as output:
            as_root(["tar", "-C", str(root), *(f"--exclude=./{path}/*" for path in NOT_TAKEN), "-c", "."], stdout=output)
        part.rename(archive)
    except (subprocess.CalledProcessError, OSError) as error:
        said = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
        sys.exit("\n".join([f"the job image's base cannot be made (it takes root, or a sudo that asks nothing): {error}", *said]))
    finally:
        as_root(["rm", "-rf", "--one-file-system", str(scratch)])


def put(engine, folder):
    """Has the engine know the base; returns its name."""
    name = base()
    folder.mkdir(parents=True, exist_ok=True)
    # Test binaries that start at the same time wait for each other.
    with open(folder / "base.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            engine.images.get(name)
        except docker.errors.ImageNotFound:
            # debian:SUITE-slim
            suite = name.rpartition(":")[2].split("-")[0]
            archive = folder / f"base-{suite}.tar"
            if not archive.exists() or time.time() - archive.stat().st_mtime > MONTH:
                make(archive, suite)
            repository, _, tag = name.rpartition(":")
            try:
                engine.api.import_image_from_file(str(archive), repository=repository, tag=tag)
                engine.images.get(name)
            except docker.errors.APIError as error:
                sys.exit(f"the Docker engine does not take the job image's base: {error}")
    return name


def connect():
    try:
        engine = docker.from_env(timeout=300)
        engine.ping()
    except (docker.errors.DockerException, OSError) as error:
        sys.exit(f"no Docker engine answers: {error}")
    return engine


if __name__ == "__main__":
    print(put(connect(), Path(sys.argv[1]).absolute()))
