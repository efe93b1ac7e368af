"""A Hugging Face Hub on loopback: real files of real repositories, by the few endpoints that the libraries ask.

``huggingface_hub`` and ``datasets`` are pointed at it by ``HF_ENDPOINT`` and do what they do with the Hub itself: look up a
revision, list its files, compare etags, download. So a warm-up can be tested to the last byte on a machine that reaches no
Hub. Endpoints and headers as ``huggingface_hub`` 2.4 uses them (``hf_api.py``, ``file_download.py``); files ending in
``LARGE`` are LFS files, with their SHA-256 as etag, all others have git's hash of a blob.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin", ".parquet")
_API = re.compile(r"/api/(models|datasets|spaces)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?")
_FILE = re.compile(r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass(frozen=True)
class Repository:
    """One repository with a single commit, which ``main`` points to.

    :param kind: ``models``, ``datasets`` or ``spaces``. :param name: ``owner/name``. :param root: its files.
    """

    kind: str
    name: str
    root: Path

    @cached_property
    def files(self) -> dict[str, Path]:
        return {path.relative_to(self.root).as_posix(): path for path in sorted(self.root.rglob("*")) if path.is_file()}

    @cached_property
    def commit(self) -> str:
        listing = json.dumps({name: self.etag(name) for name in self.files})
        return hashlib.sha1(listing.encode()).hexdigest()

    def etag(self, name: str) -> str:
        data = self.files[name].read_bytes()
        if name.endswith(LARGE):
            return hashlib.sha256(data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    def entry(self, name: str) -> dict[str, Any]:
        """Return a file as ``tree`` and ``paths-info`` list it."""
        size, oid = self.files[name].stat().st_size, self.etag(name)
        found = {"type": "file", "oid": oid, "size": size, "path": name}
        return found | ({"lfs": {"oid": oid, "size": size, "pointerSize": 134}} if name.endswith(LARGE) else {})

    def info(self) -> dict[str, Any]:
        siblings = [{"rfilename": name} for name in self.files]
        common = {"id": self.name, "sha": self.commit, "private": False, "gated": False, "disabled": False}
        return common | {"tags": [], "downloads": 0, "likes": 0, "siblings": siblings}

    def tree(self, below: str) -> list[dict[str, Any]]:
        """Return all files below a folder, and the folders."""
        names = [name for name in self.files if not below or name.startswith(f"{below}/")]
        folders = {str(parent) for name in names for parent in list(Path(name).parents)[:-1]} - {below}
        listed = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": folder} for folder in sorted(folders)]
        return [*listed, *(self.entry(name) for name in names)]


class Hub:
    """The server; a context manager. ``asked`` has every request, as ``METHOD PATH``."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.repositories: dict[tuple[str, str], Repository] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True

    def add(self, kind: str, name: str, root: Path) -> Repository:
        """Publish the files of a directory."""
        self.repositories[kind, name] = repository = Repository(kind, name, root)
        return repository

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def downloaded(self) -> list[str]:
        """Names of the files that somebody got the content of, as ``owner/name/file``."""
        found = (_FILE.fullmatch(line.removeprefix("GET ")) for line in self.asked if line.startswith("GET "))
        return [f"{each[2]}/{each[4]}" for each in found if each]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        if found := _API.fullmatch(path):
            self._api(*found.groups(), body=body)
        elif found := _FILE.fullmatch(path):
            self._file(found[1] or "models", found[2], found[3], found[4])
        else:
            self._refuse("RepoNotFound", path)

    def _repository(self, kind: str, name: str, revision: str | None) -> Repository | None:
        repository = self.hub.repositories.get((kind, name))
        if repository is None:
            self._refuse("RepoNotFound", f"{kind}/{name}")
        elif revision not in (None, "main", repository.commit):
            self._refuse("RevisionNotFound", str(revision))
            return None
        return repository

    def _api(
        self, kind: str, name: str, what: str | None, revision: str | None, below: str | None, *, body: bytes
    ) -> None:
        repository = self._repository(kind, name, revision)
        if repository is None:
            return
        if what == "tree":
            self._json(repository.tree(below or ""))
        elif what == "paths-info":
            paths = json.loads(body)["paths"]
            self._json([entry for entry in repository.tree("") if entry["path"] in paths])
        else:
            self._json(repository.info())

    def _file(self, kind: str, name: str, revision: str, file: str) -> None:
        repository = self._repository(kind, name, revision)
        if repository is None:
            return
        if file not in repository.files:
            self._refuse("EntryNotFound", file, repository.commit)
            return
        data = repository.files[file].read_bytes()
        headers = {"ETag": f'"{repository.etag(file)}"', "X-Repo-Commit": repository.commit, "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted:
            start, end = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            data = data[start : end + 1]
        self._send(206 if wanted else 200, data, "application/octet-stream", headers)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), "application/json", {})

    def _refuse(self, code: str, what: str, commit: str = "") -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": f"{what} not found"} | (
            {"X-Repo-Commit": commit} if commit else {}
        )
        self._send(404, json.dumps({"error": f"{what} not found"}).encode(), "application/json", headers)

    def _send(self, status: int, data: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": kind, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass
