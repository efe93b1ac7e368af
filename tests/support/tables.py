"""Two models' results with score tables that fit them, made of what each document scored.

The documents are numbered; a document's hashes follow from its task and number, so two sides made of equally many values are
the same documents in the same order. Tests then change what they are about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from airflow_provider_lmeval.errors import DamagedResultError
from airflow_provider_lmeval.results import EvalResult, Score
from tests.support.evidence import Data, document, group, metric, sha, task

Values = Sequence[Any]


def rows(name: str, values: Values, *, model: str, metric: str = "acc", filter_name: str = "none") -> list[Score]:
    """Return a score table: the n-th document scored the n-th value."""
    return [
        Score(
            doc_id=n,
            doc_hash=sha(f"{name} {n}"),
            prompt_hash=sha(f"{name} {n} asked"),
            target_hash=sha(f"{name} {n} answer"),
            filter=filter_name,
            metrics={metric: value},
            response_hash=sha(f"{model} {name} {n}"),
            loglikelihoods=(-1.0 - len(model), -2.0 - n),
        )
        for n, value in enumerate(values)
    ]


class Tables:
    """Score tables by side and task, as the gate asks for them; it counts how often. ``None`` is a damaged one."""

    def __init__(self, tables: dict[tuple[str, str], list[Score] | None]) -> None:
        self.tables = tables
        self.asked: list[tuple[str, str]] = []

    def __call__(self, side: str, name: str) -> Iterable[Score] | None:
        self.asked.append((side, name))
        if (side, name) not in self.tables:
            return None
        found = self.tables[side, name]
        if found is None:
            raise DamagedResultError("the score table breaks off after row 7")
        return found


def scored(values: Values, *, higher: bool | None = True, value: float | None = None) -> Data:
    """Return the metric of an average, with lm-eval's standard error."""
    numbers = [each for each in values if isinstance(each, int | float)]
    error = stdev(numbers) / len(numbers) ** 0.5 if len(numbers) > 1 else None
    return metric(mean(numbers) if value is None else value, n=len(values), higher=higher, stderr=error)


def result(
    tasks: Mapping[str, Values],
    *,
    run_id: str,
    key: str = "acc,none",
    groups: Mapping[str, Data] | None = None,
    higher: bool | None = True,
    value: float | None = None,
) -> EvalResult:
    """Return the result of a model that scored these values.

    :param groups: groups' metrics by name, each over all tasks.
    """
    entries: Data = {
        name: task({key: scored(values, higher=higher, value=value)}, n=len(values)) for name, values in tasks.items()
    }
    total = sum(map(len, tasks.values()))
    for name, metrics in (groups or {}).items():
        entries[name] = group(metrics, list(tasks)) | {"n_samples": {"original": total, "effective": total}}
    return EvalResult.parse(document(entries, run_id=run_id))


def tables(candidate: Mapping[str, Values], baseline: Mapping[str, Values], key: str = "acc,none") -> Tables:
    """Return the score tables of both sides."""
    name, _, filter_name = key.partition(",")
    sides = {"candidate": candidate, "baseline": baseline}
    return Tables(
        {
            (side, each): rows(each, values, model=side, metric=name, filter_name=filter_name)
            for side, tasks in sides.items()
            for each, values in tasks.items()
        }
    )


def pair(candidate: Mapping[str, Values], baseline: Mapping[str, Values], **options: Any) -> tuple[Any, Any, Tables]:
    """Return both results and their tables; ``options`` as for :func:`result`."""
    return (
        result(candidate, run_id="candidate-1", **options),
        result(baseline, run_id="production-7", **options),
        tables(candidate, baseline, options.get("key", "acc,none")),
    )


def answers(right: int, lost: int, won: int, wrong: int) -> tuple[list[float], list[float]]:
    """Return the candidate's and the baseline's right-or-wrong scores with this many documents of each kind."""
    candidate = [1.0] * right + [0.0] * lost + [1.0] * won + [0.0] * wrong
    baseline = [1.0] * right + [1.0] * lost + [0.0] * won + [0.0] * wrong
    return candidate, baseline
