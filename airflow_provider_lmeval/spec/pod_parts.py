"""Parts of the pod settings: accelerators, volumes, credentials, certificates, proxies. Names are Kubernetes' own."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.spec.base import EnvName, SpecModel
from airflow_provider_lmeval.spec.wording import describe

_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$"


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Quantity = Annotated[str, BeforeValidator(_as_text), Field(pattern=_QUANTITY, examples=["4", "500m", "32Gi"])]
"""An amount as Kubernetes writes it (``k8s.io/apimachinery/pkg/api/resource``)."""
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
"""Name of a Kubernetes object (RFC 1123 subdomain)."""
MountPath = Annotated[str, Field(pattern=r"^/[^:\x00]+$")]
"""Absolute path in the container, not the root itself."""
Key = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]{1,253}$")]
"""Key of a Secret or ConfigMap."""
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]
"""Value of a label."""

Strategy = Literal["data", "model", "tensor"]
"""How several devices share an evaluation: each has the whole model, or some of its layers, or a part of each layer."""

_PRODUCT_LABELS = {"nvidia.com": "nvidia.com/gpu.product", "amd.com": "amd.com/gpu.product-name"}
"""Labels that the vendors' feature discovery puts on nodes."""


class Gpu(SpecModel):
    """A request for accelerators."""

    count: PositiveInt = 1
    """How many."""
    strategy: Strategy | None = None
    """How several share the evaluation: `data`, `model` or `tensor` (see "GPUs and queues")."""
    resource: Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")] = "nvidia.com/gpu"
    """The resource's name, such as `amd.com/gpu`."""
    product: LabelValue | None = None
    """Only nodes with this model, by the label of the vendor's feature discovery, such as `NVIDIA-H100-80GB-HBM3`."""
    mig: Annotated[str, Field(pattern=r"^[0-9]+g\.[0-9]+gb(\.me)?$")] | None = None
    """A slice of a GPU by its MIG profile, such as `1g.10gb`; the device plugin's `mixed` strategy names them so."""
    memory: Quantity | None = None
    """Memory of one device, such as `80Gi`, for the preflight's estimate; default: as `product` or `mig` tell it."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mig and "resource" in self.model_fields_set:
            raise ValueError("gpu.mig: names a resource itself (nvidia.com/mig-…); drop gpu.resource")
        if self.mig and self.count > 1:
            raise ValueError(
                f"gpu.mig: a process can use one MIG slice only (CUDA), found count {self.count}; take a larger profile"
            )
        if self.product and self.resource.partition("/")[0] not in _PRODUCT_LABELS:
            known = " and ".join(_PRODUCT_LABELS)
            raise ValueError(f"gpu.product: known for resources of {known} only; for others set node_selector")
        return self

    @classmethod
    def parse(cls, value: Any) -> Gpu | None:
        """Validate a number of devices, or plain data; None and 0 are none.

        :raises SpecError: one line per problem.
        """
        if not value:
            return None
        try:
            return cls.model_validate({"count": value} if isinstance(value, int) else value)
        except ValidationError as error:
            raise SpecError(f"gpu: {describe(error, cls)}") from None

    @property
    def resource_name(self) -> str:
        """The resource that the pod requests."""
        return f"nvidia.com/mig-{self.mig}" if self.mig else self.resource

    @property
    def node_selector(self) -> dict[str, str]:
        """The labels that its nodes have."""
        return {_PRODUCT_LABELS[self.resource.partition("/")[0]]: self.product} if self.product else {}


class PreflightPod(SpecModel):
    """The pod without a GPU in which an evaluation is looked at before one is asked for."""

    cpu: Quantity | None = "500m"
    """CPU to request."""
    memory: Quantity | None = "4Gi"
    """Memory to request, and the limit: lm-eval, a tokenizer and the tasks' data have to fit, weights do not."""
    timeout: PositiveFloat = 1800
    """Seconds that it may take, downloads of data included."""
    node_selector: dict[str, str] | None = None
    """Labels that its node must have; default: the evaluation's, without what selects a GPU product."""
    queue_name: ObjectName | None = None
    """Kueue LocalQueue that it waits in; default: none, the evaluation's is for GPUs."""


