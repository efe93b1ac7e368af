"""Executes a command as the main process of a container in a strict cluster would be.

The whole file system is read-only but for one directory, there is no network, the process is number 1, and its user id
has no name and no rights, except to read: the Python that runs the tests may lie in somebody's home.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

UID = 1_000_650_000
CAPABILITIES = "-all,+dac_read_search"
HARSH = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, __file__)
"""Begin of a command line; the writable directory and the command follow."""


def possible() -> str | None:
    """Return None, or why it cannot be done on this machine."""
    if os.getuid() != 0:
        return "only root can become an arbitrary user"
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        tried = subprocess.run([*HARSH, directory, "true"], capture_output=True, text=True)
    return f"no namespaces here: {tried.stderr}" if tried.returncode else None


def execute(writable: str, command: list[str]) -> None:
    """Become the command, inside the namespaces that ``unshare`` made."""
    subprocess.run(["mount", "--bind", writable, writable], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", "/"], check=True)
    kinds = ("bounding-set", "inh-caps", "ambient-caps")
    drop = ["--clear-groups", "--no-new-privs", *(f"--{kind}={CAPABILITIES}" for kind in kinds)]
    os.execvp("setpriv", ["setpriv", f"--reuid={UID}", "--regid=0", *drop, *command])


if __name__ == "__main__":
    execute(sys.argv[1], sys.argv[2:])
