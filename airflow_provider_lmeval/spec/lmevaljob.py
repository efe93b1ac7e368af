"""What an ``LMEvalJob`` of TrustyAI's operator says beside the evaluation itself: names, volumes, outputs, sources.

An ``EvalSpec`` says what to evaluate; these say how the operator is to run it. Kubernetes' own parts (volumes, side cars,
affinity, security contexts) stay as they are written in a manifest: the CRD's schema checks them, and nothing is lost.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, ValidationError

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.spec.base import DocumentModel, EnvName, SpecModel
from airflow_provider_lmeval.spec.wording import describe

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
"""The label by which Kueue finds the LocalQueue of a job."""

KubernetesPart = dict[str, JsonValue]


class SecretSelector(SpecModel):
    """One value of a Kubernetes Secret of the job's namespace."""

    name: str = ""
    """Name of the Secret."""
    key: str
    """Key in it."""
    optional: bool | None = None
    """Whether the Secret or the key may be missing."""


class S3Source(SpecModel):
    """Models and data in an S3 bucket, copied in before the evaluation; what tells where is in Secrets."""

    access_key_id: SecretSelector
    """The access key."""
    secret_access_key: SecretSelector
    """Its secret."""
    bucket: SecretSelector
    """The bucket."""
    region: SecretSelector
    """The bucket's region."""
    endpoint: SecretSelector
    """URL of the S3 service."""
    path: str
    """Directory in the bucket."""
    ca_bundle: SecretSelector | None = None
    """CA certificates to trust."""
    verify_ssl: bool | None = None
    """Check the service's TLS certificate."""


class OfflineStorage(SpecModel):
    """Where an evaluation without network finds models and data."""

    pvc_name: str | None = None
    """An existing PersistentVolumeClaim."""
    s3: S3Source | None = None
    """An S3 bucket."""


class ManagedClaim(SpecModel):
    """A PersistentVolumeClaim that the operator creates for the job, named `<job>-pvc`."""

    size: str | None = None
    """How large, such as `100Mi`."""


class OciOutput(SpecModel):
    """An OCI registry that results are pushed to."""

    registry: SecretSelector
    """Host of the registry."""
    repository: str
    """Repository in it."""
    tag: str | None = None
    """Tag of the artifact; default: the job's name."""
    subject: str | None = None
    """What the artifact is about, such as the model's own artifact."""
    docker_config_json: SecretSelector | None = None
    """Credentials as a Docker configuration."""
    username: SecretSelector | None = None
    """Or a user name …"""
    password: SecretSelector | None = None
    """… and a password."""
    verify_ssl: bool | None = None
    """Check the registry's TLS certificate."""


class Outputs(SpecModel):
    """Where the operator leaves the results, beside `status.results`."""

    pvc_name: str | None = None
    """An existing PersistentVolumeClaim."""
    pvc_managed: ManagedClaim | None = None
    """A new one, made by the operator."""
    oci: OciOutput | None = None
    """An OCI registry."""


class GitTasks(SpecModel):
    """Task definitions in a git repository."""

    url: str | None = None
    """HTTPS URL of the repository."""
    branch: str | None = None
    """Branch to take."""
    commit: str | None = None
    """Commit to take."""
    path: str | None = None
    """Directory of the tasks in it."""


class JobPod(SpecModel):
    """The operator's pod, in Kubernetes' own words."""

    env: tuple[KubernetesPart, ...] = ()
    """Variables that a spec cannot hold: from a ConfigMap, from the pod's own fields, or composed with `$(NAME)`."""
    volume_mounts: tuple[KubernetesPart, ...] = ()
    """Where the container sees its volumes."""
    resources: KubernetesPart | None = None
    """Requests, limits and claims of the container."""
    security_context: KubernetesPart | None = None
    """Security context of the container."""
    volumes: tuple[KubernetesPart, ...] = ()
    """Volumes of the pod."""
    side_cars: tuple[KubernetesPart, ...] = ()
    """Further containers of the pod."""
    affinity: KubernetesPart | None = None
    """Which nodes, and beside which pods."""
    pod_security_context: KubernetesPart | None = None
    """Security context of the pod."""


class LMEvalJobSettings(DocumentModel):
    """Everything an `LMEvalJob` says that an :class:`~airflow_provider_lmeval.spec.EvalSpec` does not."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")] | None = None
    """Name of the resource."""
    generate_name: Annotated[str, Field(pattern=r"^[a-z0-9][-a-z0-9.]{0,247}$")] | None = None
    """Prefix of a name that Kubernetes completes, instead of `name`."""
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")] | None = None
    """Namespace of the resource."""
    labels: dict[str, str] = {}
    """Labels of the resource; Kueue's queue is one of them."""
    annotations: dict[str, str] = {}
    """Annotations of the resource."""
    suspend: bool = False
    """Create the job without a pod; Kueue releases it."""
    env_secrets: dict[EnvName, SecretSelector] = {}
    """Variables that the spec refers to as `{"env": "NAME"}`, and the Secrets they come from."""
    git_tasks: GitTasks | None = None
    """Where custom tasks come from."""
    outputs: Outputs | None = None
    """Where results are left."""
    offline: OfflineStorage | None = None
    """Where models and data come from without network."""
    pod: JobPod = JobPod()
    """The operator's pod."""

    @property
    def queue_name(self) -> str | None:
        """The Kueue LocalQueue that the job waits in."""
        return self.labels.get(QUEUE_LABEL)

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Validate plain data.

        :raises SpecError: one line per problem.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise SpecError("\n".join(f"lmevaljob.{line}" for line in describe(error, cls).splitlines())) from None

    def to_data(self) -> dict[str, Any]:
        """Return plain JSON data that :meth:`parse` turns into equal settings; defaults are left out."""
        return self.model_dump(mode="json", exclude_defaults=True)


class LMEvalJobRun(LMEvalJobSettings):
    """The settings of a job, and how Airflow runs it: what `LMEvalOperator(lmevaljob={…})` takes.

    `name` and `generate_name` are only the beginning of the resource's name: what follows tells runs and tries apart.
    """

    pickup_timeout: float = Field(default=300.0, gt=0)
    """Seconds until the operator has to have taken the job up; later nobody will, most likely because none is there."""
    queueing_timeout: float = Field(default=86400.0, gt=0)
    """Seconds that Kueue may hold a job that is suspended, at first or again."""
    startup_timeout: float = Field(default=3600.0, gt=0)
    """Seconds until a job that was taken up has to run: its pod may wait for a node, and for its image."""
    keep: bool | None = None
    """Leave the resource when its result has been stored; default: only if it has a managed claim, which goes with it."""

    @property
    def is_kept(self) -> bool:
        """Whether the resource stays when its result has been stored."""
        managed = self.outputs is not None and self.outputs.pvc_managed is not None
        return managed if self.keep is None else self.keep
