"""Which image has evaluated: asked for by digest, and told by the node."""

from __future__ import annotations

import pytest

from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from airflow_provider_lmeval.plan import Grants, run_id
from airflow_provider_lmeval.spec import EvalSpec
from tests.kube import KubeServer, Script
from tests.kube_backend import pods
from tests.kube_backend.conftest import IMAGE, NAMESPACE, Airflow, context, defer, finish, fire, spec

SPEC = EvalSpec.parse(spec())
RUN = run_id("dag", "manual__1", "evaluate", -1, 0, SPEC.content_hash)
DIGEST = f"registry.example.com/lm-eval@sha256:{'0' * 64}"


@pytest.mark.parametrize(("image", "warned"), [(IMAGE, True), (DIGEST, False), ("", False)])
def test_an_image_by_tag_is_warned_of(airflow: Airflow, image: str, warned: bool) -> None:
    airflow.connect(image=image)
    problems = LMEvalHook("eval").get_conn().check(SPEC, Grants())
    assert ([problem.level for problem in problems if problem.id == "image-tag"] == ["warning"]) is warned


def test_what_the_node_has_pulled_is_in_xcom(airflow: Airflow, server: KubeServer) -> None:
    raw = pods.document(RUN)
    server.script(Script(runs_s=0.3, log=pods.log(RUN, raw), message=pods.last_words(RUN, raw)))
    task, ctx = airflow.operator(), context()
    deferral = defer(task, ctx)
    (pod,) = server.pods(NAMESPACE)
    event = fire(deferral)
    finish(task, ctx, deferral, event)
    assert ctx["ti"].xcoms["pod_name"] == pod["metadata"]["name"]
    assert ctx["ti"].xcoms["image_id"] == event["seen"]["image_id"]
    assert ctx["ti"].xcoms["image_id"].startswith("sha256:")
