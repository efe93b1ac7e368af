"""Becomes ``python -m ARGUMENTS``, told by the kernel to terminate when whoever started it is gone, however it went.

A test session that is killed cannot tidy up after itself. Linux only (``PR_SET_PDEATHSIG``, prctl(2)); elsewhere such a
session leaves its processes behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    os.execv(sys.executable, [sys.executable, "-m", *sys.argv[1:]])
