"""The part of the OCI distribution specification 1.1 that pushing an artifact with a subject needs.

The Python client of the field, oras, has no time limits, repeats a refused login for two minutes, takes credentials from the
worker's own Docker configuration and knows no fall-back for registries without the referrers API. What is needed instead is
six requests, https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from airflow_provider_lmeval.errors import OutputError
from airflow_provider_lmeval.outputs.http import ask

if TYPE_CHECKING:
    import httpx

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_DOCKER = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


@dataclass(frozen=True)
class Descriptor:
    """What refers to content: its media type, digest and size in bytes."""

    media_type: str
    digest: str
    size: int

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Descriptor:
        """Describe content."""
        return cls(media_type, f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))

    def to_data(self, **more: Any) -> dict[str, Any]:
        """Return it as JSON data, with further fields."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size} | more


class Repository:
    """One repository of a registry.

    :param client: with the login. :param registry: URL of the registry. :param name: of the repository.
    """

    def __init__(self, client: httpx.Client, registry: str, name: str) -> None:
        self._client = client
        self._origin = registry
        self._base = f"{registry}/v2/{name}"

    def push_blob(self, content: bytes, media_type: str) -> Descriptor:
        """Upload content unless it is there.

        :raises OutputError: the registry refuses or cannot be reached.
        """
        blob = Descriptor.of(content, media_type)
        if ask(self._client, "HEAD", f"{self._base}/blobs/{blob.digest}", ok=(200, 404)).status_code == 200:
            return blob
        started = ask(self._client, "POST", f"{self._base}/blobs/uploads/", ok=(202,))
        place = urljoin(str(started.request.url), started.headers.get("location", ""))
        request: dict[str, Any] = {"content": content, "headers": {"Content-Type": "application/octet-stream"}}
        there, here = urlsplit(place), urlsplit(self._origin)
        if there.scheme not in ("https", here.scheme):
            raise OutputError(f"{self._origin} wants uploads by {there.scheme}, which is less safe; nothing was sent")
        if there[:2] != here[:2]:
            request["auth"] = None  # uploads may go to another host with a signed URL: the login is not for it
        ask(self._client, "PUT", f"{place}{'&' if '?' in place else '?'}digest={blob.digest}", ok=(201,), **request)
        return blob

    def find(self, reference: str) -> tuple[Descriptor, bytes] | None:
        """Return a manifest and its descriptor; None if there is none.

        :param reference: tag or digest.
        :raises OutputError: the registry refuses, cannot be reached, or hands out something else than was asked for.
        """
        accept = {"Accept": ", ".join((MANIFEST, INDEX, *_DOCKER))}
        answer = ask(self._client, "GET", f"{self._base}/manifests/{reference}", ok=(200, 404), headers=accept)
        if answer.status_code == 404:
            return None
        found = Descriptor.of(answer.content, answer.headers.get("content-type", MANIFEST).partition(";")[0])
        if reference.startswith("sha256:") and reference != found.digest:
            raise OutputError(f"{self._base}/manifests/{reference} has another digest, {found.digest}")
        return found, answer.content

    def push_manifest(self, manifest: dict[str, Any], reference: str) -> Descriptor:
        """Upload a manifest under a tag, and list it among its subject's referrers.

        :raises OutputError: the registry refuses or cannot be reached.
        """
        described, answer = self._put(manifest, reference)
        subject = manifest.get("subject")
        if subject is not None and "oci-subject" not in answer.headers:
            self._refer(subject["digest"], described.to_data(artifactType=manifest.get("artifactType")))
        return described

    def _put(self, manifest: dict[str, Any], reference: str) -> tuple[Descriptor, httpx.Response]:
        raw = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
        described = Descriptor.of(raw, manifest["mediaType"])
        headers = {"Content-Type": described.media_type}
        answer = ask(
            self._client, "PUT", f"{self._base}/manifests/{reference}", ok=(201,), content=raw, headers=headers
        )
        if answer.headers.get("docker-content-digest", described.digest) != described.digest:
            raise OutputError(f"{self._base}: the registry stored {reference} with another digest than was sent")
        return described, answer

    def _refer(self, subject: str, referrer: dict[str, Any]) -> None:
        """Add a referrer to the index under the subject's tag, for registries without the referrers API."""
        tag = subject.replace(":", "-", 1)
        found = self.find(tag)
        listed = json.loads(found[1]).get("manifests", []) if found else []
        if all(entry["digest"] != referrer["digest"] for entry in listed):
            self._put({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*listed, referrer]}, tag)
