"""What a pod gets to see beside its image: claims, Secrets, certificates, a token; and the claims that are made for it.

A ConfigMap or Secret that is not there would leave a pod waiting for as long as it may take to start. So they are mounted as
optional, and the driver is told what must be there: it looks first, and says what is missing while the GPU is still cold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_lmeval.plan.pod_parts import Manifest, PodRun, add, mount
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.spec.pod_parts import Claim
from airflow_provider_lmeval.wire_pod import CA_FILES_ENV, ENV_FROM_FILES_ENV, MOUNTED_ENV

CERTIFICATES = "/etc/lmeval-ca"
TOKEN = "/var/run/secrets/lmeval"  # noqa: S105 - a directory
SERVICE_CA = "lmeval-service-ca"
"""ConfigMap that OpenShift's service CA operator fills in; one serves all pods of a namespace."""
SERVICE_CA_KEY = "service-ca.crt"
INJECT_CA = "service.beta.openshift.io/inject-cabundle"
RETENTION = "lmeval.airflow/retention"
"""Annotation of managed claims: ``Delete`` or ``Retain``."""
DATA_VOLUMES = frozenset({"configMap", "emptyDir", "ephemeral", "hostPath", "image", "nfs", "persistentVolumeClaim"})
"""Kinds of volumes that data may be read from; ``secret``, ``projected`` and ``csi`` volumes may hold credentials."""


def claim_name(claim: Claim, purpose: str, run_id: str) -> str:
    """Return the name of a claim; one that is a run's own is named after the run.

    :param purpose: ``results``, ``cache`` or the claim's index, which tell a run's own claims apart.
    """
    return claim.claim or f"lmeval-{purpose}-{hashlib.sha256(run_id.encode()).hexdigest()[:16]}"


def purposes(settings: PodSettings) -> Iterator[tuple[str, Claim]]:
    """Yield all claims with what each is for."""
    yield from ((str(index), claim) for index, claim in enumerate(settings.claims))
    yield from ((name, claim) for name in ("cache", "results") if (claim := getattr(settings, name)))


def managed_claims(
    settings: PodSettings, run: PodRun, labels: dict[str, str], annotations: dict[str, str]
) -> list[Manifest]:
    """Return the claims to create before the pod, where they are not there.

    :param labels: of the run, by which its own claims are found. :param annotations: whose run it is.
    """
    found = []
    for purpose, claim in purposes(settings):
        if claim.size is None or (run.precedes and claim.own):
            continue
        retention = "Delete" if claim.is_deleted else "Retain"
        own_labels = labels if claim.own else {name: labels[name] for name in labels if name.startswith("app.")}
        spec: Manifest = {"accessModes": [claim.access_mode], "resources": {"requests": {"storage": claim.size}}}
        spec |= {"storageClassName": claim.storage_class_name} if claim.storage_class_name else {}
        metadata = {
            "name": claim_name(claim, purpose, run.run_id),
            "namespace": run.namespace,
            "labels": own_labels,
            "annotations": (annotations if claim.own else {}) | {RETENTION: retention},
        }
        found.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    return found


