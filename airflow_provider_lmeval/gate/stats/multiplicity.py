"""What many comparisons at once do to error rates, and where a correction belongs.

*Going on* needs every blocking rule to pass. That is an intersection-union test: the model is wrongly let through only if
the one rule it really breaks errs, so each rule keeps its full level and nothing is corrected (Berger 1982,
Technometrics 24:295). *Claiming a regression somewhere* is the opposite: with 57 subjects a 5 % test finds three by
luck. Those claims are corrected by Holm's step-down method, which holds under any dependence (Holm 1979, Scand. J.
Statist. 6:65).
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the order given: to be compared with the level of the whole family."""
    m = len(p_values)
    adjusted, worst = [0.0] * m, 0.0
    for rank, index in enumerate(sorted(range(m), key=lambda at: p_values[at])):
        worst = max(worst, min(1.0, (m - rank) * p_values[index]))
        adjusted[index] = worst
    return adjusted
