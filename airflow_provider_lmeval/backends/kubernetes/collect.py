"""Which of a run's results counts: the stored one, the one in the log, or none.

Several may be there: a store keeps what an earlier try of the same run left, and a pod that is evicted while it stores its
result has written that it was stopped. A success counts wherever it is found, since a run's name stands for one spec; a
failure only if it is this pod's own.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from pathlib import Path

from airflow_provider_lmeval import wire
from airflow_provider_lmeval.backends.base import Handle
from airflow_provider_lmeval.backends.kubernetes.control import gone
from airflow_provider_lmeval.backends.kubernetes.evidence import Evidence
from airflow_provider_lmeval.backends.kubernetes.interpret import status_of
from airflow_provider_lmeval.backends.kubernetes.runs import PodRef
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.wire import CLUSTER_CAUSES, Cause, RunDir, Status

_ECHOES = frozenset({Cause.CANCELLED, Cause.KILLED})
"""Causes with which a driver ends when its pod is ended: the cluster knows better why."""
_REASONS = CLUSTER_CAUSES | {Cause.DEADLINE, Cause.KILLED, Cause.OUT_OF_MEMORY}


def success(store: Store, run_id: str) -> EvalResult | None:
    """Return the stored result of a run, if it has one and has succeeded.

    :raises StoreError: the store cannot be read, or the result is damaged.
    """
    result = store.read_result(run_id) if store.exists(run_id) else None
    return result if result is not None and result.succeeded else None


def decide(store: Store, handle: Handle, found: Evidence) -> EvalResult:
    """Return the document of an ended run that has no stored success; keep one that came by the log.

    :raises RunFailedError: there is none; with the cause that the pod's end tells.
    """
    status = end_of(handle, found)
    if (said := in_log(found, status)) is not None:
        keep(store, said)
        return said
    if (own := _own_failure(store, handle.run_id, found)) is not None and not _is_echo(own, status):
        return own
    gaps = f" ({'; '.join(found.gaps)})" if found.gaps else ""
    message = status.message or "the run succeeded and its result cannot be found any more"
    raise RunFailedError(f"{message}{gaps}", status.cause or Cause.STORAGE)


def end_of(handle: Handle, found: Evidence) -> Status:
    """Return how the run ended, as far as its pod tells."""
    if found.view is None:
        return gone(handle)
    return status_of(found.view, now=time.time(), limits=PodRef.of(handle).limits)


def in_log(found: Evidence, status: Status) -> EvalResult | None:
    """Return the document in the log, unless it only says that the driver was stopped."""
    return None if found.result is None or _is_echo(found.result, status) else found.result


def _own_failure(store: Store, run_id: str, found: Evidence) -> EvalResult | None:
    """Return the stored document if it is the one that this pod says it has written."""
    if found.words is None or not found.words.digest or not store.exists(run_id):
        return None
    raw = store.read_file(run_id, wire.RESULT_NAME)
    return EvalResult.from_json(raw) if hashlib.sha256(raw).hexdigest() == found.words.digest else None


def _is_echo(result: EvalResult, status: Status) -> bool:
    """Whether a document only says that the driver was stopped, where the cluster says why."""
    return not result.succeeded and result.cause in _ECHOES and status.cause in _REASONS


def keep(store: Store, result: EvalResult) -> None:
    """Put a document that came by the log into the store, where the gate will look for it.

    :raises StoreError: the store cannot be written to.
    """
    with tempfile.TemporaryDirectory(prefix="lmeval-") as directory:
        run = RunDir(Path(directory))
        wire.write_atomic(run.result, wire.dump(result.to_data()))
        files = {wire.RESULT_NAME: wire.file_digest(run.result)}
        wire.write_atomic(run.marker, wire.dump({"protocol": wire.PROTOCOL, "run_id": result.run_id, "files": files}))
        store.put_run(run)
