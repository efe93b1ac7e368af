"""An LMEvalJob's OCI output, pushed by Airflow: the same place, tag and subject."""

from __future__ import annotations

import pytest

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.plan.lmevaljob import oci_artifact, read_documents, read_lmevaljob
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobSettings
from airflow_provider_lmeval.spec.outputs import OciArtifact

MANIFEST = """
apiVersion: trustyai.opendatahub.io/v1alpha1
kind: LMEvalJob
metadata: {name: nightly}
spec:
  model: hf
  modelArgs: [{name: pretrained, value: google/flan-t5-base}]
  taskList: {taskNames: [arc_easy]}
  outputs:
    oci:
      registry: {name: quay, key: host}
      repository: team/evals
      subject: sha256:%s
      dockerConfigJson: {name: quay, key: .dockerconfigjson}
      verifySSL: false
""" % ("0" * 64)


def test_an_oci_output_keeps_its_place_subject_and_the_tag_that_the_operator_gives_it() -> None:
    (document,) = read_documents(MANIFEST)
    found = read_lmevaljob(document.data)
    assert oci_artifact(found.job, "quay") == OciArtifact(
        conn_id="quay", repository="team/evals", tag="nightly", subject="sha256:" + "0" * 64, verify_ssl=False
    )
    (warning,) = found.warnings
    assert "LMEvalOperator(outputs=" in str(warning)


def test_a_job_without_one_has_none_and_a_repository_that_no_registry_takes_is_refused() -> None:
    assert oci_artifact(LMEvalJobSettings(), "quay") is None
    outputs = {"oci": {"registry": {"name": "a", "key": "b"}, "repository": "Team/Evals"}}
    with pytest.raises(SpecError, match="repository"):
        oci_artifact(LMEvalJobSettings.parse({"outputs": outputs}), "quay")
