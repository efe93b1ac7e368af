"""How often the gate is wrong, simulated: models at the margin that pass, models without damage that fail or stay open.

Each cell draws thousands of pairs of models and decides with the functions that decide in production; a few of them go
through :func:`judge` as a whole, to make sure that both say the same. Confidence is 0.95 and the margin one point. Seeded:
every run prints the same lines. Exit status 1 if a number misses what the gate promises:

- a true drop as large as the margin passes in at most 5 %, no true drop fails in at most 5 %;
- no true drop passes in at least 90 % with 10,000 documents of which at most 10 % are discordant. With clusters that holds
  for fifty of them; with five or twenty no test that keeps its level gets there, and the line only shows how far it gets;
- the paired test has at least 1.5 times the power of the unpaired one for a drop of one point.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr

from airflow_provider_lmeval.gate.stats import mcnemar, proportions
from airflow_provider_lmeval.gate.stats.cluster import clustered_mean
from airflow_provider_lmeval.gate.stats.levels import level_of
from airflow_provider_lmeval.gate.stats.noninferiority import Sample, judge, paired_stderr, unanimous

MARGIN, CONFIDENCE, ERROR = 0.01, 0.95, 0.05
GATES = 20_000
RESAMPLED_GATES = 2_000
CHECKED = 5
"""Gates of each cell that go through the whole of :func:`judge`."""
SEED = 20_240_229


@dataclass(frozen=True)
class Cell:
    """What is drawn.

    :param n: documents. :param discordance: share on which the models disagree.
    :param clusters: subtasks, of unequal sizes; 1 for documents that stand for themselves.
    :param spread: standard deviation of the damage between subtasks.
    """

    n: int
    discordance: float
    clusters: int = 1
    spread: float = 0.0


CELLS = [
    *(Cell(n, share) for n in (100, 300, 1000, 3000, 10_000, 14_000) for share in (0.01, 0.02, 0.05, 0.1, 0.2)),
    *(
        Cell(n, share, clusters, spread)
        for clusters in (2, 5, 20, 50)
        for n in (1000, 10_000, 14_000)
        for share in (0.05, 0.1)
        for spread in (0.0, 0.015)
    ),
]


@dataclass(frozen=True)
class Drawn:
    """Documents lost and won, by gate and subtask."""

    lost: Any
    won: Any
    sizes: Any

    @property
    def n(self) -> int:
        return int(self.sizes.sum())


def draw(cell: Cell, damage: float, rng: np.random.Generator) -> Drawn:
    """Draw pairs of models whose damage is ``damage`` on average over the subtasks there could be."""
    weights = rng.lognormal(0, 0.5, cell.clusters)
    sizes = np.maximum(1, np.round(weights / weights.sum() * cell.n)).astype(np.int64)
    own = damage + cell.spread * rng.standard_normal((GATES, cell.clusters))
    own = np.clip(own, -cell.discordance, cell.discordance)
    lost = rng.binomial(sizes, (cell.discordance + own) / 2)
    won = rng.binomial(sizes - lost, (cell.discordance - own) / (2 - cell.discordance - own))
    return Drawn(lost, won, sizes)


def p_values(drawn: Drawn) -> tuple[Any, Any, Any]:
    """Return p-values within and beyond the margin, and within it for somebody who ignores clusters."""
    b, c = drawn.lost.sum(axis=1), drawn.won.sum(axis=1)
    naive = proportions.p_below(b, c, drawn.n, MARGIN, CONFIDENCE)
    beyond = proportions.p_above(b, c, drawn.n, MARGIN, CONFIDENCE)
    if len(drawn.sizes) == 1:
        return naive, beyond, naive
    damage = drawn.lost - drawn.won
    joint = clustered_mean(damage, drawn.sizes)
    agreed = unanimous(damage, drawn.sizes, MARGIN, paired_stderr(b, c, drawn.n), level_of(CONFIDENCE))
    beyond = np.where(agreed, beyond, np.maximum(beyond, joint.p_above(MARGIN)))
    return np.maximum(naive, joint.p_below(MARGIN)), beyond, naive


def check_against_judge(drawn: Drawn, within: Any, beyond: Any) -> None:
    """Compare with what production makes of the same documents.

    :raises AssertionError: it decides differently.
    """
    for at in range(CHECKED):
        parts = [
            np.repeat([1.0, -1.0, 0.0], [b, c, n - b - c])
            for b, c, n in zip(drawn.lost[at], drawn.won[at], drawn.sizes, strict=True)
        ]
        clusters = (np.array([part.sum() for part in parts]), drawn.sizes) if len(parts) > 1 else None
        answer = judge(Sample(np.concatenate(parts), spread=1, clusters=clusters), MARGIN, CONFIDENCE)
        np.testing.assert_allclose((answer.p_within, answer.p_beyond), (within[at], beyond[at]), atol=1e-12)


def simulate(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Return the rates of one cell."""
    level = level_of(CONFIDENCE)
    found: dict[str, Any] = {}
    for truth, damage in (("margin", MARGIN), ("none", 0.0)):
        drawn = draw(cell, damage, rng)
        within, beyond, naive = p_values(drawn)
        check_against_judge(drawn, within, beyond)
        passed, failed = (within <= level).mean(), (beyond <= level).mean()
        if truth == "margin":
            found["false_pass"] = passed
            if cell.clusters > 1:
                found["naive_false_pass"] = (naive <= level).mean()
        else:
            found |= {"pass": passed, "false_fail": failed, "inconclusive": 1 - passed - failed}
    return {"gates": GATES} | {key: round(float(value), 4) for key, value in found.items()}


