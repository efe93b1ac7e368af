"""Becomes a pod's sandbox, or one of its containers; a program of its own, standard library only.

Containers are processes with namespaces around them, and the namespaces are what the traps are made of: PID 1 ignores
signals it does not handle, a mounted file cannot be renamed over, a listener on the loopback is unreachable from outside,
two pods listen on the same port, a user id has no name. So each pod here gets real ones, from unprivileged Linux user
namespaces:

- ``sandbox.py pause FD ADDRESS UID GID`` makes the pod's user and network namespace, whose loopback also has the pod's
  address, and stays for as long as FD is open. For each byte read from FD it sends back a socket of the pod's network:
  by these, the API server reaches into the pod and lets chosen ports of this machine be reached from it.
- ``sandbox.py run FILE FD`` enters the namespaces of a pause process, adds mounts, PIDs and a host name, and becomes the
  container's command. It writes to FD why that failed; nothing means that it runs. It ends with the command's status, as a
  shell would give it (128 + signal), passes SIGTERM on, and takes the container with it when it is killed.

The container's root is this machine's, read-only, over which the volumes are bound; ``/tmp`` can be written to unless the
pod does not want that. Where a mount point does not exist, its directory is replaced, for the container alone, by a memory
file system with the same entries. What stands for the image's own files is bound again into a volume that covers it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import stat
import struct
import sys
from pathlib import Path

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE, MS_UNBINDABLE = 0x1000, 0x4000, 1 << 18, 1 << 17
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, ATTR_RDONLY = 442, -100, 0x8000, 1
SIOCSIFADDR, SIOCSIFFLAGS, SIOCSIFNETMASK, IFF_UP = 0x8916, 0x8914, 0x891C, 1

_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def die_with_parent() -> None:
    """Entering namespaces forgets this, so it is said again after each."""
    check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def main(arguments: list[str]) -> None:
    if arguments[0] == "pause":
        pause(int(arguments[1]), arguments[2], int(arguments[3]), int(arguments[4]))
    else:
        run(arguments[1], int(arguments[2]))


def pause(control_fd: int, address: str, uid: int, gid: int) -> None:
    outside = os.geteuid(), os.getegid()
    check(_libc.unshare(NEWUSER | NEWNET), "unshare")
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{uid} {outside[0]} 1")
    write("/proc/self/gid_map", f"{gid} {outside[1]} 1")
    die_with_parent()
    bring_up(address)
    with socket.socket(fileno=control_fd) as control, contextlib.suppress(BrokenPipeError):  # not wanted any more
        control.send(b"ready")
        while control.recv(1):
            with socket.socket() as inside:
                socket.send_fds(control, [b"."], [inside.fileno()])


def write(path: str, text: str) -> None:
    with open(path, "w") as stream:
        stream.write(text)


def bring_up(address: str) -> None:
    """Switch the loopback on and give it the pod's address, as a single host: other pods stay out of reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        fcntl.ioctl(channel, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
        for request, text in ((SIOCSIFADDR, address), (SIOCSIFNETMASK, "255.255.255.255")):
            packed = struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(text))
            fcntl.ioctl(channel, request, packed)


def run(file: str, report_fd: int) -> None:
    with open(file) as stream:
        settings = json.load(stream)
    os.set_inheritable(report_fd, False)
    for name, flag in (("user", NEWUSER), ("net", NEWNET)):
        fd = os.open(f"/proc/{settings['pause']}/ns/{name}", os.O_RDONLY)
        check(_libc.setns(fd, flag), "setns")
        os.close(fd)
    check(_libc.unshare(NEWNS | NEWPID | NEWUTS | NEWIPC), "unshare")
    die_with_parent()
    child = os.fork()
    if child == 0:
        become(settings, report_fd)
    os.close(report_fd)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(status if status >= 0 else 128 - status)


def become(settings: dict, report_fd: int) -> None:
    """Turn into the container's command; a failure is written to ``report_fd``."""
    try:
        die_with_parent()
        build_root(settings)
        os.setsid()
        socket.sethostname(settings["hostname"])
        os.chdir(settings["directory"])
        if settings["no_new_privileges"]:
            check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        execute(settings["command"], settings["environment"])
    except OSError as error:
        os.write(report_fd, str(error).encode())
    os._exit(128)


