"""A result as an OCI artifact: beside the model in the registry that serves it, found from the model by its referrers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_lmeval.errors import OutputError
from airflow_provider_lmeval.outputs.credentials import Credentials
from airflow_provider_lmeval.outputs.http import client
from airflow_provider_lmeval.outputs.registry import MANIFEST, Repository
from airflow_provider_lmeval.outputs.stored import StoredRun
from airflow_provider_lmeval.spec.outputs import OciArtifact

ARTIFACT_TYPE = "application/vnd.airflow-provider-lmeval.evaluation.v1"
EMPTY = "application/vnd.oci.empty.v1+json"


def push(run: StoredRun, output: OciArtifact, account: Credentials) -> str:
    """Push a run and return the artifact's reference, by digest. Pushing the same run again gives the same digest.

    :raises OutputError: the registry refuses or cannot be reached, or there is no such subject.
    """
    from airflow_provider_lmeval.outputs.registry_login import RegistryLogin

    url = account.url("http" if output.plain_http else "https")
    host = urlsplit(url).netloc
    if not host or urlsplit(url).path:
        raise OutputError(f"connection {account.name!r}: host must name a registry, such as quay.io or registry:5000")
    if urlsplit(url).scheme != "https" and not output.plain_http:
        raise OutputError(f"{url} is not encrypted; use https, or set plain_http: true on the output")
    auth = RegistryLogin(account.docker_login(host), plain_http=output.plain_http)
    with client(auth=auth, verify=output.verify_ssl, ca_bundle=account.extra.get("ca_bundle")) as http:
        repository = Repository(http, url, output.repository)
        manifest = _manifest(repository, run, output, f"{host}/{output.repository}")
        pushed = repository.push_manifest(manifest, output.tag or run.run_id)
    return f"{host}/{output.repository}@{pushed.digest}"


def _manifest(repository: Repository, run: StoredRun, output: OciArtifact, name: str) -> dict[str, Any]:
    """Upload the content and return the manifest that names it."""
    subject = _subject(repository, output.subject, name) if output.subject else {}
    layers = [
        repository.push_blob(file.content, file.media_type).to_data(
            annotations={"org.opencontainers.image.title": file.name}
        )
        for file in (run.document, *run.tables(samples=output.samples))
    ]
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": repository.push_blob(b"{}", EMPTY).to_data(),
        "layers": layers,
        "annotations": _annotations(run),
    } | subject


def _subject(repository: Repository, reference: str, name: str) -> dict[str, Any]:
    """Return the field ``subject`` of a manifest. A referrer has to be in its subject's repository."""
    own = reference.removeprefix(name)
    if own != reference and own[:1] in ("@", ":"):
        own = own[1:]
    if "/" in own or "@" in own or (":" in own and not own.startswith("sha256:")):
        raise OutputError(f"subject {reference!r} is not in {name}; a registry links artifacts of one repository only")
    found = repository.find(own)
    if found is None:
        raise OutputError(f"subject {reference!r} is not in {name}; push it first, or correct the reference")
    return {"subject": found[0].to_data()}


def _annotations(run: StoredRun) -> dict[str, str]:
    """Return what people search by. Nothing of the moment of pushing: a second push has to have the same digest."""
    ended, result = run.result.timings.ended, run.result
    found = {
        "org.opencontainers.image.created": datetime.fromtimestamp(ended, UTC).isoformat() if ended else None,
        "org.opencontainers.image.title": f"Evaluation of {run.model}",
        "lmeval.run-id": run.run_id,
        "lmeval.model": run.model,
        "lmeval.model-identity": result.model.identity,
        "lmeval.version": result.versions.get("lm_eval"),
        "lmeval.tasks": ",".join(result.tasks),
    }
    return {name: value for name, value in found.items() if value}
