"""``LMEvalJob`` on a cluster that has TrustyAI's CRD and no operator: the test writes the status, as one would.

On a cluster of one's own only with ``LMEVALJOB=crd``: where an operator runs, it would evaluate what is created here.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from airflow_provider_lmeval.backends.kubernetes.api import MERGE_PATCH, Call
from airflow_provider_lmeval.backends.lmevaljob.view import JOBS
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from airflow_provider_lmeval.store import open_result
from tests.cluster.site import Site
from tests.kube_backend.conftest import context, defer, finish, fire, handle_of, spec

pytestmark = pytest.mark.skipif(
    bool(os.environ.get("KUBECONFIG")) and os.environ.get("LMEVALJOB") != "crd", reason="LMEVALJOB=crd is not set"
)
RESULTS = {"results": {"arc_easy": {"acc,none": 0.5, "acc_stderr,none": 0.1}}, "configs": {"arc_easy": {}}}


def test_a_job_is_created_followed_collected_and_removed(site: Site) -> None:
    settings = {"namespace": site.namespace, "labels": site.labels}
    task = LMEvalOperator(
        task_id="evaluate", spec=spec(), lmeval_conn_id="eval", backend="lmevaljob", lmevaljob=settings
    )
    ctx = context(run_id=site.token)
    deferral = defer(task, ctx)
    path = JOBS.path(site.namespace, handle_of(ctx).where["job"])
    status = {"state": "Complete", "reason": "Succeeded", "results": json.dumps(RESULTS)}
    _write(site, path, {"status": status})
    found = finish(task, ctx, deferral, fire(deferral))
    assert found["results"]["arc_easy"]["acc,none"] == 0.5
    assert open_result(found["result_uri"]).succeeded
    with pytest.raises(ClusterError, match="404"):
        site.backend.call(lambda api: api.get(path))


def _write(site: Site, path: str, status: dict[str, Any]) -> None:
    call = Call("PATCH", f"{path}/status", body=status, content_type=MERGE_PATCH)
    site.backend.call(lambda api: api.send(call))
