"""Directories behind a pod's volumes, and where in a container they belong.

Each volume is a real directory on this machine (below the pod's own, or the one a hostPath or a bound claim names); the
sandbox binds it to its mount path. What cannot be mounted yet makes the pod wait, as the kubelet does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kube import environment
from tests.kube.kinds import CLAIMS, CONFIG_MAPS, SECRETS, VOLUMES
from tests.kube.store import Store

Json = dict[str, Any]


class MountError(Exception):
    """A volume cannot be mounted now (event ``FailedMount``)."""


@dataclass(frozen=True)
class Mount:
    """A directory or file that appears at a path in the container."""

    source: Path
    path: str
    read_only: bool = False

    def to_json(self) -> Json:
        return {"source": str(self.source), "path": self.path, "read_only": self.read_only}


class PodVolumes:
    """The volumes of one pod.

    :param home: a directory of the pod's own. :param claims: where claims without a PersistentVolume keep their data.
    """

    def __init__(self, store: Store, pod: Json, home: Path, claims: Path) -> None:
        self._store, self._pod, self._home, self._claims = store, pod, home, claims
        self._sources: dict[str, Path] = {}

    def mount(self) -> None:
        """Make every volume ready; can be called again after an error.

        :raises MountError: something a volume refers to is missing.
        """
        for volume in self._pod["spec"].get("volumes") or []:
            if volume["name"] not in self._sources:
                self._sources[volume["name"]] = self._prepare(volume)

    def mounts(self, container: Json, variables: Mapping[str, str]) -> list[Mount]:
        """Return what a container wants mounted, outer paths first."""
        found = []
        for one in container.get("volumeMounts") or []:
            source = self._sources[one["name"]]
            if inner := one.get("subPath") or environment.expand(one.get("subPathExpr") or "", variables):
                source = source / inner
                source.mkdir(parents=True, exist_ok=True)
            found.append(Mount(source, one["mountPath"], bool(one.get("readOnly"))))
        return sorted(found, key=lambda mount: mount.path.count("/"))

    def _prepare(self, volume: Json) -> Path:
        makers: dict[str, Callable[[str, Json], Path]] = {
            "emptyDir": self._empty, "hostPath": self._host, "persistentVolumeClaim": self._claim,
            "configMap": self._config_map, "secret": self._secret, "downwardAPI": self._downward,
        }  # fmt: skip
        for kind, make in makers.items():
            if kind in volume:
                return make(volume["name"], volume[kind] or {})
        raise MountError(f"volumes of type {sorted(set(volume) - {'name'})} do not exist on this server")

    def _empty(self, name: str, source: Json) -> Path:
        path = self._home / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o777)
        return path

    def _host(self, name: str, source: Json) -> Path:
        path, kind = Path(source["path"]), source.get("type") or ""
        if kind in ("DirectoryOrCreate", ""):
            if not path.exists():
                path.mkdir(parents=True)
        elif (kind == "Directory" and not path.is_dir()) or (kind == "File" and not path.is_file()):
            raise MountError(f"hostPath type check failed: {path} is not a {kind.lower()}")
        return path

    def _claim(self, name: str, source: Json) -> Path:
        namespace = self._pod["metadata"]["namespace"]
        claim = self._store.find(CLAIMS, (namespace, source["claimName"]))
        if claim is None or claim["status"].get("phase") != "Bound":
            raise MountError(f'persistentvolumeclaim "{source["claimName"]}" is not bound')
        bound = self._store.find(VOLUMES, ("", claim["spec"]["volumeName"])) or {"spec": {}}
        path = Path((bound["spec"].get("hostPath") or {}).get("path") or self._claims / claim["metadata"]["uid"])
        path.mkdir(parents=True, exist_ok=True)
        if path.parent == self._claims:
            path.chmod(0o777)
        return path

    def _config_map(self, name: str, source: Json) -> Path:
        return self._files(name, source, "configmap", source["name"])

    def _secret(self, name: str, source: Json) -> Path:
        return self._files(name, source, "secret", source["secretName"])

    def _files(self, name: str, source: Json, noun: str, referred: str) -> Path:
        kind = SECRETS if noun == "secret" else CONFIG_MAPS
        found = self._store.find(kind, (self._pod["metadata"]["namespace"], referred))
        if found is None and not source.get("optional"):
            raise MountError(f'MountVolume.SetUp failed for volume "{name}" : {noun} "{referred}" not found')
        values = environment.contents(found) if found else {}
        items = source.get("items") or [{"key": key, "path": key} for key in values]
        lost = [item["key"] for item in items if item["key"] not in values and not source.get("optional")]
        if lost:
            raise MountError(
                f'MountVolume.SetUp failed for volume "{name}" : references non-existent {noun} key: {lost[0]}'
            )
        files = {item["path"]: (values[item["key"]], item.get("mode")) for item in items if item["key"] in values}
        return self._write(name, files, source.get("defaultMode", 0o644))

    def _downward(self, name: str, source: Json) -> Path:
        items = [item for item in source.get("items") or [] if "fieldRef" in item]
        values = {item["path"]: environment.field(self._pod, item["fieldRef"]["fieldPath"], {}) for item in items}
        return self._write(name, {path: (value.encode(), None) for path, value in values.items()}, 0o644)

    def _write(self, name: str, files: Mapping[str, tuple[bytes, int | None]], mode: int) -> Path:
        root = self._home / name
        root.mkdir(parents=True, exist_ok=True)
        for path, (content, own_mode) in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
            (root / path).chmod(own_mode or mode)
        return root
