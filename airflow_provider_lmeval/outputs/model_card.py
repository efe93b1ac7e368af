"""Scores in a model card's metadata, where the Hugging Face Hub and people who get the model look for them.

The card's text and whatever else its metadata say stay as they are; scores of the same task and metric are replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_lmeval.errors import OutputError
from airflow_provider_lmeval.outputs.credentials import Credentials
from airflow_provider_lmeval.outputs.http import TRANSIENT
from airflow_provider_lmeval.outputs.stored import StoredRun
from airflow_provider_lmeval.spec.outputs import HuggingFaceCard

if TYPE_CHECKING:
    from huggingface_hub import EvalResult as CardResult

README = "README.md"


def write(run: StoredRun, output: HuggingFaceCard, account: Credentials) -> str:
    """Write a run's scores into a card and return where it is.

    :raises OutputError: ``huggingface_hub`` is missing, the card cannot be read or written, or the Hub refuses.
    """
    try:
        import huggingface_hub  # noqa: F401
    except ImportError:
        raise OutputError("model_card: pip install 'airflow-provider-lmeval[huggingface]' on the workers") from None
    return _write_file(run, Path(output.path)) if output.path else _push(run, output, account)


def with_scores(text: str | None, run: StoredRun) -> str:
    """Return a card's text with the scores of a run.

    :param text: the card as it is; None if there is none.
    :raises OutputError: its metadata are not valid.
    """
    from huggingface_hub import ModelCard

    name = Path(run.model).name or run.model
    try:
        card = ModelCard(text if text is not None else f"---\n{{}}\n---\n\n# {name}\n")
        new = list(scores(run))
        kept = [old for old in card.data.eval_results or [] if _same(old) not in {_same(each) for each in new}]
        card.data.eval_results = kept + new
        card.data.model_name = card.data.model_name or name
        return str(card)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise OutputError(f"the model card's metadata are not valid: {error}; correct its README.md") from error


def scores(run: StoredRun) -> list[CardResult]:
    """Return the run's scores as the Hub's ``EvalResult``."""
    from huggingface_hub import EvalResult

    version = run.result.versions.get("lm_eval")
    found = []
    for task, metric, chosen, score in run.metrics():
        entry, print_ = run.result.tasks[task], run.result.fingerprint.tasks.get(task)
        dataset = print_.dataset if print_ else None
        found.append(
            EvalResult(
                task_type="text-generation",
                dataset_type=(dataset.path if dataset else None) or task,
                dataset_config=dataset.name if dataset else None,
                dataset_name=task,
                dataset_args={"num_few_shot": entry.num_fewshot} if entry.num_fewshot is not None else None,
                metric_type=metric,
                metric_name=metric if chosen == "none" else f"{metric} ({chosen})",
                metric_value=score.value,
                source_name=f"lm-evaluation-harness {version}" if version else "lm-evaluation-harness",
                source_url="https://github.com/EleutherAI/lm-evaluation-harness",
            )
        )
    return found


def _same(result: CardResult) -> tuple[Any, ...]:
    """Return what makes two entries of a card one and the same measurement."""
    return result.task_type, result.dataset_type, result.dataset_config, result.dataset_name, *_metric(result)


def _metric(result: CardResult) -> tuple[Any, ...]:
    return result.metric_type, result.metric_name, (result.dataset_args or {}).get("num_few_shot")


def _write_file(run: StoredRun, directory: Path) -> str:
    card = directory / README
    try:
        old = card.read_text(encoding="utf-8") if card.exists() else None
        temporary = card.with_name(f".{README}.{os.getpid()}.tmp")
        temporary.write_text(with_scores(old, run), encoding="utf-8")
        temporary.replace(card)
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"cannot write the model card {card}: {error}") from error
    return str(card)


def _push(run: StoredRun, output: HuggingFaceCard, account: Credentials) -> str:
    """Write to the Hub: a commit based on the card that was read, so that nobody else's change is lost."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=account.url() or None, token=account.password or False)
    repo_id = str(output.repo_id)
    with _explained(repo_id):
        old, parent = _read(api, repo_id, output.revision)
        done = api.upload_file(
            path_or_fileobj=with_scores(old, run).encode(),
            path_in_repo=README,
            repo_id=repo_id,
            revision=output.revision,
            commit_message=f"Add scores of evaluation {run.run_id}",
            create_pr=output.create_pr,
            parent_commit=parent,
        )
    return str(done.pr_url or done.commit_url)


@contextmanager
def _explained(repo_id: str) -> Iterator[None]:
    """Turn what the Hub's client raises into our errors.

    It passes on what its HTTP library raises for a connection that fails, and that library has changed twice: so everything
    but the Hub's own answers counts as a connection that failed.
    """
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except OutputError:
        raise
    except OfflineModeIsEnabled as error:
        raise OutputError(
            f"{repo_id}: HF_HUB_OFFLINE is set on this worker; write to a directory, or unset it"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        moved = status in (0, 409, 412)  # someone else's commit came first: read the card again
        raise OutputError(f"{repo_id}: {error}", transient=moved or status in TRANSIENT) from error
    except ValueError as error:
        raise OutputError(f"{repo_id}: {error}") from error
    except Exception as error:
        raise OutputError(f"{repo_id}: {type(error).__name__}: {error}", transient=True) from error


def _read(api: Any, repo_id: str, revision: str | None) -> tuple[str | None, str]:
    """Return the card on the Hub, if there is one, and the commit it was read at."""
    import tempfile

    from huggingface_hub.errors import EntryNotFoundError

    commit = str(api.model_info(repo_id, revision=revision).sha)
    with tempfile.TemporaryDirectory() as place:
        try:
            path = api.hf_hub_download(repo_id, README, revision=commit, local_dir=place)
        except EntryNotFoundError:
            return None, commit
        return Path(path).read_text(encoding="utf-8"), commit
