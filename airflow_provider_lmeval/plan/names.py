"""Names that stay valid wherever they are used: file name, object-store key, Kubernetes name and label."""

from __future__ import annotations

import hashlib
import re

MAX_RUN_ID = 63
"""Length of a Kubernetes label value and of a DNS label (RFC 1123)."""


def run_id(dag_id: str, dag_run_id: str, task_id: str, map_index: int, max_tries: int, spec_hash: str) -> str:
    """Name the evaluation of one task instance.

    Retries of a task keep its name and so resume from finished tasks. Clearing raises ``max_tries`` in Airflow, and an
    edited spec changes the hash: both start afresh under another name, next to the old results.

    :param dag_id: the DAG; ``dag_run_id``: its run; ``task_id``: the task; ``map_index``: -1 when not mapped.
    :param max_tries: ``TaskInstance.max_tries``.
    :param spec_hash: ``EvalSpec.content_hash``.
    :returns: at most 63 characters, ``[a-z0-9-]``, starting and ending with a letter or digit.
    """
    owner = _digest(dag_id, dag_run_id, task_id, str(map_index))[:12]
    generation = _digest(str(max_tries), spec_hash)[:8]
    readable = f"{_slug(dag_id, 20)}-{_slug(task_id.rpartition('.')[2], 19)}"
    return f"{readable}-{owner}-{generation}"


def same_task(run_id: str) -> str:
    """Return the prefix of all runs of the same task instance: earlier generations of it are superseded by this one."""
    return run_id.rpartition("-")[0] + "-"


def preflight_id(run_id: str) -> str:
    """Name the preflight of a run: another name, of the same task and generation.

    :param run_id: from :func:`run_id`.
    """
    return f"{run_id.rpartition('-')[0]}-{_digest('preflight', run_id)[:8]}"


def task_key(run_id: str) -> str:
    """Return what all runs of one task instance have in common and no other has; fit for a label."""
    return run_id.split("-")[-2]


def pod_name(stem: str, run_id: str, predecessor: str | None = None) -> str:
    """Name a run's pod so that of several processes that want to start it only one can.

    The API server refuses a second pod of one name, so the name is the lock: it follows from the run and from the pod that
    this one replaces, and a pod that is still terminating does not stand in the way of its successor.

    :param stem: readable beginning.
    :param predecessor: UID of the newest pod of the run that is there and cannot be used any more, or None.
    :returns: a DNS label (RFC 1123), at most 63 characters, so that it is the pod's host name, too.
    """
    return f"{_slug(stem, 54)}-{_digest(run_id, predecessor or '')[:8]}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _slug(text: str, limit: int) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:limit].strip("-")
    return slug or "x"
