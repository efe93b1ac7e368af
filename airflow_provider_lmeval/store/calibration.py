"""Makes an A/A test of stored evidence, for the operator and the command line.

The gate computes, this reads both evaluations and keeps what comes out with the baseline it is about.
"""

from __future__ import annotations

import time
from typing import Any

from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.gate import RuleSet
from airflow_provider_lmeval.gate.calibrate import GATES, calibrate
from airflow_provider_lmeval.gate.calibration import Calibration
from airflow_provider_lmeval.store.baselines import PREFIX, Baselines
from airflow_provider_lmeval.store.evidence import read_evidence, score_tables
from airflow_provider_lmeval.store.store import Store


def compare_evaluations(
    rules: RuleSet, first: str, second: str, *, run_id: str | None = None, gates: int = GATES
) -> Calibration:
    """Return what two stored evaluations of one model say of its noise.

    :param first: URI of an evaluation. :param second: of another one.
    :param run_id: the baseline's run; default: the first evaluation.
    :raises GateError: they cannot be compared. :raises StoreError: one of them cannot be read.
    """
    one, other = read_evidence(first), read_evidence(second)
    return calibrate(
        rules,
        one.result,
        other.result,
        score_tables(other, one),
        run_id=run_id or one.result.run_id,
        at=time.time(),
        gates=gates,
    )


def calibrate_baseline(
    store: Store,
    name: str,
    suite: str,
    rules: RuleSet,
    second: str,
    *,
    first: str | None = None,
    gates: int = GATES,
) -> Calibration:
    """Compare the baseline in force with itself, keep what that showed, and return it.

    :param second: URI of another evaluation of it.
    :param first: URI of an evaluation; default: the one it was promoted on.
    :raises GateError: nothing was promoted, or see :func:`compare_evaluations`.
    :raises StoreError: it cannot be read or kept.
    """
    baselines = Baselines(store)
    current = baselines.current(name, suite)
    if current is None:
        raise GateError(f"nothing was promoted as {name}/{suite}, so there is nothing to calibrate")
    found = compare_evaluations(rules, first or current.uri, second, run_id=current.run_id, gates=gates)
    baselines.calibrate(name, suite, found)
    return found


def calibration_of(value: Any, results_uri: str) -> Calibration | None:
    """Return what is known of the noise of the baseline that an argument names; None if nothing is.

    :param value: ``promoted:NAME/SUITE``; of anything else nothing is known.
    :raises DamagedResultError: it is damaged. :raises StoreError: the store cannot be reached.
    """
    if not isinstance(value, str) or not value.startswith(PREFIX):
        return None
    name, _, suite = value.removeprefix(PREFIX).rpartition("/")
    return Baselines(Store(results_uri)).calibration(name, suite)
