"""The kinds of objects the server keeps. Everything else is generic over them, so a custom resource is one more entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.kube import defaults, validation
from tests.kube.errors import Cause
from tests.kube.schema import ModelSchema, Schema

Json = dict[str, Any]


def _nothing(new: Json) -> None:
    """Default for kinds without defaults."""


def _no_causes(new: Json, old: Json | None) -> list[Cause]:
    """Check nothing: for kinds without rules beyond their schema."""
    return []


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of object and how the API treats it.

    :param schema: reads and prunes it; None keeps everything.
    :param default: fills in defaults, in place, before validation.
    :param validate: violations of a new object (``old`` None) or of a changed one.
    :param finalizers: put on every new object by the API server's own admission.
    :param has_status: ``status`` is ignored on the main endpoint and written through ``/status``.
    :param built_in: strategic merge patches work, list items carry no kind, bookmarks carry an empty object.
    :param returns_deleted: DELETE answers the object itself, not a ``Status``.
    :param generations: ``metadata.generation`` counts changes of the spec.
    """

    kind: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    schema: Schema | None = None
    default: Callable[[Json], None] = _nothing
    validate: Callable[[Json, Json | None], list[Cause]] = _no_causes
    finalizers: tuple[str, ...] = ()
    has_status: bool = False
    built_in: bool = True
    returns_deleted: bool = False
    generations: bool = False
    bookmark: Json = field(default_factory=dict)

    @property
    def resource(self) -> str:
        """The resource as messages name it: the plural, qualified by the group where there is one."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> tuple[str, str]:
        """What a URL says: ``("v1", "pods")``, ``("trustyai.opendatahub.io/v1alpha1", "lmevaljobs")``."""
        return self.api_version, self.plural


PODS = Kind(
    "Pod",
    "pods",
    schema=ModelSchema("V1Pod"),
    default=defaults.pod,
    validate=validation.pod,
    has_status=True,
    returns_deleted=True,
    generations=True,
    bookmark={"spec": {"containers": None}, "status": {}},
)
CLAIMS = Kind(
    "PersistentVolumeClaim",
    "persistentvolumeclaims",
    schema=ModelSchema("V1PersistentVolumeClaim"),
    default=defaults.claim,
    validate=validation.claim,
    finalizers=("kubernetes.io/pvc-protection",),
    has_status=True,
    returns_deleted=True,
    bookmark={"spec": {"resources": {}}, "status": {}},
)
VOLUMES = Kind(
    "PersistentVolume",
    "persistentvolumes",
    namespaced=False,
    schema=ModelSchema("V1PersistentVolume"),
    default=defaults.volume,
    has_status=True,
    returns_deleted=True,
    bookmark={"spec": {}, "status": {}},
)
SECRETS = Kind("Secret", "secrets", schema=ModelSchema("V1Secret"), default=defaults.secret, validate=validation.secret)
CONFIG_MAPS = Kind("ConfigMap", "configmaps", schema=ModelSchema("V1ConfigMap"), validate=validation.config_map)
EVENTS = Kind("Event", "events", schema=ModelSchema("CoreV1Event"), bookmark={"involvedObject": {}, "source": {}})
NAMESPACES = Kind(
    "Namespace",
    "namespaces",
    namespaced=False,
    schema=ModelSchema("V1Namespace"),
    default=defaults.namespace,
    validate=validation.namespace,
    has_status=True,
    bookmark={"spec": {}, "status": {}},
)
NODES = Kind(
    "Node",
    "nodes",
    namespaced=False,
    schema=ModelSchema("V1Node"),
    has_status=True,
    bookmark={"spec": {}, "status": {}},
)
SERVICE_ACCOUNTS = Kind(
    "ServiceAccount", "serviceaccounts", schema=ModelSchema("V1ServiceAccount"), returns_deleted=True
)
QUOTAS = Kind(
    "ResourceQuota",
    "resourcequotas",
    schema=ModelSchema("V1ResourceQuota"),
    has_status=True,
    returns_deleted=True,
    bookmark={"spec": {}, "status": {}},
)

BUILT_IN = (PODS, CLAIMS, VOLUMES, SECRETS, CONFIG_MAPS, EVENTS, NAMESPACES, NODES, SERVICE_ACCOUNTS, QUOTAS)
