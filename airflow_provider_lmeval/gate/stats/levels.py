"""Error probabilities, in one place, so that planning, deciding and simulating cannot disagree about them."""

from __future__ import annotations

CONFIDENCE = 0.95
"""Of each decision by itself: at most 5 % of models at the margin pass, at most 5 % of those without damage fail."""
POWER = 0.8
"""Probability with which a minimum detectable effect is detected, and an "n that would decide" decides: the convention."""
RESERVE = 0.1
"""Share of the error probability that tests do not use. It pays for the interval of the nuisance parameter in the exact
test, and for what jackknife and bootstrap miss in small samples, so that the whole stays below the promised error."""


def level_of(confidence: float) -> float:
    """Return the p-value at which a decision is taken."""
    return (1 - confidence) * (1 - RESERVE)


def nuisance_error(confidence: float) -> float:
    """Return the error probability that the exact test spends on what it does not know."""
    return (1 - confidence) * RESERVE
