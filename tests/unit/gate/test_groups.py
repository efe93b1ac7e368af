"""Groups and pools: the tasks' documents together, and how far one may generalise from them."""

from __future__ import annotations

import pytest

from airflow_provider_lmeval.gate import Outcome, RuleSet, decide
from tests.support.evidence import metric
from tests.support.tables import answers, pair, result, tables


def judge(sides, *rules):
    candidate, baseline, scores = sides
    return decide(RuleSet.parse(rules), candidate, baseline, scores)


def ids(verdict):
    return [finding.id for finding in verdict.findings]


def sides_of(drops, n=400):
    """Return subtasks in which that many documents more were lost than won."""
    made = {
        f"s{at}": answers(n // 2, 20 + max(drop, 0), 20 + max(-drop, 0), n // 2 - 40 - abs(drop))
        for at, drop in enumerate(drops)
    }
    return {name: each[0] for name, each in made.items()}, {name: each[1] for name, each in made.items()}


def grouped(drops, weigh, n=400):
    candidate, baseline = sides_of(drops, n)
    found = []
    for run_id, side in (("candidate-1", candidate), ("production-7", baseline)):
        value = weigh(side)
        found.append(result(side, run_id=run_id, groups={"g": {"acc,none": metric(value, n=n * len(side))}}))
    return (*found, tables(candidate, baseline))


def by_document(side):
    return sum(map(sum, side.values())) / sum(map(len, side.values()))


GROUP = {"task": "g", "metric": "acc", "max_drop": 0.02}


def test_a_group_is_compared_over_all_its_documents():
    verdict = judge(grouped([2, -2] * 10, by_document), GROUP)
    assert verdict.outcome is Outcome.PASS
    assert verdict.checks[0].statistics.n == 8000
    assert verdict.checks[0].statistics.clusters == 20


def test_subtasks_that_disagree_leave_more_open_than_documents_that_do():
    clumped = grouped([40, -40] * 4, by_document)
    assert judge(clumped, GROUP).outcome is Outcome.INCONCLUSIVE
    fixed = judge(clumped, GROUP | {"clustered": False})
    assert fixed.outcome is Outcome.PASS
    assert fixed.checks[0].statistics.clusters == 0


def test_a_group_that_averages_its_tasks_is_recognised():
    def by_task(side):
        return sum(sum(values) / len(values) for values in side.values()) / len(side)

    candidate, baseline = sides_of([0] * 5)
    more, less = sides_of([30], n=4000)
    candidate |= {"big": more["s0"]}
    baseline |= {"big": less["s0"]}
    found = []
    for run_id, side in (("candidate-1", candidate), ("production-7", baseline)):
        found.append(result(side, run_id=run_id, groups={"g": {"acc,none": metric(by_task(side), n=6000)}}))
    (check,) = judge((*found, tables(candidate, baseline)), GROUP).checks
    assert check.statistics.paired
    assert check.statistics.damage == pytest.approx(30 / 4000 / 6)


def test_a_group_whose_score_nobody_can_reproduce_is_compared_by_its_standard_error():
    verdict = judge(grouped([0] * 4, lambda side: 0.77), GROUP)
    assert not verdict.checks[0].statistics.paired
    assert verdict.checks[0].statistics.clusters == 4


def test_a_pool_is_one_check_over_all_tasks():
    candidate, baseline = sides_of([1, -1] * 10)
    rule = {"task": "*", "metric": "primary", "max_drop": 0.01, "pool": True}
    (check,) = judge(pair(candidate, baseline), rule).checks
    assert (check.task, check.metric, check.outcome) == ("*", "primary", "PASS")
    assert check.statistics.n == check.n == 8000
    assert check.value == pytest.approx(by_document(candidate))


def test_a_pool_without_tables_still_has_clusters():
    candidate, baseline = sides_of([0] * 20)
    first, second, _ = pair(candidate, baseline)
    rule = {"task": "*", "metric": "acc", "max_drop": 0.03, "pool": True}
    (check,) = judge((first, second, None), rule).checks
    assert (check.statistics.paired, check.statistics.clusters) == (False, 20)


def test_a_pool_takes_no_perplexities_and_says_so():
    candidate, baseline = sides_of([0] * 20)
    numbers = [10.0 + at % 7 for at in range(400)]
    verdict = judge(
        pair(candidate | {"ppl": numbers}, baseline | {"ppl": numbers}),
        {"task": "*", "metric": "acc", "max_drop": 0.02, "pool": True},
    )
    assert verdict.outcome is Outcome.WARN
    assert ids(verdict) == ["not-pooled"]
    assert verdict.checks[0].statistics.clusters == 20


def test_a_pool_of_nothing_is_an_error():
    numbers = {"ppl": [10.0, 11.0, 12.0]}
    verdict = judge(pair(numbers, numbers), {"task": "*", "metric": "acc", "max_drop": 0.02, "pool": True})
    assert verdict.outcome is Outcome.ERROR
    assert "nothing to pool" in verdict.reasons[0]


def test_claims_of_regression_in_many_tasks_are_corrected():
    rule = {"task": "*", "metric": "acc", "max_drop": 0.02}
    drops = [22] + [0] * 19
    many = judge(pair(*sides_of(drops)), rule)
    alone = judge(pair(*sides_of([22])), rule)
    assert alone.checks[0].found is Outcome.FAIL
    suspect = next(check for check in many.checks if check.task == "s0")
    assert suspect.found is Outcome.INCONCLUSIVE
    assert suspect.statistics.family == 20
    assert suspect.statistics.p_beyond == pytest.approx(20 * alone.checks[0].statistics.p_beyond)
