"""A job's OCI output in the words of our own outputs.

Everything but the login translates: LMEvalJob has host and credentials in Secrets of the job's namespace, Airflow in a
connection, so the connection is the one thing that somebody has to make.
"""

from __future__ import annotations

from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobSettings
from airflow_provider_lmeval.spec.outputs import OciArtifact, parse_outputs


def oci_artifact(job: LMEvalJobSettings, conn_id: str) -> OciArtifact | None:
    """Return the output that pushes where a job's ``outputs.oci`` did; None if it had none.

    :param job: the settings of a job that was translated.
    :param conn_id: connection with the registry and the login of the job's Secrets.
    :raises SpecError: the repository is none that a registry takes; LMEvalJob allows more than the OCI specification.
    """
    oci = job.outputs.oci if job.outputs else None
    if oci is None:
        return None
    tag, verify = oci.tag or job.name, True if oci.verify_ssl is None else oci.verify_ssl
    said = {"conn_id": conn_id, "repository": oci.repository, "tag": tag, "subject": oci.subject, "verify_ssl": verify}
    (found,) = parse_outputs({"type": "oci"} | said)
    assert isinstance(found, OciArtifact)  # noqa: S101 - tells the type checker what the type key says
    return found
