"""``spec.pod``, both ways, and what our own pods can take over from it.

Environment variables are split: literal values and Secrets are the evaluation's own and go into the spec, whatever else
Kubernetes can put into a variable stays with the job's settings. The rest of the pod stays as it is written; beside it, the
parts that ``PodSettings`` knows are translated, so that the backend ``kubernetes`` can run what the operator ran.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.plan.lmevaljob.findings import Findings, Path
from airflow_provider_lmeval.plan.lmevaljob.storage import HF_HOME, bucket_settings, referenced
from airflow_provider_lmeval.spec import EnvRef, EvalSpec
from airflow_provider_lmeval.spec.base import check_no_literal_secret_env
from airflow_provider_lmeval.spec.lmevaljob import QUEUE_LABEL, LMEvalJobSettings
from airflow_provider_lmeval.spec.pod import PodSettings

POD: Path = ("spec", "pod")
CONTAINER: Path = (*POD, "container")
OUTPUT = "/opt/app-root/src/output"
"""Where the operator mounts the claim for results."""
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_KEPT = "has no equal in our own pods; only the backend lmevaljob takes it over"
_ALWAYS = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Parts of a security context that all our pods have."""
_PARTS = {"volumeMounts": "volume_mounts", "resources": "resources", "securityContext": "security_context"}
_POD_PARTS = {
    "volumes": "volumes",
    "sideCars": "side_cars",
    "affinity": "affinity",
    "securityContext": "pod_security_context",
}

Env = dict[str, Any]


def read_pod(pod: Mapping[str, Any], findings: Findings, places: dict[str, Path]) -> tuple[Env, Env, Env]:
    """Return the spec's ``env``, the settings' ``env_secrets``, and their ``pod``.

    :param pod: ``spec.pod``, which has passed the schema.
    :param places: filled with where each of our fields comes from.
    """
    container = pod.get("container", {})
    env, secrets, others = _read_env(container.get("env", []), findings, places)
    kept = {ours: container[name] for name, ours in _PARTS.items() if container.get(name)}
    kept |= {ours: pod[name] for name, ours in _POD_PARTS.items() if pod.get(name)}
    return env, secrets, kept | ({"env": others} if others else {})


def _read_env(items: list[Env], findings: Findings, places: dict[str, Path]) -> tuple[Env, Env, list[Env]]:
    env: Env = {}
    secrets: Env = {}
    others: list[Env] = []
    seen: set[str] = set()
    for index, item in enumerate(items):
        path, name = (*CONTAINER, "env", index), item["name"]
        if name in seen:
            findings.error((*path, "name"), f"{name!r} is there twice; the last one would win, so drop the other")
        seen.add(name)
        places[f"env.{name}"] = places[f"env: {name}"] = path
        source = item.get("valueFrom") or {}
        value = item.get("value", "")
        if _ENV_NAME.fullmatch(name) and set(source) == {"secretKeyRef"}:
            secrets[name] = source["secretKeyRef"]
            env[name] = {"env": name}
        elif _ENV_NAME.fullmatch(name) and not source and "$(" not in value:
            env[name] = value
            _refuse_secret(name, value, path, findings)
        else:
            others.append(item)
            findings.warn(path, f"{name}: a variable of this kind {_KEPT}")
    return env, secrets, others


def _refuse_secret(name: str, value: str, path: Path, findings: Findings) -> None:
    try:
        check_no_literal_secret_env({name: value})
    except ValueError:
        findings.error(
            (*path, "value"), f"{name} looks like a credential; take it from a Secret, with valueFrom.secretKeyRef"
        )


def write_pod(spec: EvalSpec, job: LMEvalJobSettings, findings: Findings, origins: dict[Path, str]) -> dict[str, Any]:
    """Return ``spec.pod``.

    :param origins: filled with which of our fields each part comes from.
    """
    env = _write_env(spec, job, findings, origins)
    pod = job.pod.model_dump(mode="json", exclude_defaults=True)
    container = {name: pod[ours] for name, ours in _PARTS.items() if ours in pod}
    if env:
        container = {"env": env} | container
    written = {name: pod[ours] for name, ours in _POD_PARTS.items() if ours in pod}
    origins[POD] = "lmevaljob.pod"
    return ({"container": container} if container else {}) | written


def _write_env(
    spec: EvalSpec, job: LMEvalJobSettings, findings: Findings, origins: dict[Path, str]
) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    for name, value in spec.env.items():
        origins[(*CONTAINER, "env", len(written))] = f"env.{name}"
        if not isinstance(value, EnvRef):
            written.append({"name": name, "value": value})
            if "$(" in value:
                findings.error(("env", name), "Kubernetes would put another variable's value in place of $(…)")
        elif value.env != name or name not in job.env_secrets:
            findings.error(
                ("env", name), f"refers to {value.env!r}: give the Secret in lmevaljob.env_secrets, under the same name"
            )
        else:
            selector = job.env_secrets[name].model_dump(exclude_none=True)
            written.append({"name": name, "valueFrom": {"secretKeyRef": selector}})
    for name in job.env_secrets.keys() - spec.env.keys() - referenced(spec):
        findings.error(
            ("lmevaljob", "env_secrets", name), f"the spec's env does not refer to it as {{'env': {name!r}}}"
        )
    return [*written, *(dict(item) for item in job.pod.env)]


