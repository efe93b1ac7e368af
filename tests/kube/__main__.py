"""``python -m tests.kube --kubeconfig FILE``: serve until interrupted, for ``make test-cluster`` and the benchmarks."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from tests.kube.custom import LMEVALJOBS
from tests.kube.processes import Image
from tests.kube.server import KubeServer
from tests.kube.trustyai import JobScript, TrustyAI

MISSING = b"Traceback (most recent call last):\nOSError: /nowhere/lmeval-test is not a local folder\n"
"""What the pod of a job says whose model is not there."""


def main() -> None:
    """Start a server, write its kubeconfig, print one JSON line about it, and wait for SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.kube", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True, help="file to write")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument(
        "--image", action="append", default=[], help="name of an image that is this Python's environment"
    )
    parser.add_argument(
        "--namespace", action="append", default=["default"], help="namespaces that exist from the start"
    )
    parser.add_argument("--gpus", type=int, default=0, help="nvidia.com/gpu of the node")
    parser.add_argument(
        "--scripted", action="store_true", help="run nothing: pods wait for others to write their status"
    )
    parser.add_argument("--lmevaljob", action="store_true", help="serve LMEvalJob, as with TrustyAI's CRD installed")
    parser.add_argument(
        "--trustyai", action="store_true", help="let LMEvalJobs run, and fail: there is nothing to evaluate"
    )
    parser.add_argument("--tls", type=Path, nargs=2, metavar=("CERTIFICATE", "KEY"), help="speak HTTPS with this")
    chosen = parser.parse_args()
    image = Image(path=(Path(sys.executable).parent,))
    capacity = {"nvidia.com/gpu": str(chosen.gpus)} if chosen.gpus else {}
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with KubeServer(
        dict.fromkeys(chosen.image, image),
        runs=not chosen.scripted,
        namespaces=chosen.namespace,
        capacity=capacity,
        port=chosen.port,
        certificate=tuple(chosen.tls) if chosen.tls else None,
    ) as server:
        if chosen.lmevaljob or chosen.trustyai:
            server.register(LMEVALJOBS)
        if chosen.trustyai:
            TrustyAI(server, JobScript(failure="exit status 1", log=MISSING)).start()
        path = server.kubeconfig(chosen.kubeconfig, namespace=chosen.namespace[-1])
        print(json.dumps({"url": server.url, "kubeconfig": str(path)}), flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
