"""What the operator found: taken, held against the job, stored and judged like any other result."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_lmeval.operators.gate import LMEvalGateOperator
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.store import open_result
from tests.kube import KubeServer
from tests.kube.trustyai import JobScript, TrustyAI
from tests.kube_backend.conftest import Airflow, context, spec
from tests.kube_backend.lmevaljob.jobs import RUN, jobs, play, results


@pytest.mark.usefixtures("trusty")
def test_a_jobs_results_pass_the_gate_like_any_others(server: KubeServer, airflow: Airflow) -> None:
    found, error = play(airflow)
    assert error is None
    assert found["results"]["arc_easy"] == {"acc,none": 0.9, "acc_stderr,none": 0.01}
    assert (found["backend"], found["state"], found["reason"]) == ("lmevaljob", "Complete", "Succeeded")
    result = open_result(found["result_uri"])
    assert (result.run_id, result.fingerprint.spec_hash) == (RUN, EvalSpec.parse(spec()).content_hash)
    gate = LMEvalGateOperator(
        task_id="gate", candidate=found, rules=[{"task": "arc_easy", "metric": "acc", "floor": 0.8}]
    )
    assert gate.execute(context())["outcome"] == "PASS"
    server.wait(lambda: not jobs(server))


def test_recipes_have_the_names_of_the_spec_again(airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(results=results(tr_0=0.5, tr_1=0.75))
    recipes = [{"name": "nli", "card": "cards.wnli"}, {"name": "grammar", "card": "cards.cola"}]
    found, error = play(airflow, spec={"model": spec()["model"], "unitxt": recipes})
    assert error is None
    assert {task: scores["acc,none"] for task, scores in found["results"].items()} == {"nli": 0.5, "grammar": 0.75}


def test_a_success_without_results_is_a_failure(airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(results=None)
    found, error = play(airflow)
    assert (found["reason"], found["cause"]) == ("Failed", "storage")
    assert "no result file" in str(error)


def test_results_of_another_model_are_refused(airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(results=results("/models/other"))
    found, error = play(airflow)
    assert found["reason"] == "Failed"
    assert "another job's: the pretrained is '/models/other'" in str(error)


@pytest.mark.parametrize("said", ["not json", "{}", '{"results": []}'])
def test_results_that_are_none_are_refused(airflow: Airflow, trusty: TrustyAI, said: str) -> None:
    trusty.script = JobScript(results=said)
    found, error = play(airflow)
    assert found["reason"] == "Failed"
    assert error is not None


@pytest.mark.parametrize("said", [None, "not json", results("/models/other")])
def test_a_job_whose_results_are_refused_is_not_asked_again(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI, said: str | None
) -> None:
    trusty.script = JobScript(results=said)
    _, error = play(airflow)
    assert not isinstance(error, AirflowFailException)  # another try may find its own
    trusty.script = JobScript(results=results())
    found, error = play(airflow)
    assert (error, found["reason"]) == (None, "Succeeded")
    assert server.requests.count("create", "lmevaljobs") == 2