def execute(command: list, environment: dict) -> None:
    """Replace this process; the messages are runc's."""
    name = command[0]
    folders = [""] if "/" in name else environment.get("PATH", "").split(":")
    try:
        path = next(path for path in (Path(folder, name) for folder in folders) if os.access(path, os.X_OK))
        os.execve(path, command, environment)
    except StopIteration:
        why = "no such file or directory" if "/" in name else "executable file not found in $PATH"
        raise OSError(f'exec: "{name}": {why}') from None
    except OSError as error:
        raise OSError(f"exec {path}: {os.strerror(error.errno or 0).lower()}") from None


def build_root(settings: dict) -> None:
    """Make this machine's root, with the volumes in their places, the root of this process."""
    root, own = Path(settings["root"]), set()
    check(_libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount /")
    shadow(Path("/"), root)
    own.add(Path("/"))
    mounts = [(Path(one["source"]), Path(one["path"]).resolve(), one["read_only"]) for one in settings["mounts"]]
    make_mount_point(root, Path(settings["directory"]), True, own)
    for source, path, _ in mounts:
        make_mount_point(root, path, source.is_dir(), own)
    make_read_only(root)
    if not settings["read_only"]:
        shadow(root / "tmp", root / "tmp")
        own.add(Path("/tmp"))
    mount("proc", root / "proc", "proc")
    mount("tmpfs", root / "dev/shm", "tmpfs", "size=64m,mode=1777")
    for source, path, read_only in mounts:
        make_mount_point(root, path, source.is_dir(), own)
        bind(source, inside(root, path))
        bring_back(root, path, [Path(one) for one in settings["stays"]])
        if read_only:
            make_read_only(inside(root, path))
        own.add(path)
    os.chroot(root)


def bring_back(root: Path, covered: Path, stays: list) -> None:
    """Let what a volume has covered, and the image could not do without, appear in the volume."""
    for path in stays:
        if path != covered and path.is_relative_to(covered) and path.is_dir():
            inside(root, path).mkdir(parents=True, exist_ok=True)
            bind(path, inside(root, path))
            make_read_only(inside(root, path))


def inside(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def mount(source: str, target: Path, kind: str, options: str = "") -> None:
    check(_libc.mount(source.encode(), os.fsencode(target), kind.encode(), 0, options.encode()), f"mount {target}")


def bind(source: Path, target: Path) -> None:
    made = _libc.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND | MS_REC, None)
    check(made, f"bind {source} to {target}")


def make_read_only(path: Path) -> None:
    attributes = struct.pack("QQQQ", ATTR_RDONLY, 0, 0, 0)
    made = _libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), AT_RECURSIVE, attributes, len(attributes))
    check(made, f"make {path} read-only")


def shadow(original: Path, here: Path) -> None:
    """Put a memory file system at ``here`` with the entries of the directory ``original``, which it may itself cover."""
    covered = os.open(original, os.O_RDONLY | os.O_DIRECTORY)
    mode = stat.S_IMODE(os.fstat(covered).st_mode)
    with os.scandir(covered) as found:
        entries = [(one.name, one.is_symlink(), one.is_dir(follow_symlinks=False)) for one in found]
    mount("tmpfs", here, "tmpfs", f"mode={mode:o}")
    check(_libc.mount(None, os.fsencode(here), None, MS_UNBINDABLE, None), f"mount {here}")
    for name, is_link, is_directory in entries:
        with contextlib.suppress(FileNotFoundError):  # others delete their files meanwhile
            copy_entry(Path(f"/proc/self/fd/{covered}/{name}"), here / name, is_link, is_directory)
    os.close(covered)


def copy_entry(source: Path, target: Path, is_link: bool, is_directory: bool) -> None:
    """Let an entry of a directory appear in another, at no cost."""
    if is_link:
        target.symlink_to(source.readlink())
    elif source.exists():
        create(target, is_directory)
        bind(source, target)


def create(path: Path, directory: bool) -> None:
    if directory:
        path.mkdir()
    else:
        path.touch()


def make_mount_point(root: Path, path: Path, directory: bool, own: set) -> None:
    """Make sure that something can be mounted at ``path``, without writing to this machine's own directories."""
    if os.path.lexists(inside(root, path)):
        return
    make_mount_point(root, path.parent, True, own)
    if path.parent not in own:
        shadow(inside(root, path.parent), inside(root, path.parent))
        own.add(path.parent)
    create(inside(root, path), directory)
    own.add(path)


if __name__ == "__main__":
    main(sys.argv[1:])
