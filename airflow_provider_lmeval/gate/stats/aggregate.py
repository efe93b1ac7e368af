"""How a task makes one score of many: most average, some do not, and none says which.

lm-eval's results hold the score and the score tables what went into it, but not the function between them. So each known
one is tried, and the one that reproduces the reported score is it. All of them are functions of averages, so a change of
the score can be traced back to the documents by linearisation (the delta method; Efron & Tibshirani 1993, "An
Introduction to the Bootstrap", section 21.3), after which they are compared like any other. The formulas are those of
``lm_eval.api.metrics``, 0.4.13.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_RELATIVE, _ABSOLUTE = 1e-6, 1e-9
"""How closely a reported score must be reproduced; results hold all digits, sums may be in another order."""
_STEP = 1e-6


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One way to make a score of documents' values.

    :param name: lm-eval's. :param width: numbers per document.
    :param features: the numbers that are averaged, made of an ``(n, width)`` array.
    :param value: the score, made of averages in the last axis.
    """

    name: str
    width: int
    features: Callable[[Any], Any]
    value: Callable[[Any], Any]

    @property
    def mean(self) -> bool:
        """Whether the score is the documents' average, so that differences are in the documents' own unit."""
        return self.name == "mean"


def recognise(sides: list[tuple[Any, float]]) -> Aggregate | None:
    """Return the aggregation that gives both sides' reported scores, None if none does.

    :param sides: the ``(n, width)`` values and the reported score of each side.
    """
    return next((each for each in AGGREGATES if all(_reproduces(each, *side) for side in sides)), None)


def recognise_partly(sides: list[tuple[Any, float]]) -> Aggregate | None:
    """Return the same where documents may lack their values (NaN), None if none does.

    A reported score may or may not count such documents. What the others come to is tried first; then, of values between 0
    and 1, whether the score is an average with anything between 0 and 1 in the gaps. Nothing is taken for an average
    unseen: of log-likelihoods even the direction would be wrong, since their perplexity is better lower.
    """
    import numpy as np

    known = [(values[~np.isnan(values).any(axis=1)], reported) for values, reported in sides]
    gaps = [len(values) - len(found) for (values, _), (found, _) in zip(sides, known, strict=True)]
    if all(len(found) for found, _ in known) and (how := recognise(known)):
        return how
    return MEAN if any(gaps) and all(_averages(*side, gap) for side, gap in zip(known, gaps, strict=True)) else None


def _averages(values: Any, reported: float, gap: int) -> bool:
    """Whether the score may be an average of these values and of ``gap`` more between 0 and 1."""
    if values.shape[1] != 1 or (len(values) and (values.min() < 0 or values.max() > 1)):
        return False
    n, total = len(values) + gap, float(values.sum())
    return total / n - _RELATIVE <= reported <= (total + gap) / n + _RELATIVE


def _reproduces(aggregate: Aggregate, values: Any, reported: float) -> bool:
    import numpy as np

    if values.shape[1] != aggregate.width:
        return False
    with np.errstate(all="ignore"):
        found = float(aggregate.value(aggregate.features(values).mean(axis=0)))
    return math.isclose(found, reported, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)


def contributions(aggregate: Aggregate, values: Any) -> Any:
    """Return one number per document whose mean is the score and whose changes are the score's changes.

    For an average these are the values themselves.

    :param values: an ``(n, width)`` array.
    """
    import numpy as np

    if aggregate.mean:
        return values[:, 0]
    features = aggregate.features(values)
    means = features.mean(axis=0)
    steps = _STEP * np.maximum(np.abs(means), 1e-3) * np.eye(len(means))
    slopes = (aggregate.value(means + steps) - aggregate.value(means - steps)) / (2 * steps.sum(axis=1))
    return aggregate.value(means) + (features - means) @ slopes


def _same(values: Any) -> Any:
    return values


def _confusion(values: Any) -> Any:
    """Return, for pairs of gold and predicted label, both being 1, gold being 1, prediction being 1."""
    import numpy as np

    gold, predicted = (values == 1).T
    binary = bool(np.isin(values, (0.0, 1.0)).all())
    return np.stack([gold & predicted, gold, predicted], axis=-1).astype(np.float64) if binary else values * np.nan


def _first(means: Any) -> Any:
    return means[..., 0]


def _perplexity(means: Any) -> Any:
    import numpy as np

    return np.exp(-means[..., 0])


def _weighted_perplexity(means: Any) -> Any:
    import numpy as np

    return np.exp(-means[..., 0] / means[..., 1])


def _bits(means: Any) -> Any:
    return -means[..., 0] / means[..., 1] / math.log(2)


def _f1(means: Any) -> Any:
    return 2 * means[..., 0] / (means[..., 1] + means[..., -1])


def _matthews(means: Any) -> Any:
    import numpy as np

    both, gold, predicted = means[..., 0], means[..., 1], means[..., -1]
    return (both - gold * predicted) / np.sqrt(gold * (1 - gold) * predicted * (1 - predicted))


MEAN = Aggregate("mean", 1, _same, _first)
AGGREGATES = (
    MEAN,
    Aggregate("perplexity", 1, _same, _perplexity),
    Aggregate("weighted_perplexity", 2, _same, _weighted_perplexity),
    Aggregate("bits_per_byte", 2, _same, _bits),
    Aggregate("f1", 2, _confusion, _f1),
    Aggregate("matthews_corrcoef", 2, _confusion, _matthews),
)
"""Tried in this order; none gives another's score but by accident."""