class SecretKey(SpecModel):
    """One value of a Kubernetes Secret of the pod's namespace."""

    secret: ObjectName
    """Name of the Secret."""
    key: Key
    """Key in it."""


class SecretFiles(SpecModel):
    """A Kubernetes Secret of the pod's namespace as files. Whatever code the evaluation runs can read them."""

    secret: ObjectName
    """Name of the Secret."""
    path: MountPath
    """Directory in which each of its keys is a file."""
    keys: tuple[Key, ...] = ()
    """Only these keys; the pod does not start its evaluation without them."""


class Claim(SpecModel):
    """A PersistentVolumeClaim of the pod's namespace, and where the pod sees it: one that exists, or a managed one."""

    claim: ObjectName | None = None
    """Its name; a managed one is made under it, and without a name one for this run alone."""
    path: MountPath
    """Where it is mounted in the container."""
    sub_path: Annotated[str, Field(pattern=r"^[^/][^\x00]*$")] | None = None
    """Only this directory of it."""
    read_only: bool = False
    """Mount it read-only."""
    folder_per_run: bool = False
    """Mount only the run's own folder, `RUN_ID` on the volume at `path/RUN_ID`: no run sees another's files."""
    size: Quantity | None = None
    """Makes it a managed claim: created with this size if it is not there."""
    storage_class_name: ObjectName | None = None
    """Of a managed claim; default: the cluster's."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"] = "ReadWriteOnce"
    """Of a managed claim."""
    retention: Literal["Delete", "Retain"] | None = None
    """What becomes of a managed claim when the run is over; default: `Delete` for a run's own, else `Retain`."""

    @field_validator("sub_path")
    @classmethod
    def _stays_inside(cls, value: str | None) -> str | None:
        if value and ".." in value.split("/"):
            raise ValueError(f"sub_path: {value!r} leads out of the volume; give a path below it")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.size is None:
            if self.claim is None:
                raise ValueError("claim: name an existing claim, or give a size to have one made")
            if managed := {"storage_class_name", "access_mode", "retention"} & self.model_fields_set:
                raise ValueError(f"{sorted(managed)[0]}: is for managed claims; set size as well, or drop it")
        if self.claim and self.retention == "Delete":
            raise ValueError("retention: a claim with a name may be others' as well; drop the name, or retain it")
        return self

    @property
    def own(self) -> bool:
        """Whether it is for one run alone."""
        return self.claim is None

    @property
    def is_deleted(self) -> bool:
        """Whether it goes when the run is over."""
        return self.own and self.retention != "Retain"


class ConfigMapKey(SpecModel):
    """One value of a ConfigMap of the pod's namespace."""

    config_map: ObjectName
    """Name of the ConfigMap."""
    key: Key = "ca-bundle.crt"
    """Key in it; OpenShift and trust-manager write `ca-bundle.crt`."""


class Proxy(SpecModel):
    """HTTP proxies for the pod. Passwords do not belong here: give the whole URL by `env_secrets`."""

    http: str | None = None
    """For `http://` (`HTTP_PROXY`)."""
    https: str | None = None
    """For `https://` (`HTTPS_PROXY`)."""
    no_proxy: tuple[str, ...] = ()
    """Hosts and domains to reach directly; the API server, localhost and the cluster's own names always are."""

    @field_validator("http", "https")
    @classmethod
    def _plain(cls, value: str | None) -> str | None:
        if value is None:
            return value
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"proxy: {value!r} is no http(s) URL; give one such as http://proxy.example.com:3128")
        if parts.password:
            raise ValueError("proxy: contains a password; put the URL into a Secret and set HTTP_PROXY in env_secrets")
        return value


class EndpointToken(SpecModel):
    """A token of the pod's service account for one audience, to authenticate at a served model's endpoint.

    Kubernetes makes it for this pod alone and takes it back with it. The pod mounts no other token.
    """

    audience: Annotated[str, Field(min_length=1)]
    """Who is to accept it, as the endpoint's authorizer expects."""
    env: EnvName = "LMEVAL_ENDPOINT_TOKEN"
    """Variable that holds it in the pod, for `{"env": …}` in a spec."""
    expiration_seconds: Annotated[int, Field(ge=600, le=2**32)] | None = None
    """How long it is valid; default: as long as the pod may run. A cluster may give less."""
