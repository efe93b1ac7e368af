"""Runs a built image as a cluster would: any user id, group 0, a read-only root, no network, no rights.

docker and podman do that themselves. buildah only builds; where it is all there is, its mounted root file system is entered
with ``unshare`` and ``chroot``, which takes root, and user, environment and entrypoint come from the image's configuration.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

USER = 1_000_730_000
"""As OpenShift hands them out: nobody's id, not even in the image's ``/etc/passwd``."""
WORK, MESSAGE = "/lmeval", "/dev/termination-log"
PATIENCE_S = 300

ENTER = r"""
root=$1 work=$2 message=$3 seen=$4; shift 4
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mkdir -p "$root$seen"  # may lie below /tmp
[ "$work" = none ] || mount --bind "$work" "$root/lmeval"
mount --rbind "$seen" "$root$seen" && mount -o remount,bind,ro "$root$seen"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=0755 dev "$root/dev"
for device in null zero random urandom; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mkdir -m 1777 "$root/dev/shm"
touch "$root/dev/termination-log" && mount --bind "$message" "$root/dev/termination-log"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec "$0" --groups 0 "$root" "$@"
"""
"""What makes a container of a directory, in new namespaces; its last command becomes process 1."""


class Engine(Protocol):
    """Something that runs the image."""

    def command(self, place: Place, variables: Mapping[str, str], entrypoint: Sequence[str]) -> list[str]:
        """Return the command line of a container.

        :param entrypoint: instead of the image's; empty: the image's own.
        """

    def config(self) -> dict[str, Any]:
        """Return the image's configuration, with OCI's names."""


@dataclass(frozen=True)
class Place:
    """What a container sees of this machine.

    :param work: mounted at ``/lmeval``; None: nothing is. :param message: file of the termination message.
    :param seen: directory it may read, at the same path.
    """

    work: Path | None
    message: Path
    seen: Path


@dataclass(frozen=True)
class Docker:
    """docker, or podman, which understands the same.

    :param program: which of them. :param image: name of the image.
    """

    program: str
    image: str

    def command(self, place: Place, variables: Mapping[str, str], entrypoint: Sequence[str]) -> list[str]:
        start, *arguments = entrypoint or [""]
        work = [f"--volume={place.work}:{WORK}"] if place.work else []
        return [
            self.program, "run", "--rm", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges",
            f"--user={USER}:0", "--tmpfs=/tmp:mode=1777", "--read-only", *work,
            f"--volume={place.message}:{MESSAGE}", f"--volume={place.seen}:{place.seen}:ro",
            *(f"--env={name}={value}" for name, value in variables.items()),
            *([f"--entrypoint={start}"] if start else []), self.image, *arguments,
        ]  # fmt: skip

    def config(self) -> dict[str, Any]:
        text = output(self.program, "image", "inspect", "--format", "{{json .Config}}", self.image)
        found: dict[str, Any] = json.loads(text)
        return found


@dataclass(frozen=True)
class Buildah:
    """The root file system of an image, mounted.

    :param image: name of the image. :param root: where it is mounted.
    """

    image: str
    root: Path

    def command(self, place: Place, variables: Mapping[str, str], entrypoint: Sequence[str]) -> list[str]:
        config = self.config()
        known = dict(each.split("=", 1) for each in config["Env"]) | variables
        places = (self.root, place.work or "none", place.message, place.seen)
        return [
            "unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child",
            "sh", "-euc", ENTER, f"{USER}:0", *map(str, places),
            "/usr/bin/env", "-i", "-C", config["WorkingDir"], *(f"{name}={value}" for name, value in known.items()),
            *(entrypoint or config["Entrypoint"]),
        ]  # fmt: skip

    def config(self) -> dict[str, Any]:
        text = output("buildah", "inspect", "--type", "image", self.image)
        found: dict[str, Any] = json.loads(text)["OCIv1"]["config"]
        return found


@dataclass
class Containers:
    """Starts containers of one image.

    :param place: what they see.
    """

    engine: Engine
    place: Place

    def run(self, *entrypoint: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
        """Run one to its end.

        :param entrypoint: instead of the image's own. :param variables: for its environment.
        """
        command = self.engine.command(self.place, variables, entrypoint)
        return subprocess.run(command, capture_output=True, timeout=PATIENCE_S)

    def python(self, code: str) -> str:
        """Return what a program prints, without the last newline."""
        done = self.run("python3", "-c", code)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().rstrip("\n")


@contextmanager
def opened(program: str, image: str) -> Iterator[Engine]:
    """Yield what runs an image.

    :param program: docker, podman or buildah.
    """
    if program != "buildah":
        yield Docker(program, image)
        return
    container = output("buildah", "from", "--pull-never", image)
    try:
        yield Buildah(image, Path(output("buildah", "mount", container)))
    finally:
        output("buildah", "rm", container)


def missing() -> str:
    """Return why no image can be tried; nothing if one can."""
    image, program = os.environ.get("LMEVAL_TEST_IMAGE"), os.environ.get("LMEVAL_TEST_ENGINE", "")
    if not image:
        return "no image is named: `make test-image` builds one and runs this"
    if not shutil.which(program):
        return f"{program or 'a container engine'} is not installed: make test-image ENGINE=docker|podman|buildah"
    if program == "buildah" and os.geteuid() != 0:
        return "buildah runs nothing, and entering an image's root file system takes root: use docker or podman"
    return ""


def output(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_S).stdout.strip()
