"""Prints one line of 10 MB, a progress bar that rewrites its line, and a secret cut in two by a pause."""

from __future__ import annotations

import sys

from protocol import emit, read_request, write_evaluation

secrets = read_request()["secrets"]
sys.stdout.write("head of stdout\n" + "x" * 10_000_000)
sys.stdout.write("\ntail of stdout\n")
sys.stdout.flush()
for percent in range(1000):
    sys.stderr.write(f"\rRunning: {percent / 10}%|####      | {percent}/1000")
for secret in secrets:
    sys.stderr.write("\n" + secret[:5])
    sys.stderr.flush()
    sys.stderr.write(secret[5:] + "\n")
write_evaluation([])
emit("finished")
