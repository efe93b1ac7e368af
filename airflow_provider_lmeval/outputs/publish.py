"""Publishes one result at several places: each by itself, each tried again, each accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_lmeval.errors import LMEvalError, OutputError
from airflow_provider_lmeval.outputs.credentials import Credentials
from airflow_provider_lmeval.outputs.stored import StoredRun
from airflow_provider_lmeval.spec.outputs import HuggingFaceCard, MlflowRun, OciArtifact, Output

Accounts = Callable[[str], Credentials]
"""Looks up a connection by its id."""
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True)
class Publication:
    """What became of one output.

    :param type: of the output. :param target: what it names.
    :param where: address of what was published; None if it was not.
    :param error: why it was not. :param attempts: how often it was tried.
    """

    type: str
    target: str
    where: str | None
    error: str | None
    attempts: int

    @property
    def published(self) -> bool:
        """Whether it is there."""
        return self.error is None

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return asdict(self)


def publish(
    run: StoredRun, outputs: Iterable[Output], accounts: Accounts, *, pause_s: float = 1.0
) -> tuple[Publication, ...]:
    """Publish a run everywhere and return what became of it, in order. One failure does not keep the others from trying.

    :param accounts: looks up connections. :param pause_s: seconds before the second attempt; doubled for each further one.
    """
    return tuple(_publish(run, output, accounts, pause_s) for output in outputs)


def _publish(run: StoredRun, output: Output, accounts: Accounts, pause_s: float) -> Publication:
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

    again = Retrying(
        stop=stop_after_attempt(output.attempts),
        wait=wait_exponential(multiplier=pause_s, max=LONGEST_PAUSE_S),
        retry=retry_if_exception(lambda error: isinstance(error, OutputError) and error.transient),
        reraise=True,
    )
    account, where, error = Credentials(), None, None
    try:
        account = accounts(output.conn_id) if output.conn_id else account
        where = again(_send, run, output, account)
    except LMEvalError as failure:
        error = str(failure)
    except Exception as failure:  # noqa: BLE001 - a client library's own trouble must not hide what the others did
        error = f"{type(failure).__name__}: {failure}"
    attempts = int(again.statistics.get("attempt_number", 0))
    return Publication(output.type, target(output), where, error and _redacted(error, account), attempts)


def _send(run: StoredRun, output: Output, account: Credentials) -> str:
    """Hand over to the module that knows the place; each imports its client when it is used."""
    if isinstance(output, OciArtifact):
        from airflow_provider_lmeval.outputs.oci import push

        return push(run, output, account)
    if isinstance(output, MlflowRun):
        from airflow_provider_lmeval.outputs.mlflow import log

        return log(run, output, account)
    if isinstance(output, HuggingFaceCard):
        from airflow_provider_lmeval.outputs.model_card import write

        return write(run, output, account)
    from airflow_provider_lmeval.outputs.wandb import log as log_wandb

    return log_wandb(run, output, account)


def target(output: Output) -> str:
    """Return what an output names, for people."""
    if isinstance(output, OciArtifact):
        return output.repository
    if isinstance(output, MlflowRun):
        return output.run_id or output.experiment
    if isinstance(output, HuggingFaceCard):
        return str(output.path or output.repo_id)
    return str(output.wandb_args.get("project", output.conn_id or "offline"))


def _redacted(text: str, account: Credentials) -> str:
    for secret in account.secrets():
        text = text.replace(secret, "***")
    return text