def service_ca(settings: PodSettings, namespace: str, labels: dict[str, str]) -> Manifest | None:
    """Return the ConfigMap that OpenShift puts its service CA into, if the pod is to trust it."""
    if not settings.service_ca:
        return None
    metadata = {"name": SERVICE_CA, "namespace": namespace, "labels": labels, "annotations": {INJECT_CA: "true"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def data_mounts(pod: Mapping[str, Any]) -> tuple[str, ...]:
    """Return where a user's own pod mounts volumes that data may be read from.

    :param pod: as :func:`~airflow_provider_lmeval.plan.pod.complete` takes it.
    """
    spec = pod.get("spec") or {}
    holding = {each["name"] for each in spec.get("volumes") or () if DATA_VOLUMES & each.keys()}
    base = (spec.get("containers") or [{}])[0]
    return tuple(each["mountPath"] for each in base.get("volumeMounts") or () if each["name"] in holding)


def mount_all(spec: Manifest, base: Manifest, run: PodRun, settings: PodSettings) -> None:
    """Mount everything that the settings name into the evaluation's container."""
    needed = [*_claims(spec, base, run, settings), *_secrets(spec, base, settings)]
    certificates = list(_certificates(spec, base, settings))
    needed += certificates
    if settings.endpoint_token:
        path = _token(spec, base, settings)
        _tell(base, ENV_FROM_FILES_ENV, {settings.endpoint_token.env: path})
    if certificates:
        _tell(base, CA_FILES_ENV, [each["path"] for each in certificates])
    if needed:
        _tell(base, MOUNTED_ENV, needed)


def _tell(base: Manifest, variable: str, value: Any) -> None:
    add(base, "env", {"name": variable, "value": json.dumps(value, separators=(",", ":"))})


def _claims(spec: Manifest, base: Manifest, run: PodRun, settings: PodSettings) -> Iterator[Manifest]:
    for purpose, claim in purposes(settings):
        folder = (run.precedes or run.run_id) if claim.folder_per_run else ""
        name = claim_name(claim, purpose, run.run_id)
        inside = "/".join(filter(None, (claim.sub_path and claim.sub_path.strip("/"), folder)))
        path = "/".join(filter(None, (claim.path.rstrip("/"), folder)))
        options: Manifest = {"subPath": inside} if inside else {}
        options |= {"readOnly": True} if claim.read_only else {}
        source: Manifest = {"persistentVolumeClaim": {"claimName": name}}
        if (
            run.precedes and claim.own
        ):  # the first pod of a claim decides where its volume is, and GPUs may be elsewhere
            source = {"emptyDir": {}}
        mount(spec, base, f"lmeval-claim-{purpose}", path, source, options)
        if purpose in ("cache", "results"):
            yield {"path": path, "origin": f"claim {name!r} (kubernetes.{purpose})", "writable": not claim.read_only}


def _secrets(spec: Manifest, base: Manifest, settings: PodSettings) -> Iterator[Manifest]:
    for index, each in enumerate(settings.secret_files):
        items = [{"key": key, "path": key} for key in each.keys]
        secret: Manifest = {"secretName": each.secret, "optional": True, "defaultMode": 0o440}
        source = {"secret": secret | ({"items": items} if items else {})}
        mount(spec, base, f"lmeval-secret-{index}", each.path, source, {"readOnly": True})
        for key in each.keys:
            origin = f"key {key!r} of Secret {each.secret!r} (kubernetes.secret_files)"
            yield {"path": f"{each.path.rstrip('/')}/{key}", "origin": origin, "writable": False}
        if not each.keys:
            origin = f"Secret {each.secret!r} (kubernetes.secret_files)"
            yield {"path": each.path, "origin": origin, "writable": False}


def _certificates(spec: Manifest, base: Manifest, settings: PodSettings) -> Iterator[Manifest]:
    named = [(each.config_map, each.key, "ca_bundles") for each in settings.ca_bundles]
    named += [(SERVICE_CA, SERVICE_CA_KEY, "service_ca")] if settings.service_ca else []
    for index, (config_map, key, setting) in enumerate(named):
        # OpenShift fills its own in a moment later: the pod waits for that one
        source = {"name": config_map, "optional": setting == "ca_bundles", "items": [{"key": key, "path": key}]}
        path = f"{CERTIFICATES}/{index}"
        mount(spec, base, f"lmeval-ca-{index}", path, {"configMap": source}, {"readOnly": True})
        origin = f"key {key!r} of ConfigMap {config_map!r} (kubernetes.{setting})"
        yield {"path": f"{path}/{key}", "origin": origin, "writable": False}


def _token(spec: Manifest, base: Manifest, settings: PodSettings) -> str:
    token = settings.endpoint_token
    assert token is not None  # noqa: S101 - asked before
    seconds = token.expiration_seconds or max(600, spec["activeDeadlineSeconds"])
    source = {"audience": token.audience, "expirationSeconds": seconds, "path": "token"}
    projected = {"projected": {"sources": [{"serviceAccountToken": source}]}}
    mount(spec, base, "lmeval-token", TOKEN, projected, {"readOnly": True})
    return f"{TOKEN}/token"
