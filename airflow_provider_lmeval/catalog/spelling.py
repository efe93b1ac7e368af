"""Suggestions for a misspelt name, good enough to copy and quick enough for an error message.

Comparing a name with all 14,000 by :mod:`difflib` takes most of a second. Names that are too long or too short, or that
share few pairs of letters with the wanted one, cannot win, so those are dropped first, and difflib ranks the rest.
Case and the choice between ``-``, ``_`` and space are ignored: ``MMLU-Pro`` means ``mmlu_pro``.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from heapq import nlargest

SHORTLIST = 100
CUTOFF = 0.6  # difflib's own default for "close"
LONGEST = 200  # letters compared; no name is longer, and comparing takes the square of the length


def nearest(wanted: str, names: Iterable[str], n: int) -> list[str]:
    """Return up to ``n`` of the names that resemble the wanted one, the closest first, ties by length and alphabet."""
    target = _plain(wanted[:LONGEST])
    pairs = _pairs(target)
    plain = ((name, _plain(name)) for name in names)
    possible = {name: text for name, text in plain if _best_ratio(len(text), len(target)) >= CUTOFF}
    shortlist = nlargest(SHORTLIST, possible, key=lambda name: _shared(pairs, _pairs(possible[name])))
    matcher = SequenceMatcher(b=target, autojunk=False)
    ranked = sorted((-_ratio(matcher, name), len(name), name) for name in shortlist)
    return [name for ratio, _, name in ranked if -ratio >= CUTOFF][:n]


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_").replace(" ", "_")


def _best_ratio(one: int, other: int) -> float:
    """Return the most that difflib can find alike in texts of these lengths: all of the shorter one."""
    return 2 * min(one, other) / max(one + other, 1)


def _pairs(text: str) -> set[str]:
    """Return the pairs of neighbouring letters, with a margin so that the first and last letter count too."""
    padded = f"^{text}$"
    return {padded[at : at + 2] for at in range(len(padded) - 1)}


def _shared(one: set[str], other: set[str]) -> float:
    """Return the Dice coefficient of two sets."""
    return 2 * len(one & other) / (len(one) + len(other))


def _ratio(matcher: SequenceMatcher[str], name: str) -> float:
    matcher.set_seq1(_plain(name))
    return matcher.ratio()
