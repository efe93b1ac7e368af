"""An OCI registry on loopback: push, pull and referrers of the distribution specification 1.1, with a login.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md. Content lives in memory. It checks what a real one
checks: digests, that a manifest's blobs are there, that a login is needed and a token covers what it is used for.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any, Literal

from tests.support.loopback import Answer, Asked, Loopback

INDEX = "application/vnd.oci.image.index.v1+json"
_ROUTE = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>blobs/uploads|blobs|manifests|referrers)/(?P<rest>[^/]*)")
LOGIN = ("robot", "s3cret-password")


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Registry(Loopback):
    """A registry.

    :param auth: how it wants to be logged in to. :param referrers: whether it has the referrers API.
    :param uploads: URL of another host that takes uploads, as registries in front of object storage have.
    """

    def __init__(
        self, auth: Literal["basic", "bearer", "none"] = "bearer", *, referrers: bool = True, uploads: str = ""
    ) -> None:
        super().__init__(self._respond)
        self._auth, self._has_referrers, self._uploads = auth, referrers, uploads
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.tags: dict[str, str] = {}

    def put(self, name: str, tag: str, manifest: dict[str, Any]) -> str:
        """Store a manifest as if it had been pushed, and return its digest."""
        raw = json.dumps(manifest).encode()
        self.manifests[digest_of(raw)] = (manifest["mediaType"], raw)
        self.tags[f"{name}:{tag}"] = digest_of(raw)
        return digest_of(raw)

    def manifest(self, name: str, tag: str) -> dict[str, Any]:
        return json.loads(self.manifests[self.tags[f"{name}:{tag}"]][1])

    def referrers(self, digest: str) -> list[dict[str, Any]]:
        """Return what refers to a digest, as the referrers API tells it."""
        found = []
        for own, (media_type, raw) in self.manifests.items():
            data = json.loads(raw)
            if (data.get("subject") or {}).get("digest") == digest:
                found.append({"mediaType": media_type, "digest": own, "size": len(raw), **_told(data)})
        return found

    def _respond(self, asked: Asked) -> Answer:
        if asked.path == "/token":
            return self._token(asked)
        route = _ROUTE.fullmatch(asked.path)
        if route is None:
            return Answer(404)
        if refusal := self._refusal(asked, route["name"]):
            return refusal
        answers = {"blobs/uploads": self._upload, "blobs": self._blob, "manifests": self._manifest}
        return answers.get(route["kind"], self._referrers)(asked, route["name"], route["rest"])

    def _refusal(self, asked: Asked, name: str) -> Answer | None:
        action = "pull" if asked.method in ("GET", "HEAD") else "pull,push"
        scope = f"repository:{name}:{action}"
        sent = asked.headers.get("authorization", "")
        if self._auth == "none" or (self._auth == "basic" and sent == _basic()):
            return None
        if self._auth == "bearer" and sent in (f"Bearer {scope}", f"Bearer repository:{name}:pull,push"):
            return None
        bearer = f'Bearer realm="{self.url}/token",service="registry",scope="{scope}"'
        challenge = bearer if self._auth == "bearer" else 'Basic realm="registry"'
        return Answer.json({"errors": [{"code": "UNAUTHORIZED"}]}, 401, **{"WWW-Authenticate": challenge})

    def _token(self, asked: Asked) -> Answer:
        allowed = asked.headers.get("authorization") == _basic() and asked.query.get("service") == "registry"
        return Answer.json({"token": asked.query["scope"]}) if allowed else Answer.json({}, 401)

    def _upload(self, asked: Asked, name: str, session: str) -> Answer:
        if asked.method == "POST":
            return Answer(202, headers={"Location": f"{self._uploads}/v2/{name}/blobs/uploads/1?state=a%2Fb"})
        if (
            asked.method != "PUT"
            or asked.query.get("state") != "a/b"
            or asked.query.get("digest") != digest_of(asked.body)
        ):
            return Answer.json({"errors": [{"code": "DIGEST_INVALID"}]}, 400)
        self.blobs[digest_of(asked.body)] = asked.body
        return Answer(201, headers={"Location": f"/v2/{name}/blobs/{digest_of(asked.body)}"})

    def _blob(self, asked: Asked, _name: str, digest: str) -> Answer:
        return Answer(200, self.blobs[digest]) if digest in self.blobs else Answer(404)

    def _manifest(self, asked: Asked, name: str, reference: str) -> Answer:
        if asked.method == "PUT":
            return self._put_manifest(asked, name, reference)
        digest = reference if reference in self.manifests else self.tags.get(f"{name}:{reference}", "")
        if digest not in self.manifests:
            return Answer.json({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, 404)
        media_type, raw = self.manifests[digest]
        if media_type not in asked.headers.get("accept", ""):
            return Answer.json({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "not accepted"}]}, 404)
        return Answer(200, raw, {"Content-Type": media_type, "Docker-Content-Digest": digest})

    def _put_manifest(self, asked: Asked, name: str, reference: str) -> Answer:
        data = json.loads(asked.body)
        needed = [
            entry["digest"] for entry in (*data.get("layers", []), *([data["config"]] if "config" in data else []))
        ]
        if any(digest not in self.blobs for digest in needed) or data["mediaType"] != asked.headers["content-type"]:
            return Answer.json({"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}, 400)
        digest = digest_of(asked.body)
        self.manifests[digest] = (data["mediaType"], asked.body)
        self.tags[f"{name}:{reference}"] = digest
        subject = {"OCI-Subject": data["subject"]["digest"]} if "subject" in data and self._has_referrers else {}
        return Answer(201, headers={"Docker-Content-Digest": digest} | subject)

    def _referrers(self, _asked: Asked, _name: str, digest: str) -> Answer:
        if not self._has_referrers:
            return Answer(404)
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.referrers(digest)}
        return Answer.json(index, **{"Content-Type": INDEX})


def _told(manifest: dict[str, Any]) -> dict[str, Any]:
    return {name: manifest[name] for name in ("artifactType", "annotations") if name in manifest}


def _basic() -> str:
    return "Basic " + base64.b64encode(":".join(LOGIN).encode()).decode()
