"""Reads the evaluations that a gate judges, and that a person is shown before overruling one.

Both have to take the same things for an evaluation: an evaluating task's output, a URI, another tool's directory, or what
was promoted last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook

if TYPE_CHECKING:  # loaded when evidence is read: a DAG file that only imports an operator must stay quick
    from airflow_provider_lmeval.results.readers import Evidence

Evaluation = Mapping[str, Any] | str
"""The XCom of an ``LMEvalOperator``, the URI of its result, or the URI of another tool's evidence."""


def read_evaluation(side: str, value: Any) -> Evidence:
    """Read an evaluation; its score tables when they are asked for.

    :param side: ``candidate`` or ``baseline``, for messages.
    :raises GateError: it names no stored result.
    :raises StoreError: the result is not there, or damaged.
    """
    from airflow_provider_lmeval.store.evidence import read_evidence

    uri = evaluation_uri(value)
    if uri is None:
        raise GateError(
            f"{side}: {value!r} names no stored result; pass the output of an evaluation that succeeded, or a result URI"
        )
    return read_evidence(uri)


def read_baseline(value: Any, lmeval_conn_id: str | None) -> Evidence | None:
    """Read the evaluation to compare with; None if there is none to be, as before a first promotion.

    :param value: an evaluation, or ``promoted:NAME/SUITE``.
    :param lmeval_conn_id: connection whose store holds the promotions.
    :raises LMEvalError: as :func:`read_evaluation`.
    """
    from airflow_provider_lmeval.store.baselines import resolve_baseline

    if isinstance(value, str) and value:
        value = resolve_baseline(value, LMEvalHook(lmeval_conn_id).settings.results_uri)
    return read_evaluation("baseline", value) if value else None


def evaluation_uri(value: Any) -> str | None:
    """Return where an evaluation is stored; None if that is not said."""
    uri = value.get("result_uri") if isinstance(value, Mapping) else value
    return uri if isinstance(uri, str) and uri else None
