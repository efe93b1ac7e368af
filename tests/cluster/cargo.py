"""What the pods of these tests need and a foreign cluster does not have: a tiny model, documents, this checkout's driver.

Each fits into a ConfigMap, so the cluster has to provide an image with lm-eval and nothing else.
"""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.copy import copy
from tests.cluster.options import Options
from tests.support.tiny import tiny_model

Json = dict[str, Any]

DATA, MODEL, DRIVER, RESULTS = (f"/lmeval-test/{name}" for name in ("data", "model", "driver", "results"))
"""Where pods find it."""
DOCUMENTS = "test.jsonl"
COLOURS = ("red", "green", "blue")
THINGS = ("grass", "blood", "sky", "leaf", "rose", "sea", "fire", "frog")


def documents() -> dict[str, bytes]:
    """Return the file that the tasks read."""
    rows = [{"thing": thing, "choices": COLOURS, "answer": index % 3} for index, thing in enumerate(THINGS)]
    return {DOCUMENTS: "".join(json.dumps(row) + "\n" for row in rows).encode()}


def model() -> dict[str, bytes]:
    """Return the files of a model of half a megabyte."""
    return files(tiny_model())


def driver() -> dict[str, bytes]:
    """Return the driver's files, as ``driver: copy`` would copy them."""
    with tempfile.TemporaryDirectory() as name:
        copy(Path(name))
        return files(Path(name))


def files(root: Path) -> dict[str, bytes]:
    """Return all files below a directory, by their path in it."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def config_map(name: str, labels: dict[str, str], content: dict[str, bytes]) -> Json:
    """Return a ConfigMap with files; its keys cannot have slashes, so a volume names their paths (:func:`volume`)."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels},
        "binaryData": {_key(path): base64.b64encode(found).decode() for path, found in content.items()},
    }


def volume(name: str, content: dict[str, bytes]) -> Json:
    """Return the source of a volume that has the files where they belong."""
    return {"configMap": {"name": name, "items": [{"key": _key(path), "path": path} for path in content]}}


def _key(path: str) -> str:
    return path.replace("/", "..")


def sweeper(name: str, labels: dict[str, str], source: Json, place: str, options: Options) -> Json:
    """Return a pod that removes what other pods have stored at a place on a volume."""
    user = {"runAsUser": options.run_as_user, "fsGroup": options.run_as_user} if options.run_as_user else {}
    command = [options.image_python, "-c", f"import shutil; shutil.rmtree({place!r})"]
    container: Json = {
        "name": "sweep",
        "image": options.image,
        "command": command,
        "volumeMounts": [{"name": "results", "mountPath": RESULTS}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    if options.image_pull_policy:
        container["imagePullPolicy"] = options.image_pull_policy
    where = {
        "nodeSelector": options.pod.get("node_selector") or {},
        "tolerations": options.pod.get("tolerations") or [],
    }
    spec = where | {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}} | user,
        "containers": [container],
        "volumes": [{"name": "results", **source}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def choosing(name: str) -> Json:
    """Return a task that is done in a moment."""
    return _task(name) | {
        "output_type": "multiple_choice",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }


def lasting(name: str = "lasting") -> Json:
    """Return a task that goes on for as long as any test needs it."""
    return _task(name) | {
        "output_type": "generate_until",
        "doc_to_target": "{{choices[answer]}}",
        "generation_kwargs": {"until": ["never said"], "do_sample": False, "max_gen_toks": 100},
        "repeats": 500,
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }


def _task(name: str) -> Json:
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{DATA}/{DOCUMENTS}"}},
        "test_split": "test",
        "doc_to_text": "Q: What colour is the {{thing}}?\nA:",
        "target_delimiter": " ",
    }
