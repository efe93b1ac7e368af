"""What a plain ``lm-eval run --log_samples`` leaves, read as evidence, against what our own worker records of the same."""

from __future__ import annotations

import msgspec
import pytest

from airflow_provider_lmeval.gate import Outcome, RuleSet, decide
from airflow_provider_lmeval.store.evidence import read_evidence, score_tables
from tests.support.tiny import untrained_model
from tests.support.worker import evaluate, lm_eval_run, tiny_request

pytestmark = pytest.mark.driver

TASKS = ("tiny_mc", "tiny_gen", "tiny_ppl", "tiny_group")
LEAVES = ("tiny_mc", "tiny_gen", "tiny_ppl", "tiny_group_a", "tiny_group_b")


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    place = tmp_path_factory.mktemp("trained")
    lm_eval_run(place, tasks=",".join(TASKS))
    return place


@pytest.fixture(scope="module")
def found(output):
    return read_evidence(str(output))


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    return evaluate(tmp_path_factory.mktemp("worker"), tiny_request(*TASKS, checkpoint="none"))


@pytest.mark.parametrize("task", [*LEAVES, "tiny_group"])
def test_tasks_are_read_as_our_worker_records_them(found, worker, task):
    ours, theirs = worker.evaluation["tasks"][task], found.result.tasks[task]

    for key in ("kind", "output_type", "num_fewshot", "n_samples", "task_hash"):
        value = getattr(theirs, key)
        assert (value.model_dump() if key == "n_samples" else value) == ours.get(key), key
    assert {key: metric.model_dump() for key, metric in theirs.metrics.items()} == {
        key: {"stderr": None, **metric} for key, metric in ours["metrics"].items()
    }


@pytest.mark.parametrize("task", LEAVES)
def test_every_document_has_the_row_that_our_worker_writes(found, worker, task):
    theirs = [msgspec.to_builtins(row) for row in found.scores(task)]

    ours = [{"loglikelihoods": None, "response_hash": None, **row} for row in worker.rows(task)]

    assert [{**row, "loglikelihoods": row["loglikelihoods"] and list(row["loglikelihoods"])} for row in theirs] == ours


@pytest.mark.parametrize("task", LEAVES)
def test_the_fingerprint_is_ours_but_for_the_data_set_s(found, worker, task):
    ours = worker.evaluation["fingerprint"]["tasks"][task]
    theirs = found.result.fingerprint.tasks[task].model_dump(mode="json", exclude_unset=True)

    assert {key: value for key, value in theirs.items() if key != "dataset"} == {
        key: value for key, value in ours.items() if key != "dataset"
    }
    assert theirs["dataset"]["path"] == ours["dataset"]["path"]
    assert "fingerprint" not in theirs["dataset"], "lm-eval does not write it down"


def test_a_run_of_lm_eval_and_one_of_ours_can_be_compared(found, worker):
    ours = worker.evaluation["fingerprint"]
    theirs = found.result.fingerprint.model_dump(mode="json", exclude_unset=True)

    for key in ("limit", "samples", "seeds", "chat_template", "system_instruction", "lm_eval", "batch_size", "device"):
        assert theirs[key] == ours[key], key


def test_the_gate_decides_between_two_of_lm_eval_s_directories(found, tmp_path):
    lm_eval_run(tmp_path, tasks="tiny_mc", model_args=f"pretrained={untrained_model()},dtype=float32")
    untrained = read_evidence(str(tmp_path))
    rules = RuleSet.parse([{"task": "tiny_mc", "metric": "acc", "max_drop": 0.05}])

    worse = decide(rules, untrained.result, found.result, score_tables(untrained, found))
    better = decide(rules, found.result, untrained.result, score_tables(found, untrained))

    (check,), (other,) = worse.checks, better.checks
    assert (worse.outcome, check.outcome, other.outcome) == (Outcome.FAIL, Outcome.FAIL, Outcome.PASS)
    assert better.outcome is Outcome.WARN, "nobody knows the digest of weights that lm-eval read from a directory"
    assert check.statistics.paired
    assert check.statistics.flips.worse > check.statistics.flips.better
