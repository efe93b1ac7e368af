"""Places scores and differences on axes, in percent of the drawing's width.

Percentages let a drawing grow and shrink with the page while its dots stay round, which a scaled drawing's do not. Shares
have one axis in common, so that rows can be compared; a perplexity has its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

EDGE = 4.0
"""Percent kept free on either side, so that dots are not cut off."""
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values across the drawing.

    :param low: value at the left edge. :param high: value at the right edge, greater.
    """

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float]) -> Axis:
        """Return an axis that holds all values, with something around a single one."""
        found = list(values) or [0.0]
        low, high = min(found), max(found)
        if high - low < 1e-9 * max(1.0, abs(high)):
            reach = 0.05 * abs(high) or 0.5
            return cls(low - reach, high + reach)
        return cls(low, high)

    def at(self, value: float) -> float:
        """Return where a value lies, in percent of the width; what is beyond the axis lies at its edge."""
        share = (value - self.low) / (self.high - self.low)
        return round(EDGE + (100 - 2 * EDGE) * min(1.0, max(0.0, share)), 2)


@dataclass(frozen=True, slots=True)
class Dot:
    """A value with its interval. Numbers for people are :attr:`value` and :attr:`bounds`, the others percentages."""

    value: float
    at: float
    low: float
    high: float
    bounds: Interval | None


def dot(axis: Axis, value: float | None, bounds: Interval | None) -> Dot | None:
    """Place a value; None if there is none."""
    if value is None:
        return None
    low, high = bounds or (value, value)
    return Dot(value, axis.at(value), axis.at(low), axis.at(high), bounds)


def axes(rows: Sequence[Sequence[float]]) -> list[Axis]:
    """Return an axis for each row of values: a common one for those between 0 and 1."""
    shares = [value for row in rows if _is_share(row) for value in row]
    common = Axis.over(shares)
    return [common if _is_share(row) else Axis.over(row) for row in rows]


def _is_share(row: Sequence[float]) -> bool:
    return bool(row) and all(0 <= value <= 1 for value in row)
