"""Where a stored result is published besides its store: registries, trackers, model cards.

An output names an Airflow connection and never holds a credential. Publishing starts when the result is already stored, so
nothing here can decide whether an evaluation has succeeded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, StringConstraints, TypeAdapter, ValidationError, model_validator

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.spec.base import DocumentModel
from airflow_provider_lmeval.spec.sources import AbsolutePath
from airflow_provider_lmeval.spec.wording import describe

ConnId = Annotated[str, StringConstraints(min_length=1, max_length=250)]
Repository = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$", max_length=255
    ),
]
"""Name of a repository, by the OCI distribution specification 1.1."""
Tag = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$")]
Subject = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._:/@-]+$", max_length=255)]
WANDB_ARGS = frozenset({"entity", "project", "name", "group", "job_type", "notes", "tags", "mode", "dir"})
"""What of lm-eval's ``wandb_args`` is passed on. ``id`` and ``resume`` are ours, to find the run again on a retry."""


class OutputBase(DocumentModel):
    """What all outputs have."""

    attempts: PositiveInt = 4
    """How often to try before giving up; a refusal that another try cannot cure is not repeated."""


class OciArtifact(OutputBase):
    """An artifact in an OCI registry: `result.json` and the score tables."""

    type: Literal["oci"] = "oci"
    """An OCI artifact."""
    conn_id: ConnId
    """Connection whose host is the registry; login and password, or `docker_config_json` in its extras."""
    repository: Repository
    """Repository in the registry."""
    tag: Tag | None = None
    """Tag of the artifact; default: the run's id."""
    subject: Subject | None = None
    """What it is about, such as the model's own artifact in the same repository: a digest, a tag, or a full reference."""
    samples: bool = False
    """Push prompts and answers too, where the evaluation kept them."""
    verify_ssl: bool = True
    """Check the registry's TLS certificate."""
    plain_http: bool = False
    """The registry speaks HTTP without TLS."""


class MlflowRun(OutputBase):
    """A run of an MLflow tracking server: metrics, parameters, tags, and `result.json` where the server takes artifacts."""

    type: Literal["mlflow"] = "mlflow"
    """An MLflow run."""
    conn_id: ConnId
    """Connection whose host is the tracking URI; login and password, or a token as the password alone."""
    experiment: Annotated[str, StringConstraints(min_length=1, max_length=500)] = "lm-eval"
    """Experiment, created if need be."""
    run_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    """Log into this run, such as the training's, instead of one of its own."""
    tags: dict[str, str] = {}
    """Further tags."""


class HuggingFaceCard(OutputBase):
    """Scores in the metadata (`model-index`) of a Hugging Face model card."""

    type: Literal["model_card"] = "model_card"
    """A model card."""
    path: AbsolutePath | None = None
    """Directory of the model, whose `README.md` is changed or made."""
    repo_id: Annotated[str, StringConstraints(pattern=r"^[\w.-]+(/[\w.-]+)?$", max_length=96)] | None = None
    """Or a model on the Hub."""
    conn_id: ConnId | None = None
    """Connection whose password is the Hub's token, and whose host, if it has one, is the Hub. Needed for `repo_id`."""
    revision: str | None = None
    """Branch of the Hub's repository."""
    create_pr: bool = False
    """Open a pull request instead of writing to the branch."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.repo_id is None):
            raise ValueError("path, repo_id: give one of them: a directory, or a model on the Hub")
        if self.repo_id and not self.conn_id:
            raise ValueError("conn_id: is needed to write to the Hub; its password is the token")
        if self.path and (self.create_pr or self.revision or self.conn_id):
            raise ValueError("conn_id, revision, create_pr: are for a model on the Hub; drop them, or give repo_id")
        return self


class WandbRun(OutputBase):
    """A run in Weights & Biases, with lm-eval's own `wandb_args`."""

    type: Literal["wandb"] = "wandb"
    """A run in Weights & Biases."""
    conn_id: ConnId | None = None
    """Connection whose password is the API key, and whose host, if it has one, is the server. Not needed offline."""
    wandb_args: dict[str, str | tuple[str, ...]] = {}
    """Arguments for `wandb.init`, as in `lm-eval run --wandb_args`."""

    @model_validator(mode="after")
    def _known_args(self) -> Self:
        if unknown := sorted(self.wandb_args.keys() - WANDB_ARGS):
            raise ValueError(
                f"wandb_args: {', '.join(unknown)} cannot be passed on; known: {', '.join(sorted(WANDB_ARGS))}"
            )
        if self.conn_id is None and not self.offline:
            raise ValueError("conn_id: is needed unless wandb_args has mode: offline")
        return self

    @property
    def offline(self) -> bool:
        """Whether nothing is sent."""
        return self.wandb_args.get("mode") in ("offline", "disabled")


Output = OciArtifact | MlflowRun | HuggingFaceCard | WandbRun
_OUTPUTS: TypeAdapter[tuple[Output, ...]] = TypeAdapter(tuple[Annotated[Output, Field(discriminator="type")], ...])


def parse_outputs(data: Sequence[Mapping[str, Any] | Output] | Mapping[str, Any] | Output) -> tuple[Output, ...]:
    """Validate outputs.

    :param data: a list of outputs as plain data, or a single one.
    :raises SpecError: one line per problem.
    """
    listed = [data] if isinstance(data, Mapping | OutputBase) else data
    try:
        return _OUTPUTS.validate_python(listed)
    except ValidationError as error:
        raise SpecError("\n".join(f"outputs.{line}" for line in describe(error).splitlines())) from None
