"""``status.results`` become a result document, or are refused: damaged, of nothing, or of another job."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_lmeval.backends.lmevaljob.results import SKEW_S, result_of_job
from airflow_provider_lmeval.errors import DamagedResultError, LMEvalError, RunFailedError
from airflow_provider_lmeval.results import EvalResult

CREATED = 1767225600.0  # 2026-01-01T00:00:00Z


def found(*tasks: str, **parts: Any) -> dict[str, Any]:
    """Return what lm-eval writes."""
    names = tasks or ("arc_easy",)
    return {
        "results": {name: {"alias": name, "acc,none": 0.5, "acc_stderr,none": 0.1} for name in names},
        "configs": {name: {"task": name} for name in names},
        "config": {"model": "hf", "model_args": "pretrained=/m,dtype=float32", "limit": None},
        "date": CREATED + 60,
    } | parts


def take(raw: Any, recipes: tuple[str, ...] = (), **spec: Any) -> EvalResult:
    """Take results of a job of one model and one task."""
    arguments = [{"name": "pretrained", "value": "/m"}, {"name": "trust_remote_code"}]
    asked = {"model": "hf", "modelArgs": arguments, "taskList": {"taskNames": ["arc_easy"]}} | spec
    job = {
        "metadata": {"name": "j", "namespace": "ns", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": asked,
        "status": {"results": raw if isinstance(raw, str) or raw is None else json.dumps(raw)},
    }
    return result_of_job(job, "run", recipes, "hash")


def test_scores_and_fingerprint_are_the_runs() -> None:
    result = take(found())
    assert (result.run_id, result.fingerprint.spec_hash) == ("run", "hash")
    assert result.tasks["arc_easy"].metrics


def test_recipes_have_their_names_again() -> None:
    recipes = {"taskList": {"taskRecipes": [{"card": {"name": "cards.a"}}, {"card": {"name": "cards.b"}}]}}
    assert set(take(found("tr_0", "tr_1"), ("first", "second"), **recipes).tasks) == {"first", "second"}


def test_a_group_or_a_tag_of_tasks_stands_for_others() -> None:
    assert take(found("arc_easy", "arc_challenge"), taskList={"taskNames": ["ai2_arc"]}).tasks.keys() >= {"arc_easy"}
    assert take(found("made_up"), taskList={"taskNames": ["no_such_name"]}).tasks.keys() == {"made_up"}


@pytest.mark.parametrize("raw", [None, ""])
def test_no_results_are_a_failed_run(raw: str | None) -> None:
    with pytest.raises(RunFailedError, match="no result file") as caught:
        take(raw)
    assert caught.value.cause == "storage"


@pytest.mark.parametrize(
    "raw",
    [
        "not json", "{}", "[]", "null", '"text"', '{"results": []}', '{"results": {}}', '{"results": null}', "[" * 100_000,
        '{"results": {"a": ', '{"results": {"arc_easy": 5}}', '{"results": {"arc_easy": {"acc,none": "high"}}}',
        "\ud800", '{"results": {"arc_easy": {"acc,none": 1e999}}}',
    ],
)  # fmt: skip
def test_what_are_no_results_is_refused_in_words(raw: str) -> None:
    with pytest.raises(LMEvalError):
        take(raw)


@pytest.mark.parametrize(
    ("raw", "spec", "why"),
    [
        (found(config={"model": "vllm"}), {}, "the model type is 'vllm', the job's is 'hf'"),
        (found(config={"model": "hf", "model_args": {"pretrained": "/z"}}), {}, "the pretrained is '/z'"),
        (found(config={"model": "hf", "model_args": "pretrained=/z"}), {}, "the pretrained is '/z'"),
        (found("arc_challenge"), {}, "arc_easy are missing"),
        (found("tr_0"), {"taskList": {"taskRecipes": [{}, {}]}}, "tr_1 are missing"),
        (found(config={"model": "hf", "limit": 10.0}), {}, "the limit is 10.0, the job's is None"),
        (found(), {"limit": "10"}, "the limit is None, the job's is '10'"),
        (found(date=CREATED - SKEW_S - 1), {}, "written 301 s before the job was created"),
    ],
)
def test_results_of_another_job_are_refused(raw: dict[str, Any], spec: dict[str, Any], why: str) -> None:
    with pytest.raises(DamagedResultError, match="another job's") as caught:
        take(raw, **spec)
    assert why in str(caught.value)


@pytest.mark.parametrize("parts", [{"date": CREATED - SKEW_S}, {"date": "yesterday"}, {"config": None}, {"config": {}}])
def test_what_results_do_not_say_is_not_held_against_them(parts: dict[str, Any]) -> None:
    assert take(found(**parts)).tasks


def test_a_megabyte_of_results_is_taken() -> None:
    many = found("arc_easy", *(f"task_{n}" for n in range(4000)))
    assert len(take(many).tasks) == 4001
