"""Scores that are no plain averages: recognised by what they come to, and traced back to their documents."""

from __future__ import annotations

import math

import numpy as np
import pytest

from airflow_provider_lmeval.gate.stats.aggregate import AGGREGATES, contributions, recognise, recognise_partly

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, size=(300, 2)).astype(float)
TEXTS = np.stack([-RNG.uniform(50, 500, 62), RNG.integers(20, 300, 62)], axis=-1)
LOGS = -RNG.exponential(2.0, (100, 1))
CASES = {
    "mean": (LOGS, float(LOGS.mean())),
    "perplexity": (LOGS, math.exp(-LOGS.mean())),
    "weighted_perplexity": (TEXTS, math.exp(-TEXTS[:, 0].sum() / TEXTS[:, 1].sum())),
    "bits_per_byte": (TEXTS, -TEXTS[:, 0].sum() / TEXTS[:, 1].sum() / math.log(2)),
    "f1": (LABELS, 2 * (LABELS.sum(axis=1) == 2).sum() / LABELS.sum()),
    "matthews_corrcoef": (LABELS, float(np.corrcoef(LABELS.T)[0, 1])),
}


@pytest.mark.parametrize("name", CASES)
def test_an_aggregation_is_recognised_by_the_score_it_gives(name):
    assert recognise([CASES[name]]).name == name


def test_all_aggregations_are_tested():
    assert {each.name for each in AGGREGATES} == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_documents_contributions_add_up_to_the_score(name):
    values, score = CASES[name]
    how = recognise([CASES[name]])
    assert contributions(how, values).mean() == pytest.approx(score)


@pytest.mark.parametrize("name", ["perplexity", "weighted_perplexity", "bits_per_byte", "f1", "matthews_corrcoef"])
def test_contributions_vary_as_the_score_does_when_documents_are_drawn_anew(name):
    values, _ = CASES[name]
    how = recognise([CASES[name]])
    drawn = np.random.default_rng(1).integers(0, len(values), (2000, len(values)))
    scores = [float(how.value(how.features(values[rows]).mean(axis=0))) for rows in drawn]
    linear = contributions(how, values).std(ddof=1) / len(values) ** 0.5
    assert linear == pytest.approx(np.std(scores), rel=0.15)


@pytest.mark.parametrize(
    ("values", "score"),
    [(LOGS, 0.5), (TEXTS, 3.0), (RNG.normal(size=(50, 3)), 1.0), (LABELS * 2, 0.5), (np.full((5, 2), np.nan), 1.0)],
)
def test_an_unknown_aggregation_is_not_guessed(values, score):
    assert recognise([(values, score)]) is None


def test_both_sides_must_agree():
    assert recognise([CASES["mean"], CASES["perplexity"]]) is None


@pytest.mark.parametrize(("values", "score", "name"), [(LOGS, math.exp(-LOGS[1:].mean()), "perplexity")])
def test_documents_without_a_score_do_not_hide_what_the_score_is(values, score, name):
    gap = values.copy()
    gap[0] = np.nan
    assert recognise_partly([(gap, score)]).name == name


@pytest.mark.parametrize("of_gaps", [0.0, 0.5, 1.0])
def test_a_score_may_count_the_documents_that_lack_one(of_gaps):
    values = np.array([[1.0], [0.0], [1.0], [np.nan]])
    assert recognise_partly([(values, (2 + of_gaps) / 4)]).mean


@pytest.mark.parametrize(
    ("values", "score"), [([[1.0], [0.0], [np.nan]], 0.2), ([[-1.0], [-2.0], [np.nan]], 9.0), ([[np.nan]], 2.0)]
)
def test_nothing_with_gaps_is_taken_for_an_average_unseen(values, score):
    assert recognise_partly([(np.array(values), score)]) is None
