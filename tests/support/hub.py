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
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.support.loopback import Answer, Asked, Loopback

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


class Hub(Loopback):
    """The server; a context manager."""

    def __init__(self) -> None:
        super().__init__(self._respond)
        self.repositories: dict[tuple[str, str], Repository] = {}

    def add(self, kind: str, name: str, root: Path) -> Repository:
        """Publish the files of a directory."""
        self.repositories[kind, name] = repository = Repository(kind, name, root)
        return repository

    @property
    def downloaded(self) -> list[str]:
        """Names of the files that somebody got the content of, as ``owner/name/file``."""
        found = (_FILE.fullmatch(unquote(asked.path)) for asked in self.asked if asked.method == "GET")
        return [f"{each[2]}/{each[4]}" for each in found if each]

    def _respond(self, asked: Asked) -> Answer:
        path = unquote(asked.path)
        if found := _API.fullmatch(path):
            kind, name, what, revision, below = found.groups()
            answer = partial(_api, what=what, below=below or "", body=asked.body)
        elif found := _FILE.fullmatch(path):
            kind, name, revision, file = found[1] or "models", *found.groups()[1:]
            answer = partial(_file, file=file, span=asked.headers.get("range", ""))
        else:
            return _refusal("RepoNotFound", path)
        repository = self.repositories.get((kind, name))
        if repository is None:
            return _refusal("RepoNotFound", f"{kind}/{name}")
        if revision not in (None, "main", repository.commit):
            return _refusal("RevisionNotFound", str(revision))
        return answer(repository)


def _api(repository: Repository, *, what: str | None, below: str, body: bytes) -> Answer:
    if what == "tree":
        return Answer.json(repository.tree(below))
    if what == "paths-info":
        paths = json.loads(body)["paths"]
        return Answer.json([entry for entry in repository.tree("") if entry["path"] in paths])
    return Answer.json(repository.info())


def _file(repository: Repository, *, file: str, span: str) -> Answer:
    if file not in repository.files:
        return _refusal("EntryNotFound", file, {"X-Repo-Commit": repository.commit})
    data = repository.files[file].read_bytes()
    headers = {"ETag": f'"{repository.etag(file)}"', "X-Repo-Commit": repository.commit, "Accept-Ranges": "bytes"}
    headers["Content-Type"] = "application/octet-stream"
    if not (wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", span)):
        return Answer(200, data, headers)
    start, end = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return Answer(206, data[start : end + 1], headers)


def _refusal(code: str, what: str, headers: dict[str, str] | None = None) -> Answer:
    words = {"X-Error-Code": code, "X-Error-Message": f"{what} not found"} | (headers or {})
    return Answer.json({"error": f"{what} not found"}, 404, **words)
