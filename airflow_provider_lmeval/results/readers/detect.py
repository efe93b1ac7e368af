"""Finds out whose bundle it is.

lm-eval's own files come first: other tools run lm-eval and keep its output beside their summary, and the summary knows less.
"""

from __future__ import annotations

from airflow_provider_lmeval.errors import DamagedResultError
from airflow_provider_lmeval.results.model import EvalResult
from airflow_provider_lmeval.results.readers.bundle import Evidence, Files
from airflow_provider_lmeval.results.readers.evalhub import read as read_evalhub
from airflow_provider_lmeval.results.readers.lmeval_output import read as read_lmeval
from airflow_provider_lmeval.results.readers.nemo import read as read_nemo
from airflow_provider_lmeval.results.readers.nemo_bundle import read as read_nemo_bundle

KNOWN = (
    "a run of ours (_COMPLETE.json and result.json), `lm-eval run --output_path` (results_<time>.json), "
    "NeMo Evaluator (results.yml, or eval-*.json), EvalHub (the JSON of a job, or of its results)"
)
SUMMARIES = (read_nemo_bundle, read_nemo, read_evalhub)


def read_bundle(files: Files) -> Evidence:
    """Return the evidence in a bundle.

    :raises DamagedResultError: of no known kind, or of one but damaged or ambiguous.
    """
    native = read_lmeval(files)
    summary = next((found for reader in SUMMARIES if (found := reader(files))), None)
    if native and summary:
        return _both(native, summary)
    if found := native or summary:
        return found
    raise DamagedResultError(f"{files.place} holds no evidence of a known kind: {KNOWN}")


def _both(native: Evidence, summary: Evidence) -> Evidence:
    """Return lm-eval's own evidence with what only the summary knows: tasks that another harness evaluated.

    An evaluation of which either says that it failed has failed.
    """
    one, other = native.result.to_data(), summary.result.to_data()
    tasks = {**{name: entry for name, entry in other["tasks"].items() if name not in one["tasks"]}, **one["tasks"]}
    merged = {**one, "tasks": tasks}
    if not summary.result.succeeded:
        merged |= {key: other.get(key) for key in ("state", "reason", "cause", "message")}
    notes = (*native.notes, *summary.notes)
    return Evidence(EvalResult.parse(merged), native.scores, f"{native.kind} in {summary.kind}", notes)
