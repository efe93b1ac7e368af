"""Exchanges recorded on Kubernetes 1.36, and how an answer is held against one.

Answers have to be equal but for what differs from one moment to the next, which only has to be of the same form, and for
what this server does not tell (a pod's resources, the diff in a refusal).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx

DATA = Path(__file__).resolve().parents[1] / "data" / "kubernetes"

SECOND = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
FORMS = {
    "uid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "resourceVersion": r"\d+",
    "creationTimestamp|deletionTimestamp|lastTransitionTime|startTime|startedAt|finishedAt": SECOND,
    "podIP|ip": r"10\.88\.\d+\.\d+",
    "containerID": r"containerd://[0-9a-f]{64}",
    "imageID": r"(sha256:[0-9a-f]{64})?",
    "gitCommit": r".*",
}
UNTOLD = frozenset({"resources", "allocatedResources", "hostIP", "hostIPs", "generation", "observedGeneration"})
"""Generations: a real kubelet does not raise them, but how often a test changed the pod differs from the recording."""
ADDRESS = re.compile(r"10\.88\.\d+\.\d+")
DIFF = re.compile(r"\n(@@| changed:).*", re.DOTALL)


def exchanges(name: str) -> list[dict[str, Any]]:
    """Return the exchanges of one recording, in their order."""
    found: list[dict[str, Any]] = json.loads((DATA / f"{name}.json").read_text())
    return found


def send(client: httpx.Client, exchange: dict[str, Any]) -> httpx.Response:
    """Send a recorded request."""
    request = exchange["request"]
    body = None if "body" not in request else json.dumps(request["body"]).encode()
    return client.request(request["method"], request["path"], headers=request.get("headers"), content=body)


def replay(client: httpx.Client, exchange: dict[str, Any]) -> None:
    """Send a recorded request and compare the answer with the recorded one."""
    answer = send(client, exchange)
    assert (answer.status_code, answer.text) == (exchange["status"], answer.text)
    assert answer.headers["Content-Type"] == exchange["headers"]["Content-Type"]
    if isinstance(exchange["body"], str):
        assert answer.text == exchange["body"]
    else:
        compare(exchange["body"], answer.json())


def compare(recorded: Any, answered: Any, path: str = "") -> None:
    """Fail where an answer differs from the recorded one, and name the place."""
    if isinstance(recorded, dict) and isinstance(answered, dict):
        told = {key: value for key, value in answered.items() if key not in UNTOLD}
        wanted = {key: value for key, value in recorded.items() if key not in UNTOLD}
        if "spec" not in wanted and "status" in wanted:
            told.pop("spec", None)  # left out of the fixtures after the first
        assert sorted(told) == sorted(wanted), path
        for key, value in wanted.items():
            compare(value, told[key], f"{path}.{key}")
    elif isinstance(recorded, list) and isinstance(answered, list):
        assert len(answered) == len(recorded), path
        for index, (one, other) in enumerate(zip(_sorted(recorded), _sorted(answered), strict=True)):
            compare(one, other, f"{path}[{index}]")
    elif form := _form(path):
        assert isinstance(answered, str), path
        assert re.fullmatch(form, answered), f"{path}: {answered}"
    else:
        assert _steady(answered) == _steady(recorded), path


def _form(path: str) -> str | None:
    last = re.sub(r"\[\d+\]$", "", path).rpartition(".")[2]
    return next((form for names, form in FORMS.items() if last in names.split("|")), None)


def _sorted(found: list[Any]) -> list[Any]:
    """Bring lists of conditions into one order."""
    return sorted(found, key=lambda one: one["type"]) if found and "type" in (found[0] or ()) else found


def _steady(value: Any) -> Any:
    return DIFF.sub("", ADDRESS.sub("10.88.0.0", value)) if isinstance(value, str) else value
