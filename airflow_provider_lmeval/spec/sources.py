"""Where task definitions of one's own come from: a git repository, a directory, or a Kubernetes ConfigMap.

What they hold is lm-eval's task YAML with the data files beside it. Where it lies changes nothing about what it may do:
code in it needs the permissions that any code needs.
"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator

from airflow_provider_lmeval.spec.base import SpecModel

AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$", max_length=4096)]
GitRef = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./+-]{0,199}$")]
"""Branch, tag or commit (``git-check-ref-format``, less what nobody uses); it never begins like an option."""


class GitSource(SpecModel):
    """A directory of a git repository, fetched over HTTPS when the run starts."""

    type: Literal["git"]
    """A git repository."""
    url: Annotated[str, StringConstraints(max_length=2048)]
    """HTTPS URL of the repository; its host has to be in `[lmeval] allowed_git_hosts`."""
    ref: GitRef = "HEAD"
    """Branch, tag or full commit; the commit it stands for is in the result's fingerprint."""
    path: str = ""
    """Directory in the repository; default: all of it."""

    @field_validator("url")
    @classmethod
    def _https(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            port_is_fine = parts.port is None or 0 < parts.port < 65536
        except ValueError as error:
            raise ValueError(f"url: {error}") from None
        if parts.scheme != "https" or not parts.hostname or not port_is_fine:
            raise ValueError("url: give an https URL; other protocols can run programs or carry credentials")
        if parts.username is not None or parts.password is not None:
            raise ValueError("url: holds credentials, which would be stored with every run; use a public mirror")
        if parts.query or parts.fragment or any(character.isspace() for character in url):
            raise ValueError("url: has a query, fragment or space; give the plain URL that `git clone` takes")
        return url

    @field_validator("ref")
    @classmethod
    def _one_revision(cls, ref: str) -> str:
        if ".." in ref or "//" in ref or ref.endswith(("/", ".", ".lock")):
            raise ValueError(f"ref: {ref!r} is no branch, tag or commit")
        return ref

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        parts = path.split("/") if path else []
        if path.startswith("/") or any(part in ("", ".", "..", ".git") for part in parts) or "\\" in path:
            raise ValueError(f"path: {path!r} is no directory in the repository; give it relative, without '..'")
        return path

    @property
    def host(self) -> str:
        """Name of the server, with its port if that is not the usual one."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port}" if parts.port not in (None, 443) else str(parts.hostname)


class DirectorySource(SpecModel):
    """A directory on the machine of the run: the same as an entry of `include_paths`."""

    type: Literal["directory"]
    """A directory."""
    path: AbsolutePath
    """Absolute path, as the run sees it."""


class ConfigMapSource(SpecModel):
    """A ConfigMap of the pod's namespace, whose keys are the names of files; elsewhere a directory with the same files."""

    type: Literal["config_map"]
    """A ConfigMap."""
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
    """Its name."""
    path: AbsolutePath | None = None
    """Directory with the same files, for runs outside Kubernetes; a pod has them at a place of its own."""


TaskSource = Annotated[GitSource | DirectorySource | ConfigMapSource, Field(discriminator="type")]
