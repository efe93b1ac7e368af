"""### Gate last week's results again.

Rules change, baselines change, and a verdict is a pure function of both and of stored evidence. So the results of the last
runs are held against today's rules and today's model in production every night. No model is loaded, and no GPU is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_lmeval.errors import LMEvalError
from airflow_provider_lmeval.operators.gate import LMEvalGateOperator

log = logging.getLogger(__name__)
IN_PRODUCTION = "promoted:chat/post_training"
"""The evidence on the promoted model, with its calibration: `promoted:NAME/SUITE`."""
PARAMS = {
    "last": Param(20, type="integer", minimum=1, maximum=500, description="How many of the newest results to gate.")
}
RULES = "no_regression"


@dag(schedule="0 3 * * *", catchup=False, params=PARAMS, tags=["lmeval"], doc_md=__doc__)
def nightly_regate():
    @task
    def newest_results(params: dict[str, Any] | None = None) -> list[str]:
        """Return where the newest successful results are, the newest first."""
        from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
        from airflow_provider_lmeval.store import Store

        store, ended = Store(LMEvalHook().settings.results_uri), {}
        for run_id in store.runs():
            try:
                result = store.read_result(run_id)
            except LMEvalError as error:
                log.warning("%s is left out: %s", run_id, error)
                continue
            if result.succeeded:
                ended[run_id] = result.timings.ended or 0.0
        newest = sorted(ended, key=ended.__getitem__, reverse=True)
        return [store.uri(run_id) for run_id in newest[: (params or {})["last"]]]

    @task(trigger_rule="all_done")
    def overview(verdicts: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
        """Return the runs by what the gate says of them today."""
        found: dict[str, list[str]] = {}
        for verdict in verdicts or ():
            run_id = (verdict.get("candidate") or {}).get("run_id", "unreadable")
            found.setdefault(verdict["outcome"], []).append(run_id)
            log.info("%s: %s: %s", run_id, verdict["outcome"], "; ".join(verdict["reasons"]))
        return found

    # `skip`: a result that would not pass today is something to look at, not a failure of the night.
    gates = LMEvalGateOperator.partial(
        task_id="gate", baseline=IN_PRODUCTION, rules=RULES, on_fail="skip", max_active_tis_per_dagrun=4
    ).expand(candidate=newest_results())
    overview(gates.output)


nightly_regate()
