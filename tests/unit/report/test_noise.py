"""A report says what comparing the baseline with itself showed, and how far a margin lies above that."""

from __future__ import annotations

from typing import Literal

import pytest

from airflow_provider_lmeval.gate import RuleSet, decide
from airflow_provider_lmeval.gate.calibration import Calibration
from airflow_provider_lmeval.gate.noise import Noise
from airflow_provider_lmeval.report import Page, html, markdown, page
from tests.support import tables

NOISE = Noise(n=400, discordance=0.05, damage=0.0, stderr=0.0625, band=0.125)
RENDERERS = pytest.mark.parametrize("render", [html, markdown])


def judged(
    kind: Literal["deterministic", "varied"] = "varied", rate: float | None = 0.0125, *, known: bool = True
) -> Page:
    right, wrong = tables.answers(300, 20, 10, 70)
    candidate, baseline, scores = tables.pair({"quiz": right}, {"quiz": wrong})
    calibration = Calibration(
        run_id=baseline.run_id,
        kind=kind,
        at=1.0,
        gates=2000,
        false_blocks=25,
        false_block_rate=rate,
        noise={"quiz": {"acc,none": NOISE}},
        runs=("monday", "tuesday"),
    )
    rules = RuleSet.parse([{"task": "quiz", "metric": "acc", "max_drop": 0.01}])
    verdict = decide(rules, candidate, baseline, scores, calibration if known else None)
    return page(verdict, candidate, baseline)


@RENDERERS
def test_the_false_block_rate_and_the_two_evaluations_are_named(render):
    found = render(judged())
    assert "did not score the same on every document" in found
    assert "Of 2,000 simulated gates of the baseline against itself 1.25 % blocked it." in found
    assert "monday, tuesday" in found


@RENDERERS
def test_a_deterministic_baseline_is_called_so(render):
    found = render(judged("deterministic", 0.0))
    assert "scored the same on every document" in found
    assert "did not" not in found
    assert " 0 % blocked it" in found


@RENDERERS
def test_rules_that_cannot_block_have_no_rate(render):
    assert "there is no false-block rate" in render(judged(rate=None))


@RENDERERS
def test_a_baseline_that_was_never_compared_with_itself_is_said_to_be_unknown(render):
    assert "never compared with itself" in render(judged(known=False))


def test_the_band_is_drawn_to_both_sides_of_no_difference_and_written_beside_it():
    (row,) = judged().damages
    assert row.noise is not None
    left, right = row.noise
    assert left < row.zero < row.margin < right
    assert row.zero - left == pytest.approx(right - row.zero, abs=0.02)
    assert "noise of the baseline 0.125" in html(judged())
    assert '<rect class="noise"' in html(judged())
    assert "| 0.01 | 0.125 | 400 |" in markdown(judged())


def test_without_a_calibration_no_band_is_drawn():
    shown = judged(known=False)
    assert shown.damages[0].noise is None
    assert "noise of the baseline" not in html(shown)
    assert '<rect class="noise"' not in html(shown)
