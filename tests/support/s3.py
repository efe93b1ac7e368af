"""An S3 service on loopback: the files of a directory as a bucket, behind signatures that are really checked.

Only reading: ``ListObjectsV2``, ``HeadObject``, ``GetObject`` (Amazon S3 API reference), which is what copying a bucket
takes. A request that is not signed with the right key for the right region gets S3's 403, as a real service would give it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote
from xml.sax.saxutils import escape

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.loopback import Answer, Asked, Loopback

_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d+/([^/]+)/s3/aws4_request, *SignedHeaders=([^,]+), *Signature=(.+)"
)


class Bucket(Loopback):
    """The service; a context manager. ``got`` has the key of every object whose content was fetched.

    :param root: directory with the objects. :param name: of the bucket. :param region: that requests must be signed for.
    :param certificate: files with certificate and key, to speak TLS.
    """

    def __init__(
        self, root: Path, *, name: str, key: str, secret: str, region: str, certificate: tuple[Path, Path] | None = None
    ) -> None:
        super().__init__(self._respond, certificate)
        self.root, self.name, self.region = root, name, region
        self.credentials = Credentials(key, secret)
        self.got: list[str] = []

    def keys(self, prefix: str) -> list[str]:
        found = (path.relative_to(self.root).as_posix() for path in sorted(self.root.rglob("*")) if path.is_file())
        return [key for key in found if key.startswith(prefix)]

    def _respond(self, asked: Asked) -> Answer:
        bucket, _, key = unquote(asked.path).lstrip("/").partition("/")
        if not self._is_signed(asked):
            return _refusal(403, "SignatureDoesNotMatch")
        if bucket != self.name:
            return _refusal(404, "NoSuchBucket")
        if not key:
            return self._list(asked.query.get("prefix", ""))
        return self._object(asked.method, key) if key in self.keys("") else _refusal(404, "NoSuchKey")

    def _is_signed(self, asked: Asked) -> bool:
        """Sign the request once more with the right key, and compare (Signature Version 4)."""
        found = _SIGNED.fullmatch(asked.headers.get("authorization", ""))
        if not found or found[1] != self.credentials.access_key or found[2] != self.region:
            return False
        headers = {name: asked.headers[name] for name in found[3].split(";")}
        request = AWSRequest(asked.method, f"http://{asked.headers['host']}{asked.target}", headers=headers)
        request.context["timestamp"] = asked.headers["x-amz-date"]
        signer = S3SigV4Auth(self.credentials, "s3", self.region)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return bool(signer.signature(text, request) == found[4])

    def _list(self, prefix: str) -> Answer:
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{self._etag(key)}&quot;</ETag><Size>{(self.root / key).stat().st_size}</Size></Contents>"
            for key in self.keys(prefix)
        )
        space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
        return _xml(f"<ListBucketResult {space}><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>")

    def _etag(self, key: str) -> str:
        return hashlib.md5((self.root / key).read_bytes(), usedforsecurity=False).hexdigest()

    def _object(self, method: str, key: str) -> Answer:
        if method == "GET":
            self.got.append(key)
        headers = {"ETag": f'"{self._etag(key)}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        return Answer(200, (self.root / key).read_bytes(), headers)


def _refusal(status: int, code: str) -> Answer:
    return _xml(f"<Error><Code>{code}</Code><Message>{code}</Message></Error>", status)


def _xml(text: str, status: int = 200) -> Answer:
    return Answer(status, text.encode(), {"Content-Type": "application/xml"})
