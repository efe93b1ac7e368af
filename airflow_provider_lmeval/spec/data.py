"""One's own data as an evaluation task: a file or a dataset, and which columns hold question, choices and answer.

For teams that have fifty questions in a spreadsheet and no wish to learn lm-eval's task language. What is said here becomes
an ordinary lm-eval task; its version is the hash of the data, so that scores on different data are never compared.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, NonNegativeInt, PositiveInt, StringConstraints, model_validator

from airflow_provider_lmeval.spec.base import SpecModel
from airflow_provider_lmeval.wire_data import PLACEHOLDER
from airflow_provider_lmeval.wire_rows import SUFFIXES

OwnTaskName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$", max_length=4096)]
"""Absolute: a run works in a directory of its own."""
HubDataset = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")
]
Column = Annotated[str, StringConstraints(min_length=1, max_length=256)]
URI_SCHEMES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "https", "http")
"""Object storage and web servers, as fsspec calls them."""
METRICS = {
    "multiple_choice": ("acc", "acc_norm", "brier_score", "mcc"),
    "generate_until": ("exact_match", "bleu", "chrf", "ter"),
}
"""Metrics of lm-eval that need nothing but documents and answers, by output type; the first ones are the default."""
DEFAULT_METRICS = {"multiple_choice": ("acc", "acc_norm"), "generate_until": ("exact_match",)}


class DataSource(SpecModel):
    """A file on a volume, a file in object storage, or a dataset of the Hugging Face Hub: one of them."""

    path: AbsolutePath | None = None
    """File on the machine of the run (a mounted volume), absolute."""
    uri: Annotated[str, StringConstraints(max_length=4096)] | None = None
    """File elsewhere, such as `s3://bucket/questions.csv`; needs `allow_online`."""
    dataset: HubDataset | None = None
    """Dataset of the Hugging Face Hub, such as `org/questions`."""
    config: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    """Configuration of the dataset, where it has several."""
    split: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$")] = "test"
    """Split of the dataset."""
    revision: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./-]{1,128}$")] | None = None
    """Commit, tag or branch of the dataset."""
    format: Literal["jsonl", "csv", "parquet"] | None = None
    """Format of the file; default: told by the end of its name."""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Digest that the file's bytes must have."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        given = [name for name in ("path", "uri", "dataset") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"give one of path, uri and dataset, found {' and '.join(given) or 'none'}")
        names = ("format", "sha256") if self.dataset else ("config", "split", "revision")
        if foreign := [name for name in names if name in self.model_fields_set]:
            raise ValueError(f"{', '.join(foreign)}: means nothing for a {given[0]}; remove it")
        if self.uri:
            check_uri(self.uri)
        if not self.dataset and self.file_format is None:
            raise ValueError(
                f"format: cannot be told from the name; give one of {', '.join(sorted({*SUFFIXES.values()}))}"
            )
        return self

    @property
    def file_format(self) -> str | None:
        """Format of the file, or None of a dataset or where it is not known."""
        name = self.path or (urlsplit(self.uri).path if self.uri else "")
        return self.format or SUFFIXES.get(PurePosixPath(name).suffix.lower())


def check_uri(uri: str) -> None:
    """Refuse what would read this machine's files, chain file systems or carry a password.

    :raises ValueError: with what is allowed.
    """
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise ValueError(f"uri: {error}") from None
    if parts.scheme not in URI_SCHEMES or "::" in uri or not parts.netloc:
        raise ValueError(f"uri: give a URL with one of {', '.join(URI_SCHEMES)}; a file of this machine is a path")
    if (parts.username or parts.password) and parts.scheme not in ("abfs", "abfss"):
        raise ValueError("uri: holds credentials; give them to the run by `env`")


class Columns(SpecModel):
    """Which column holds what; `a.b` is the field `b` of the object in column `a`, unless a column is called so."""

    question: Column = "question"
    """The question."""
    context: Column | None = None
    """A text the question is about."""
    choices: Column | Annotated[tuple[Column, ...], Field(min_length=2)] | None = None
    """Multiple choice: the column with the list of choices, or one column for each; default `choices`."""
    answer: Column = "answer"
    """The right answer."""
    answers: Column | Annotated[tuple[Column, ...], Field(min_length=2)] | None = None
    """Generation, instead of `answer`: the column with the list of answers that count as right, or one column for each."""


class OwnData(DataSource):
    """A task made of your own data."""

    name: OwnTaskName
    """Name of the task, in results and in rules of the gate."""
    output_type: Literal["multiple_choice", "generate_until"] = "multiple_choice"
    """`multiple_choice`: the likeliest choice counts. `generate_until`: the model writes its answer."""
    columns: Columns = Columns()
    """Which column holds what."""
    answer_is: Literal["index", "number", "letter", "text"] | None = None
    """What stands for the right choice: its index from 0 (default), its number from 1, its letter, or its text."""
    prompt: Annotated[str, StringConstraints(min_length=1)] | None = None
    """The prompt, with `{question}` and `{context}`; default: `Question: {question}`, then `Answer:` on a new line."""
    metrics: tuple[str, ...] = ()
    """Metrics of lm-eval; default `acc` and `acc_norm`, or `exact_match`."""
    num_fewshot: NonNegativeInt | None = None
    """Examples in each prompt, taken from `fewshot`; default: the spec's."""
    fewshot: DataSource | None = None
    """Where examples come from, with the same columns; none of them may be among the tested questions."""
    until: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = ("\n",)
    """Generation ends at one of these."""
    max_gen_toks: PositiveInt = 256
    """Generation ends after so many tokens."""
    ignore_case: bool = False
    """`exact_match`: capital and small letters are the same."""
    ignore_punctuation: bool = False
    """`exact_match`: punctuation does not count."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        chooses = self.output_type == "multiple_choice"
        names = ("until", "max_gen_toks", "ignore_case", "ignore_punctuation") if chooses else ("answer_is",)
        if foreign := [name for name in names if name in self.model_fields_set]:
            raise ValueError(f"{', '.join(foreign)}: means nothing for output_type {self.output_type}; remove it")
        if not chooses and self.columns.choices:
            raise ValueError("columns.choices: means nothing for output_type generate_until; remove it")
        if chooses and self.columns.answers:
            raise ValueError("columns.answers: means nothing for output_type multiple_choice; remove it")
        if self.columns.answers and "answer" in self.columns.model_fields_set:
            raise ValueError("columns.answers and columns.answer: one of them says what is right; remove the other")
        if self.num_fewshot and not self.fewshot:
            raise ValueError("num_fewshot needs fewshot: examples from the tested questions would give away answers")
        allowed = METRICS[self.output_type]
        if unknown := [name for name in self.metrics if name not in allowed]:
            raise ValueError(f"metrics: {', '.join(unknown)}: {self.output_type} has {', '.join(allowed)}")
        if self.columns.answers and set(self.metrics) - {"exact_match"}:
            raise ValueError(
                "metrics: with columns.answers only exact_match: lm-eval makes 1 of any other score above 0"
            )
        return self

    @model_validator(mode="after")
    def _placeholders(self) -> Self:
        named = set(PLACEHOLDER.findall(self.prompt or ""))
        if self.prompt and "question" not in named:
            raise ValueError("prompt: needs {question} where the question goes")
        if self.prompt and ("context" in named) != bool(self.columns.context):
            raise ValueError("prompt: {context} and columns.context need each other")
        return self

    def fields_of_source(self) -> dict[str, Any]:
        """Return the fields that say where the rows come from."""
        return {name: getattr(self, name) for name in DataSource.model_fields}
