"""The pod an evaluation runs in: what a cluster has to give it, never what is evaluated.

These are the settings that KubernetesPodOperator has no argument for, or whose spelling there takes Kubernetes objects. They
are plain data, so that a DAG, a connection and a command line can all hold them; ``plan/pod.py`` turns them into a manifest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    JsonValue,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.spec.base import DocumentModel, EnvName
from airflow_provider_lmeval.spec.pod_parts import (
    Claim,
    ConfigMapKey,
    EndpointToken,
    Gpu,
    LabelValue,
    ObjectName,
    PreflightPod,
    Proxy,
    Quantity,
    SecretFiles,
    SecretKey,
)
from airflow_provider_lmeval.spec.wording import describe


class PodSettings(DocumentModel):
    """What a pod gets, and how long its parts may take. Values that a user's own pod template sets win over these."""

    image: Annotated[str, Field(min_length=1)] | None = None
    """Image with lm-eval, and with the driver unless `driver` is `copy`; default: `[lmeval] image`."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When to pull it; default: Kubernetes' (always for `latest`, else if absent)."""
    image_pull_secrets: tuple[ObjectName, ...] = ()
    """Names of Secrets with credentials for registries (type `kubernetes.io/dockerconfigjson`)."""
    namespace: ObjectName | None = None
    """Namespace of the pod; default: `[lmeval] namespace`, then the Kubernetes connection's."""
    labels: dict[str, LabelValue] = {}
    """Labels of the pod."""
    annotations: dict[str, str] = {}
    """Annotations of the pod."""
    driver: Literal["image", "copy"] = "image"
    """`image`: the image has the driver. `copy`: an init container brings it from `driver_image`; any image will do."""
    driver_image: Annotated[str, Field(min_length=1)] | None = None
    """Image that the driver is copied from; default: `[lmeval] driver_image`."""
    python: Annotated[str, Field(min_length=1)] = "python3"
    """The interpreter in the image that has lm-eval."""
    gpu: Gpu | None = None
    """Accelerators: a number of `nvidia.com/gpu`, or `{count, strategy, resource, product, mig, memory}`."""
    preflight: PreflightPod = PreflightPod()
    """The pod without a GPU that looks at the evaluation first: `{cpu, memory, timeout, node_selector, queue_name}`."""
    cpu: Quantity | None = None
    """CPU to request; the limit is left to the cluster, since throttling only makes evaluations slower."""
    memory: Quantity | None = None
    """Memory to request, and the limit: beyond it the kernel kills the evaluation."""
    shm_size: Quantity | None = None
    """Size of `/dev/shm`, which data loaders and tensor parallelism need; counts as memory."""
    node_selector: dict[str, str] = {}
    """Labels that a node must have."""
    affinity: dict[str, JsonValue] = {}
    """Affinity, as in a pod's manifest."""
    tolerations: tuple[dict[str, JsonValue], ...] = ()
    """Taints that do not matter, as in a pod's manifest."""
    priority_class_name: ObjectName | None = None
    """PriorityClass: who goes first, and who has to make room, once a node is looked for."""
    runtime_class_name: ObjectName | None = None
    """RuntimeClass, such as `nvidia` where the node's default runtime knows no GPUs."""
    scheduler_name: ObjectName | None = None
    """Another scheduler than the cluster's default one."""
    queue_name: ObjectName | None = None
    """Kueue LocalQueue that the pod waits in; the time in it does not count as scheduling time."""
    workload_priority_class: ObjectName | None = None
    """Kueue WorkloadPriorityClass: who goes first in the queue."""
    service_account_name: ObjectName | None = None
    """Service account; its token is not mounted. Default: the namespace's `default`."""
    run_as_user: NonNegativeInt | None = None
    """User id for images that name no numeric one; 0 is refused by Pod Security *restricted*."""
    fs_group: NonNegativeInt | None = None
    """Group that owns mounted volumes, so that an arbitrary user can write to them."""
    env_secrets: dict[EnvName, SecretKey] = {}
    """Environment variables from Secrets, for `{"env": "NAME"}` in a spec and for the store's credentials."""
    secret_files: tuple[SecretFiles, ...] = ()
    """Secrets as files."""
    endpoint_token: EndpointToken | None = None
    """A token of the service account, bound to an audience: credential for a served model's endpoint."""
    ca_bundles: tuple[ConfigMapKey, ...] = ()
    """ConfigMaps with CA certificates to trust beside the image's own."""
    service_ca: bool = False
    """Trust OpenShift's service CA, for served models behind a service's own certificate."""
    proxy: Proxy | None = None
    """HTTP proxies."""
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
    queueing_timeout: PositiveFloat = 86400
    """Seconds in which the queue must let the pod go."""
    scheduling_timeout: PositiveFloat = 3600
    """Seconds from then in which a node must be found."""
    startup_timeout: PositiveFloat = 1800
    """Seconds from then until the evaluation's container runs: volumes, network, init containers; pulling does not count."""
    pull_timeout: PositiveFloat = 1800
    """Seconds in which the images must be pulled."""
    grace_period: PositiveInt = 30
    """Seconds between SIGTERM and SIGKILL: time to store what is finished."""
    status_port: Annotated[int, Field(ge=1024, le=65535)] = 18080
    """Port of the driver's status; default: that of LMEvalJob's driver."""
    status_tls_secret: ObjectName | None = None
    """Secret with `tls.crt` and `tls.key` (and `ca.crt` for mutual TLS): the driver then shows its status over HTTPS."""
    report_interval: PositiveFloat = 10
    """Seconds between two lines of progress in the pod's log."""
    pod_ttl: NonNegativeFloat | None = None
    """Seconds that `airflow lmeval reap` leaves the pod after it has ended; default: `[lmeval] pod_ttl`."""

    @field_validator("gpu", mode="before")
    @classmethod
    def _count_alone(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return {"count": value} if value else None
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        paths = [path.rstrip("/") for path in self._paths()]
        if len(set(paths)) != len(paths):
            raise ValueError(
                f"claims: two volumes are mounted at one path ({', '.join(sorted(paths))}); give each its own"
            )
        if self.results and self.results.read_only:
            raise ValueError("results.read_only: results are written there; leave it out")
        if self.cache and self.cache.folder_per_run:
            raise ValueError("cache.folder_per_run: a cache is of use only if runs share it; leave it out")
        if self.workload_priority_class and not self.queue_name:
            raise ValueError("workload_priority_class: orders a Kueue queue; set queue_name as well")
        if self.endpoint_token and self.endpoint_token.env in self.env_secrets:
            raise ValueError(f"endpoint_token.env: {self.endpoint_token.env} is in env_secrets as well; rename one")
        return self

    def _paths(self) -> list[str]:
        return [*(claim.path for claim in self.volumes), *(each.path for each in self.secret_files)]

    @property
    def volumes(self) -> tuple[Claim, ...]:
        """All claims."""
        return (*self.claims, *filter(None, (self.cache, self.results)))

    @property
    def secret_names(self) -> frozenset[str]:
        """Names of the variables that hold secrets in the pod."""
        return frozenset(self.env_secrets) | ({self.endpoint_token.env} if self.endpoint_token else set())

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
            raise SpecError(re.sub(r"^", "kubernetes.", describe(error, cls), flags=re.MULTILINE)) from None
