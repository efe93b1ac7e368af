"""Waits for ever: ``waits.py`` politely, ``waits.py stubborn`` against SIGTERM, ``waits.py family`` with descendants,
``waits.py owing`` before the last answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from protocol import arguments, emit, finish_task, read_request, run

read_request()
if "stubborn" in arguments:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
pids = [os.getpid()]
if "family" in arguments:
    sleeper = [sys.executable, "-c", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"]
    pids += [subprocess.Popen(sleeper, start_new_session=away).pid for away in (False, True)]
emit("phase", phase="evaluating")
finish_task("first")
if "owing" in arguments:
    emit("progress", task="second", done=3, total=4, tasks_done=1, tasks_total=2, kind="generate_until")
(run.scratch / "pids.tmp").write_text(" ".join(map(str, pids)))
(run.scratch / "pids.tmp").rename(run.scratch / "pids.txt")
while True:
    signal.pause()
