"""The paired permutation test, of whether the candidate is worse at all where scores are not just right or wrong.

If the two models are interchangeable, each document's difference could as well have had the other sign. Source: Fisher
1935, "The Design of Experiments", section 21; Phipson & Smyth 2010 (Stat. Appl. Genet. Mol. Biol. 9:39) for counting the
observed order as one of them, without which a p-value of zero would be possible.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_lmeval.gate.stats.bootstrap import SEED, blocks

PERMUTATIONS = 999
_CHUNK = 2_000_000
_TIE = 1e-12


def p_worse(damage: Any) -> float:
    """Return the one-sided p-value of "the candidate is worse": the share of sign changes with at least that damage.

    :param damage: one number per document, positive for worse. Documents without a difference change nothing.
    """
    import numpy as np

    units = blocks(np.asarray(damage, dtype=np.float64))
    units = units[units != 0]
    if not len(units):
        return 1.0
    observed = units.sum() - _TIE * np.abs(units).sum()
    rng = np.random.Generator(np.random.PCG64(SEED))
    rows = max(1, _CHUNK // len(units))
    as_large = 0
    for start in range(0, PERMUTATIONS, rows):
        signs = rng.integers(0, 2, size=(min(rows, PERMUTATIONS - start), len(units)), dtype=np.int8) * 2 - 1
        as_large += int((signs @ units >= observed).sum())
    return (as_large + 1) / (PERMUTATIONS + 1)
