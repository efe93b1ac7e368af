"""What is not a resource: the version, health, and which resources there are."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.kube.kinds import Kind
from tests.kube.registry import Registry

Json = dict[str, Any]

VERSION = {
    "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35", "gitVersion": "v1.36.2", "gitCommit": "", "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z", "goVersion": "go1.26.6", "compiler": "gc", "platform": "linux/amd64",
}  # fmt: skip
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
PODS_MORE = {"log": ["get"], "eviction": ["create"], "proxy": ["create", "delete", "get", "patch", "update"]}


def discover(registry: Registry, path: str) -> web.Response:
    """Answer a request for something that is no resource."""
    path = path.rstrip("/")
    if path in ("/healthz", "/livez", "/readyz"):
        return web.Response(text="ok")
    groups: dict[str, set[str]] = {}
    for kind in registry.kinds:
        groups.setdefault(kind.group, set()).add(kind.version)
    documents: dict[str, Json] = {
        "/version": VERSION,
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/apis": {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [_group(*one) for one in groups.items() if one[0]],
        },
    }
    for group, versions in groups.items():
        if group:
            documents[f"/apis/{group}"] = {"kind": "APIGroup", "apiVersion": "v1", **_group(group, versions)}
        for version in versions:
            prefix = f"/apis/{group}/{version}" if group else f"/api/{version}"
            documents[prefix] = _resources(registry, group, version)
    if path not in documents:
        return web.Response(status=404, text="404 page not found\n")
    return web.Response(body=json.dumps(documents[path]).encode(), headers={"Content-Type": "application/json"})


def _group(name: str, versions: set[str]) -> Json:
    found = [{"groupVersion": f"{name}/{version}", "version": version} for version in sorted(versions)]
    return {"name": name, "versions": found, "preferredVersion": found[-1]}


def _resources(registry: Registry, group: str, version: str) -> Json:
    found: list[Json] = []
    for kind in registry.kinds:
        if (kind.group, kind.version) == (group, version):
            found.append(_resource(kind, kind.plural, VERBS))
            if kind.has_status:
                found.append(_resource(kind, f"{kind.plural}/status", ["get", "patch", "update"]))
            if kind.kind == "Pod":
                found += [_resource(kind, f"pods/{name}", verbs) for name, verbs in PODS_MORE.items()]
    name = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": found}


def _resource(kind: Kind, name: str, verbs: list[str]) -> Json:
    return {
        "name": name,
        "singularName": kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": verbs,
    }
