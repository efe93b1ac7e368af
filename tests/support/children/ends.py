"""Ends early: ``ends.py signal NAME``, ``ends.py exit STATUS`` or ``ends.py failed CAUSE STATUS``."""

from __future__ import annotations

import os
import signal
import sys

from protocol import arguments, emit, finish_task, read_request

secrets = read_request()["secrets"]
emit("phase", phase="evaluating")
finish_task("first")
print("bars: 10%\rbars: 20%\rthe last words", *secrets, file=sys.stderr, flush=True)
how, *what = arguments
if how == "signal":
    os.kill(os.getpid(), getattr(signal, what[0]))
if how == "failed":
    emit("failed", cause=what[0], message=f"KeyError: the exception's own words {secrets}")
sys.exit(int(what[-1]))
