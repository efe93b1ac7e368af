"""What LMEvalJob cannot say is found without a cluster, and nothing is held against a spec that may still come."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lmeval.errors import ManifestError
from airflow_provider_lmeval.plan import raise_errors
from airflow_provider_lmeval.plan.lmevaljob.fit import job_problems
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobSettings


def found(job: dict[str, Any] | None = None, **fields: Any) -> list[str]:
    """Return the messages about a spec."""
    spec = EvalSpec.parse({"model": {"type": "hf", "pretrained": "/m"}, "tasks": ["arc_easy"]} | fields)
    problems = job_problems(spec, LMEvalJobSettings.parse(job or {}))
    assert {(problem.id, problem.level) for problem in problems} <= {("lmevaljob-field", "error")}
    return [problem.message for problem in problems]


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("samples", {"samples": {"arc_easy": [1]}}),
        ("seed", {"seed": 7}),
        ("predict_only", {"predict_only": True}),
        ("include_paths", {"include_paths": ["/tasks"]}),
        ("bootstrap_iters", {"bootstrap_iters": 10}),
        ("gen_kwargs.until", {"gen_kwargs": {"until": ["\n"]}}),
        ("model.revision", {"model": {"type": "hf", "pretrained": "/m", "revision": "a,b"}}),
        ("env.PATTERN", {"env": {"PATTERN": "$(HOME)"}}),
        ("env.HF_TOKEN", {"env": {"HF_TOKEN": {"env": "OTHER"}}}),
    ],
)
def test_a_field_without_words_is_named_by_its_path(field: str, fields: dict[str, Any]) -> None:
    (told,) = found(**fields)
    assert told.startswith(f"{field}: ")


def test_all_fields_are_told_at_once() -> None:
    assert [line.partition(":")[0] for line in found(seed=7, predict_only=True)] == ["seed", "predict_only"]


def test_a_setting_of_the_job_that_the_crd_refuses_is_named_as_the_jobs() -> None:
    (told,) = found({"pod": {"volumes": [{"emptyDir": {}}]}})
    assert told.startswith("lmevaljob.pod: spec.pod.volumes[0]")


def test_what_an_administrator_may_still_set_is_no_problem() -> None:
    """Secrets for all jobs, and the batch sizes of the cluster's operator."""
    assert found(env={"HF_TOKEN": {"env": "HF_TOKEN"}}) == []
    assert found(batch_size=4096, max_batch_size=8192) == []


def test_what_the_backend_sees_to_itself_is_no_problem() -> None:
    recipes = [{"name": "nli", "card": "cards.wnli"}]
    assert found(timeout=60, no_progress_timeout=60, checkpoint="none", unitxt=recipes) == []


def test_a_secret_for_all_jobs_is_no_matter_to_those_that_do_not_refer_to_it() -> None:
    assert found({"env_secrets": {"HF_TOKEN": {"name": "hub", "key": "token"}}}) == []


def test_it_is_raised_as_a_manifest_that_cannot_be() -> None:
    spec = EvalSpec.parse({"model": {"type": "hf", "pretrained": "/m"}, "tasks": ["arc_easy"], "seed": 7})
    with pytest.raises(ManifestError, match=r"^seed: LMEvalJob has no field .*\[lmevaljob-field\]$"):
        raise_errors(job_problems(spec, LMEvalJobSettings()))
