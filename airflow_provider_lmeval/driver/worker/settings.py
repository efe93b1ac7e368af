"""How to evaluate: the request's ``evaluate`` mapping with lm-eval's defaults, checked before anything is loaded.

lm-eval accepts several settings that silently mean something else: an empty or unsorted list of samples evaluates
everything or mislabels documents, a limit of 0 evaluates everything. Here they are errors or are put right.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause

LMEVAL_ONLY = frozenset({"use_cache", "write_out", "check_integrity"})
"""Settings that leave scores and files as they are."""
BATCHING = frozenset({"batch_size", "max_batch_size"})
"""Settings that leave scores as they are, except for the last bits of floating-point numbers."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Arguments of an evaluation under lm-eval's names (``simple_evaluate``), with the defaults of ``lm-eval run``.

    A ``batch_size`` of None is replaced by what suits the device (see ``devices``).
    ``bootstrap_iters`` is 1,000 instead of 100,000: the latter takes CPU hours for metrics such as F1, and differs
    from it by less than the noise of either.
    """

    num_fewshot: int | None = None
    limit: float | None = None
    samples: dict[str, list[int]] | None = None
    batch_size: int | str | None = None
    max_batch_size: int | None = None
    device: str | None = None
    gen_kwargs: dict[str, Any] | None = None
    system_instruction: str | None = None
    apply_chat_template: bool | str = False
    fewshot_as_multiturn: bool | None = None
    bootstrap_iters: int = 1000
    log_samples: bool = False
    predict_only: bool = False
    write_out: bool = False
    check_integrity: bool = False
    use_cache: str | None = None
    random_seed: int | None = 0
    numpy_seed: int | None = 1234
    torch_seed: int | None = 1234
    fewshot_seed: int | None = 1234
    trust_remote_code: bool = False
    metadata: dict[str, Any] | None = None

    @property
    def seeds(self) -> list[int | None]:
        """Seeds of Python, NumPy, torch and few-shot sampling, in the order of lm-eval's ``--seed``."""
        return [self.random_seed, self.numpy_seed, self.torch_seed, self.fewshot_seed]

    def deciding(self) -> dict[str, Any]:
        """Return the settings that decide scores or which files are written.

        The batch size is not among them: a run that ran out of memory goes on with a smaller one, and tasks that were
        finished before stay finished. Each record keeps its own, and the fingerprint says if they are mixed.
        """
        kept = dataclasses.asdict(self).items()
        return {name: value for name, value in kept if name not in LMEVAL_ONLY | BATCHING}


def settings_of(evaluate: dict[str, Any]) -> Settings:
    """Check the request's ``evaluate`` mapping.

    :param evaluate: see ``wire.EVALUATE_KEYS``.
    :raises RunFailedError: ``bad_spec``: an unknown name, or a value that would mean something else to lm-eval.
    """
    known = {field.name for field in dataclasses.fields(Settings)}
    if unknown := sorted(set(evaluate) - known):
        raise _bad(f"evaluate: unknown setting {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    settings = Settings(**evaluate)
    _check_limit(settings)
    multiturn = settings.fewshot_as_multiturn
    if multiturn is None:  # lm-eval's own rule (EvaluatorConfig)
        multiturn = bool(settings.apply_chat_template)
    elif multiturn and not settings.apply_chat_template:
        raise _bad("fewshot_as_multiturn needs apply_chat_template: only messages have turns")
    return dataclasses.replace(
        settings,
        samples=_ordered(settings.samples),
        gen_kwargs=settings.gen_kwargs or None,
        fewshot_as_multiturn=multiturn,
        log_samples=settings.log_samples or settings.predict_only,
    )


def _check_limit(settings: Settings) -> None:
    limit = settings.limit
    if limit is None:
        return
    if settings.samples is not None:
        raise _bad("limit and samples exclude each other: samples already names the documents; drop limit")
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
        raise _bad(f"limit: found {limit!r}; give a number of documents, or a share of them between 0 and 1")


def _ordered(samples: dict[str, list[int]] | None) -> dict[str, list[int]] | None:
    if samples is None:
        return None
    for task, indices in samples.items():
        if not indices or any(isinstance(i, bool) or not isinstance(i, int) or i < 0 for i in indices):
            raise _bad(f"samples[{task!r}]: found {indices!r}; give at least one document index, 0 or more")
    return {task: sorted(set(indices)) for task, indices in samples.items()}


def _bad(message: str) -> RunFailedError:
    return RunFailedError(message, Cause.BAD_SPEC)
