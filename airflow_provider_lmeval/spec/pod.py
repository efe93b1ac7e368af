"""The pod an evaluation runs in: what a cluster has to give it, never what is evaluated.

These are the settings that KubernetesPodOperator has no argument for, or whose spelling there takes Kubernetes objects. They
are plain data, so that a DAG, a connection and a command line can all hold them; ``plan/pod.py`` turns them into a manifest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.spec.base import EnvName, SpecModel
from airflow_provider_lmeval.spec.evaluation import describe

_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$"


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Quantity = Annotated[str, BeforeValidator(_as_text), Field(pattern=_QUANTITY, examples=["4", "500m", "32Gi"])]
"""An amount as Kubernetes writes it (``k8s.io/apimachinery/pkg/api/resource``)."""
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
"""Name of a Kubernetes object (RFC 1123 subdomain)."""
MountPath = Annotated[str, Field(pattern=r"^/[^:\x00]+$")]
"""Absolute path in the container, not the root itself."""


class Gpu(SpecModel):
    """A request for accelerators."""

    count: PositiveInt = 1
    """How many."""
    resource: Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")] = "nvidia.com/gpu"
    """The resource's name, such as `amd.com/gpu` or `nvidia.com/mig-1g.10gb`."""


class SecretKey(SpecModel):
    """One value of a Kubernetes Secret of the pod's namespace."""

    secret: ObjectName
    """Name of the Secret."""
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]{1,253}$")]
    """Key in it."""


class Claim(SpecModel):
    """An existing PersistentVolumeClaim of the pod's namespace, and where the pod sees it."""

    claim: ObjectName
    """Name of the PersistentVolumeClaim."""
    path: MountPath
    """Where it is mounted in the container."""
    sub_path: Annotated[str, Field(pattern=r"^[^/][^\x00]*$")] | None = None
    """Only this directory of it."""
    read_only: bool = False
    """Mount it read-only."""

    @field_validator("sub_path")
    @classmethod
    def _stays_inside(cls, value: str | None) -> str | None:
        if value and ".." in value.split("/"):
            raise ValueError(f"sub_path: {value!r} leads out of the volume; give a path below it")
        return value


class PodSettings(SpecModel):
    """What a pod gets, and how long its parts may take. Values that a user's own pod template sets win over these."""

    image: Annotated[str, Field(min_length=1)] | None = None
    """Image with lm-eval, and with the driver unless `driver` is `copy`; default: `[lmeval] image`."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When to pull it; default: Kubernetes' (always for `latest`, else if absent)."""
    namespace: ObjectName | None = None
    """Namespace of the pod; default: `[lmeval] namespace`, then the Kubernetes connection's."""
    driver: Literal["image", "copy"] = "image"
    """`image`: the image has the driver. `copy`: an init container brings it from `driver_image`; any image will do."""
    driver_image: Annotated[str, Field(min_length=1)] | None = None
    """Image that the driver is copied from; default: `[lmeval] driver_image`."""
    python: Annotated[str, Field(min_length=1)] = "python3"
    """The interpreter in the image that has lm-eval."""
    gpu: Gpu | None = None
    """Accelerators: a number of `nvidia.com/gpu`, or `{count, resource}`."""
    cpu: Quantity | None = None
    """CPU to request; the limit is left to the cluster, since throttling only makes evaluations slower."""
    memory: Quantity | None = None
    """Memory to request, and the limit: beyond it the kernel kills the evaluation."""
    shm_size: Quantity | None = None
    """Size of `/dev/shm`, which data loaders and tensor parallelism need; counts as memory."""
    node_selector: dict[str, str] = {}
    """Labels that a node must have."""
    tolerations: tuple[dict[str, JsonValue], ...] = ()
    """Taints that do not matter, as in a pod's manifest."""
    run_as_user: NonNegativeInt | None = None
    """User id for images that name no numeric one; 0 is refused by Pod Security *restricted*."""
    fs_group: NonNegativeInt | None = None
    """Group that owns mounted volumes, so that an arbitrary user can write to them."""
    env_secrets: dict[EnvName, SecretKey] = {}
    """Environment variables from Secrets, for `{"env": "NAME"}` in a spec and for the store's credentials."""
    claims: tuple[Claim, ...] = ()
    """Volumes with models or data."""
    cache: Claim | None = None
    """Volume for `HF_HOME`: models and datasets are downloaded once."""
    results: Claim | None = None
    """Volume that results are stored on, `results_uri` below its path; a retried pod resumes from it."""
    results_uri: str | None = None
    """Where the pod stores results, in its own words: an fsspec URL, its credentials from `env_secrets`."""
    results_options: dict[str, JsonValue] = {}
    """fsspec options for `results_uri`; `{"env": "NAME"}` stands for a secret."""
    active_deadline_seconds: PositiveInt | None = None
    """Seconds after which Kubernetes ends the pod; default: derived from the spec's `timeout`, at most a week."""
    scheduling_timeout: PositiveFloat = 3600
    """Seconds in which a node must be found."""
    startup_timeout: PositiveFloat = 1800
    """Seconds from then until the evaluation's container runs: pulling, mounting, init containers."""
    grace_period: PositiveInt = 30
    """Seconds between SIGTERM and SIGKILL: time to store what is finished."""
    status_port: Annotated[int, Field(ge=1024, le=65535)] = 18080
    """Port of the driver's status; default: that of LMEvalJob's driver."""
    status_tls_secret: ObjectName | None = None
    """Secret with `tls.crt` and `tls.key` (and `ca.crt` for mutual TLS): the driver then shows its status over HTTPS."""
    report_interval: PositiveFloat = 10
    """Seconds between two lines of progress in the pod's log."""

    @field_validator("gpu", mode="before")
    @classmethod
    def _count_alone(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return {"count": value} if value else None
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        paths = [claim.path.rstrip("/") for claim in self.volumes]
        if len(set(paths)) != len(paths):
            raise ValueError(
                f"claims: two volumes are mounted at one path ({', '.join(sorted(paths))}); give each its own"
            )
        if self.results and self.results.read_only:
            raise ValueError("results.read_only: results are written there; leave it out")
        return self

    @property
    def volumes(self) -> tuple[Claim, ...]:
        """All claims."""
        return (*self.claims, *filter(None, (self.cache, self.results)))

    @classmethod
    def parse(cls, data: Mapping[str, Any] | PodSettings) -> PodSettings:
        """Validate plain data; None counts as not given.

        :raises SpecError: one line per problem.
        """
        if isinstance(data, PodSettings):
            return data
        try:
            return cls.model_validate({name: value for name, value in data.items() if value is not None})
        except ValidationError as error:
            raise SpecError(re.sub(r"^", "kubernetes.", describe(error), flags=re.MULTILINE)) from None