def promised(cell: Cell, found: dict[str, Any]) -> bool:
    """Return whether a cell keeps the promises that concern it."""
    holds = found["false_pass"] <= ERROR and found["false_fail"] <= ERROR
    enough = cell.n == 10_000 and cell.discordance <= 0.1 and cell.spread == 0 and cell.clusters in (1, 50)
    return bool(holds and (not enough or found["pass"] >= 0.9))


def resampled(rng: np.random.Generator) -> dict[str, Any]:
    """Return the rates for scores that are not right or wrong: one document in five changed, by any amount."""
    found = {}
    for truth, damage in (("margin", MARGIN), ("none", 0.0)):
        decisions = []
        for _ in range(RESAMPLED_GATES):
            changed = rng.random(300) < 0.2
            values = np.where(changed, rng.uniform(-0.2, 0.2, 300) + damage / 0.2, 0.0)
            decisions.append(judge(Sample(values, spread=1), MARGIN, CONFIDENCE).decision(CONFIDENCE))
        share = {name: decisions.count(name) / len(decisions) for name in ("PASS", "FAIL", "INCONCLUSIVE")}
        if truth == "margin":
            found["false_pass"] = share["PASS"]
        else:
            found |= {"pass": share["PASS"], "false_fail": share["FAIL"], "inconclusive": share["INCONCLUSIVE"]}
    return {"gates": RESAMPLED_GATES} | {key: round(value, 4) for key, value in found.items()}


def power_ratio(accuracy: float, rng: np.random.Generator) -> dict[str, Any]:
    """Return how often either test sees a true drop of a point: McNemar's and the unpaired z test, both one-sided at 5 %."""
    n, discordance, drop = 10_000, 0.1, 0.01
    lost, won = (discordance + drop) / 2, (discordance - drop) / 2
    shares = [accuracy - lost, lost, won, 1 - accuracy - won]
    right, b, c, _ = rng.multinomial(n, shares, size=GATES).T
    before, after = (right + b) / n, (right + c) / n
    stderr = np.sqrt((before * (1 - before) + after * (1 - after)) / (n - 1))
    paired = (mcnemar.p_worse(b, c) <= ERROR).mean()
    unpaired = (1 - ndtr((before - after) / stderr) <= ERROR).mean()
    return {
        "gates": GATES,
        "power_paired": round(float(paired), 4),
        "power_unpaired": round(float(unpaired), 4),
        "power_ratio": round(float(paired / unpaired), 3),
    }


def lines() -> Iterator[tuple[dict[str, Any], dict[str, Any], bool]]:
    """Yield each cell, what was found, and whether it is as promised."""
    rng = np.random.default_rng(SEED)
    for cell in CELLS:
        found = simulate(cell, rng)
        yield asdict(cell), found, promised(cell, found)
    found = resampled(rng)
    scores = {"n": 300, "discordance": 0.2, "metric": "bounded scores"}
    yield scores, found, found["false_pass"] <= ERROR and found["false_fail"] <= ERROR
    for accuracy in (0.7, 0.9):
        found = power_ratio(accuracy, rng)
        cell = {"n": 10_000, "discordance": 0.1, "accuracy": accuracy, "drop": 0.01}
        yield cell, found, accuracy != 0.7 or found["power_ratio"] >= 1.5


def main() -> int:
    started, missed = time.monotonic(), 0
    for cell, found, holds in lines():
        print(json.dumps({"bench": "gate", "cell": cell, **found, "as_promised": holds}), flush=True)
        missed += not holds
    seconds = round(time.monotonic() - started, 1)
    print(json.dumps({"bench": "gate", "missed": missed, "seconds": seconds}))
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