def pod_settings(manifest: Mapping[str, Any], findings: Findings) -> PodSettings:
    """Return what our own pods get, and name what they cannot be given.

    :param manifest: has passed the schema.
    """
    spec, metadata = manifest["spec"], manifest.get("metadata", {})
    pod = spec.get("pod", {})
    container = pod.get("container", {})
    found: dict[str, Any] = {"namespace": metadata.get("namespace")}
    found |= _resources(container.get("resources", {}), findings)
    found |= _security(pod, container, findings)
    found |= _volumes(pod, container, findings)
    found |= _storage(spec, findings)
    secrets, found["ca_bundles"] = bucket_settings(spec)
    found["env_secrets"] = _secrets(container.get("env", [])) | secrets
    found["affinity"] = pod.get("affinity")
    found["queue_name"] = metadata.get("labels", {}).get(QUEUE_LABEL)
    if pod.get("sideCars"):
        findings.warn((*POD, "sideCars"), _KEPT)
    try:
        return PodSettings.parse(found)
    except SpecError as error:
        findings.warn(POD, f"cannot be taken over by our own pods: {'; '.join(str(error).splitlines())}")
        return PodSettings()


def _resources(resources: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    path = (*CONTAINER, "resources")
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    found: dict[str, Any] = {}
    for name in sorted(limits.keys() | requests.keys()):
        values = [side[name] for side in (requests, limits) if name in side]
        if name in ("cpu", "memory"):
            found[name] = str(values[0 if name == "cpu" else -1])
        elif "/" in name and "gpu" not in found and str(values[-1]).isdecimal():
            found["gpu"] = {"resource": name, "count": int(values[-1])} if int(values[-1]) else None
        else:
            findings.warn((*path, "limits" if name in limits else "requests", name), _KEPT)
        if name == "memory" and len(set(map(str, values))) > 1:
            findings.warn((*path, "requests", name), "our pods request as much memory as their limit")
    if resources.get("claims"):
        findings.warn((*path, "claims"), _KEPT)
    return found


def _security(pod: Mapping[str, Any], container: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path, context in ((POD, pod.get("securityContext")), (CONTAINER, container.get("securityContext"))):
        for name, value in (context or {}).items():
            if name == "runAsUser":
                found["run_as_user"] = value
            elif name == "fsGroup":
                found["fs_group"] = value
            elif _ALWAYS.get(name) != value:
                findings.warn((*path, "securityContext", name), _KEPT)
    return found


def _volumes(pod: Mapping[str, Any], container: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    volumes = {volume["name"]: (index, volume) for index, volume in enumerate(pod.get("volumes", []))}
    claims, found = [], {}
    taken: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts", [])):
        place, volume = volumes.get(mount["name"], (0, {}))
        source = volume.get("persistentVolumeClaim")
        if source and not mount.keys() - {"name", "mountPath", "subPath", "readOnly"}:
            read_only = bool(mount.get("readOnly") or source.get("readOnly"))
            claim = {"claim": source["claimName"], "path": mount["mountPath"], "read_only": read_only}
            claims.append(claim | ({"sub_path": mount["subPath"]} if mount.get("subPath") else {}))
        elif (volume.get("emptyDir") or {}).get("medium") == "Memory" and mount["mountPath"] == "/dev/shm":  # noqa: S108
            found["shm_size"] = volume["emptyDir"].get("sizeLimit")
        else:
            findings.warn((*CONTAINER, "volumeMounts", index), f"{mount['name']}: a volume of this kind {_KEPT}")
        taken.add(mount["name"])
    for name, (place, _) in volumes.items():
        if name not in taken:
            findings.warn((*POD, "volumes", place), f"{name}: mounted nowhere in the evaluation's container; {_KEPT}")
    return found | {"claims": claims}


def _storage(spec: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    storage, outputs = spec.get("offline", {}).get("storage", {}), spec.get("outputs", {})
    if claim := storage.get("pvcName"):
        found["cache"] = {"claim": claim, "path": HF_HOME}
    if claim := outputs.get("pvcName"):
        found["results"] = {"claim": claim, "path": OUTPUT}
    if size := outputs.get("pvcManaged", {}).get("size"):
        found["results"] = {"path": OUTPUT, "size": size, "retention": "Retain"}
    elif "pvcManaged" in outputs:
        findings.warn(("spec", "outputs", "pvcManaged"), "names no size; give kubernetes.results one")
    if "pvcManaged" in outputs and "pvcName" in outputs:
        findings.warn(("spec", "outputs", "pvcName"), "has no effect beside pvcManaged, there as here")
    if "oci" in outputs:
        findings.warn(("spec", "outputs", "oci"), f"{_KEPT}; elsewhere, LMEvalOperator(outputs=…) pushes to a registry")
    return found


def _secrets(items: list[Env]) -> dict[str, Any]:
    sources = {item["name"]: (item.get("valueFrom") or {}).get("secretKeyRef") for item in items}
    return {
        name: {"secret": source.get("name", ""), "key": source["key"]}
        for name, source in sources.items()
        if source and _ENV_NAME.fullmatch(name)
    }
