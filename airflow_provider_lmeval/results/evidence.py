"""What can be known of a run whose store cannot be asked: from its container's log, or from its termination message.

The log may hold the whole result document; then nothing is missing but the score tables. The termination message holds
scores and little else, and not always all of them. It never passes for a result: no standard errors, no counts, no
fingerprint. People and branches may read it, a gate that needs more finds nothing to decide on, which is an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from airflow_provider_lmeval.errors import DamagedResultError, ProtocolError
from airflow_provider_lmeval.results.model import EvalResult
from airflow_provider_lmeval.results.summary import SCHEMA_VERSION
from airflow_provider_lmeval.wire import Reason
from airflow_provider_lmeval.wire_pod import Termination
from airflow_provider_lmeval.wire_record import RecordReader


def from_records(lines: Iterable[str], run_id: str, digest: str | None = None) -> EvalResult | None:
    """Return the result document from a container's log, or None if the log does not hold all of it.

    :param lines: of the log, in any state. :param run_id: of the run.
    :param digest: SHA-256 the document must have, as the termination message says; None if that is not known.
    """
    reader = RecordReader(run_id)
    for line in lines:
        reader.feed(line)
    raw = reader.document()
    if raw is None or digest not in (None, hashlib.sha256(raw).hexdigest()):
        return None
    try:
        result = EvalResult.from_json(raw)
    except DamagedResultError:
        return None
    return result if result.run_id == run_id else None


def from_termination(text: str | None, run_id: str) -> Termination | None:
    """Return the driver's last words, or None if the text is not theirs.

    :param text: message of the container's termination; of a container that wrote none it may be the end of its log.
    :param run_id: of the run. A driver that could not read its request does not know it.
    """
    try:
        found = Termination.parse(text or "")
    except ProtocolError:
        return None
    return found if found.run_id in (run_id, "") else None


def partial_summary(found: Termination, *, backend: str) -> dict[str, Any]:
    """Return the XCom ``return_value`` made of a termination message: keys as in ``summary``, and ``truncated``.

    As there, scores of a run that did not succeed are left out.

    :param found: from :func:`from_termination`. :param backend: the backend that ran it.
    """
    tasks = found.metrics if found.reason == Reason.SUCCEEDED else {}
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": found.run_id,
        "backend": backend,
        "state": found.state,
        "reason": found.reason,
        "cause": found.cause,
        "results": {task: dict(scores) for task, scores in tasks.items()},
        "higher_is_better": {},
        "n_samples": {},
        "result_uri": found.location,
        "fingerprint": {},
        "seconds": None,
        "truncated": found.truncated,
    }
