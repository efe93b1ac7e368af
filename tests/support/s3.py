"""An S3 service on loopback: the files of a directory as a bucket, behind signatures that are really checked.

Only reading: ``ListObjectsV2``, ``HeadObject``, ``GetObject`` (Amazon S3 API reference), which is what copying a bucket
takes. A request that is not signed with the right key for the right region gets S3's 403, as a real service would give it.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d+/([^/]+)/s3/aws4_request, *SignedHeaders=([^,]+), *Signature=(.+)"
)


class Bucket:
    """The service; a context manager. ``got`` has the key of every object whose content was fetched.

    :param root: directory with the objects. :param name: of the bucket. :param region: that requests must be signed for.
    :param certificate: file with certificate and key, to speak TLS.
    """

    def __init__(
        self, root: Path, *, name: str, key: str, secret: str, region: str, certificate: tuple[Path, Path] | None = None
    ) -> None:
        self.root, self.name, self.region = root, name, region
        self.credentials = Credentials(key, secret)
        self.got: list[str] = []
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"bucket": self}))
        self._scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            own = (
                self._server.socket
            )  # shakes hands where a request is read: a caller that breaks off is only that one's
            self._server.socket = context.wrap_socket(own, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def keys(self, prefix: str) -> list[str]:
        found = (path.relative_to(self.root).as_posix() for path in sorted(self.root.rglob("*")) if path.is_file())
        return [key for key in found if key.startswith(prefix)]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: callers that do not trust us hang up."""


class _Handler(BaseHTTPRequestHandler):
    bucket: Bucket
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if not self._is_signed():
            return self._refuse(403, "SignatureDoesNotMatch")
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        if bucket != self.bucket.name:
            return self._refuse(404, "NoSuchBucket")
        if not key:
            return self._list({name: values[0] for name, values in parse_qs(url.query).items()})
        if key not in self.bucket.keys(""):
            return self._refuse(404, "NoSuchKey")
        return self._object(key)

    def _is_signed(self) -> bool:
        """Sign the request once more with the right key, and compare (Signature Version 4)."""
        found = _SIGNED.fullmatch(self.headers.get("Authorization") or "")
        if not found or found[1] != self.bucket.credentials.access_key or found[2] != self.bucket.region:
            return False
        headers = {name: self.headers[name] for name in found[3].split(";")}
        request = AWSRequest(self.command, f"http://{self.headers['Host']}{self.path}", headers=headers)
        request.context["timestamp"] = self.headers["X-Amz-Date"]
        signer = S3SigV4Auth(self.bucket.credentials, "s3", self.bucket.region)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return bool(signer.signature(text, request) == found[4])

    def _list(self, query: dict[str, str]) -> None:
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{self._etag(key)}&quot;</ETag><Size>{(self.bucket.root / key).stat().st_size}</Size></Contents>"
            for key in self.bucket.keys(query.get("prefix", ""))
        )
        space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
        body = f"<ListBucketResult {space}><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
        self._send(200, body.encode(), {"Content-Type": "application/xml"})

    def _etag(self, key: str) -> str:
        return hashlib.md5((self.bucket.root / key).read_bytes(), usedforsecurity=False).hexdigest()

    def _object(self, key: str) -> None:
        data = (self.bucket.root / key).read_bytes()
        headers = {"ETag": f'"{self._etag(key)}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if self.command == "GET":
            self.bucket.got.append(key)
        self._send(200, data, headers)

    def _refuse(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self._send(status, body, {"Content-Type": "application/xml"})

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass
