"""``spec.offline``, both ways: models and data from a claim or from a bucket.

The operator hands a bucket to its driver in variables of fixed names, each from a Secret. So do we: a spec's ``offline.s3``
refers to the same names, and the Secrets are in the job's settings and in ``kubernetes.env_secrets``. A claim is no part of
a spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_lmeval.plan.lmevaljob.findings import Findings, Path
from airflow_provider_lmeval.spec import EnvRef, EvalSpec
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobSettings, S3Source
from airflow_provider_lmeval.spec.offline import Offline, S3Assets

HF_HOME = "/opt/app-root/src/hf_home"
"""Where the operator mounts the offline claim, and copies a bucket to."""
S3: Path = ("spec", "offline", "storage", "s3")
VARIABLES = {
    "accessKeyId": "AWS_ACCESS_KEY_ID",
    "secretAccessKey": "AWS_SECRET_ACCESS_KEY",
    "bucket": "AWS_S3_BUCKET",
    "region": "AWS_DEFAULT_REGION",
    "endpoint": "AWS_S3_ENDPOINT",
}
"""The operator's variables, by the field of ``s3`` whose Secret they come from."""
_OURS = {
    "accessKeyId": "access_key_id",
    "secretAccessKey": "secret_access_key",
    "bucket": "bucket",
    "region": "region",
    "endpoint": "endpoint",
}


def read_bucket(spec: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    """Return what a spec says of the bucket; nothing where there is none, or none that we could copy.

    :param spec: the manifest's, which has passed the schema.
    """
    s3 = _bucket(spec)
    if s3 is None:
        return {}
    if reason := _untranslatable(spec, s3):
        findings.warn(S3, f"{reason}; only the backend lmevaljob takes it over")
        return {}
    if not spec["offline"]["storage"].get("pvcName"):
        findings.warn(S3, f"is copied to {HF_HOME}, where our own pods need a volume: set kubernetes.cache")
    return {"offline": {"cache": HF_HOME, "s3": _assets(s3["path"], s3.get("verifySSL"))}}


def bucket_settings(spec: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what our own pods need for the bucket: Secrets by variable, and ConfigMaps with certificates.

    The operator mounts ``caBundle`` as a ConfigMap, although the CRD describes it as a Secret's key.
    """
    s3 = _bucket(spec)
    if s3 is None or _untranslatable(spec, s3):
        return {}, []
    secrets = {name: {"secret": s3[ours].get("name", ""), "key": s3[ours]["key"]} for ours, name in VARIABLES.items()}
    bundle = s3.get("caBundle")
    return secrets, [{"config_map": bundle.get("name", ""), "key": bundle["key"]}] if bundle else []


def _bucket(spec: Mapping[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] | None = spec.get("offline", {}).get("storage", {}).get("s3")
    return found


def _untranslatable(spec: Mapping[str, Any], s3: Mapping[str, Any]) -> str | None:
    own = {item["name"] for item in spec.get("pod", {}).get("container", {}).get("env", [])}
    if taken := sorted(own & set(VARIABLES.values())):
        return f"the container's env sets {', '.join(taken)} as well, to which the bucket's Secrets belong"
    if s3["path"].startswith("/") or ".." in s3["path"].split("/"):
        return f"path {s3['path']!r} is none in a bucket"
    return None


def _assets(path: str, verify: bool | None) -> dict[str, Any]:
    found: dict[str, Any] = {_OURS[ours]: {"env": name} for ours, name in VARIABLES.items()}
    return found | {"path": path} | ({"verify_ssl": False} if verify is False else {})


def write_offline(spec: EvalSpec, job: LMEvalJobSettings, findings: Findings) -> dict[str, Any] | None:
    """Return ``spec.offline`` in our spelling; None where neither spec nor settings name a place."""
    given = None if job.offline is None else job.offline.model_dump(exclude_none=True)
    if spec.offline is None:
        return None if given is None else {"storage": given}
    if spec.offline.s3 is None:
        findings.error(
            ("offline",), "the operator looks at no cache: give the claim in lmevaljob.offline, and HF_HOME in env"
        )
        return None
    if job.offline and job.offline.s3:
        if spec.offline != _as_ours(job.offline.s3):
            findings.error(
                ("lmevaljob", "offline", "s3"), "says something else than the spec's offline; drop one of both"
            )
        return {"storage": given}
    _refuse(spec.offline, findings)
    return {"storage": (given or {}) | {"s3": _written(spec.offline.s3, job, findings)}}


def bucket_variables(job: LMEvalJobSettings) -> frozenset[str]:
    """Return the variables that a job takes from the Secrets of its bucket."""
    return frozenset(VARIABLES.values()) if job.offline and job.offline.s3 else frozenset()


def referenced(spec: EvalSpec) -> frozenset[str]:
    """Return the variables that a spec's bucket is in."""
    s3 = spec.offline.s3 if spec.offline else None
    values = [] if s3 is None else [getattr(s3, name) for name in _OURS.values()]
    return frozenset(value.env for value in values if isinstance(value, EnvRef))


def _as_ours(s3: S3Source) -> Offline:
    return Offline(cache=HF_HOME, s3=S3Assets.model_validate(_assets(s3.path, s3.verify_ssl)))


def _refuse(offline: Offline, findings: Findings) -> None:
    """Name what the operator does otherwise, or not at all."""
    if offline.cache != HF_HOME:
        findings.error(("offline", "cache"), f"the operator copies to {HF_HOME}; say so")
    if offline.check != "digests":
        findings.error(("offline", "check"), "LMEvalJob has no field for it; leave it at its default")
    for name in ("session_token", "ca_bundle"):
        if offline.s3 and getattr(offline.s3, name):
            instead = "give a ConfigMap in lmevaljob.offline.s3" if name == "ca_bundle" else "use lasting credentials"
            findings.error(("offline", "s3", name), f"LMEvalJob has no field for it; {instead}")


def _written(s3: S3Assets, job: LMEvalJobSettings, findings: Findings) -> dict[str, Any]:
    written: dict[str, Any] = {"path": s3.path}
    for ours, variable in VARIABLES.items():
        name, value = _OURS[ours], getattr(s3, _OURS[ours])
        if not isinstance(value, EnvRef) or value.env != variable or variable not in job.env_secrets:
            findings.error(
                ("offline", "s3", name),
                f"LMEvalJob takes it from a Secret: write {{'env': '{variable}'}}, and the Secret's name and key in "
                f"lmevaljob.env_secrets, under {variable}",
            )
            continue
        written[name] = job.env_secrets[variable].model_dump(exclude_none=True)
    return written | ({} if s3.verify_ssl else {"verify_ssl": False})
