"""Writes kubeconfig files, as both official clients and kubectl read them."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.kube.auth import User


def write(path: Path, url: str, user: User, namespace: str, authority: Path | None = None) -> Path:
    """Write a kubeconfig for one user.

    :param namespace: of the context. :param authority: certificate that vouches for the server.
    :returns: ``path``, readable by its owner only.
    """
    trust = {"certificate-authority": str(authority)} if authority else {}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, **trust}}],
        "users": [{"name": user.name, "user": {"token": user.token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user.name, "namespace": namespace}}],
        "current-context": "test",
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content))
    return path
