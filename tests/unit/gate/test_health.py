"""Evidence that must not be read: each kind is found, named, and never lets a gate pass."""

from __future__ import annotations

import pytest

from airflow_provider_lmeval.gate import Outcome, RuleSet, decide, health
from airflow_provider_lmeval.results import EvalResult
from tests.support.evidence import document, failed, group, metric, sha, suite, task

FLOOR = {"task": "tiny_mc", "metric": "acc", "floor": 0.1}
DROP = {"task": "tiny_mc", "metric": "acc", "max_drop": 0.5}


def judge(candidate, *rules, baseline=None):
    other = EvalResult.parse(baseline) if baseline else None
    return decide(RuleSet.parse(rules or [FLOOR]), EvalResult.parse(candidate), other)


def edited(*path, value, base=None, **changes):
    data = base or document(**changes)
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return data


BROKEN = {
    "failed": ("run-not-succeeded", failed()),
    "cancelled": ("run-not-succeeded", failed(state="Cancelled", reason="Cancelled", cause="cancelled")),
    "no reason": ("run-not-succeeded", failed(reason="NoReason", cause=None)),
    "predict_only": ("predict-only", edited("config", "predict_only", value=True)),
    "bypass": ("predict-only", document({"tiny_mc": task({"acc,none": metric(1), "bypass,none": metric(999)})})),
    "no metric": ("metric-missing", document({"tiny_mc": task({})})),
    "other metric": ("metric-missing", document({"tiny_mc": task({"f1,none": metric(0.5)})})),
    "two filters": ("metric-missing", document({"tiny_mc": task({"acc,a": metric(0.9), "acc,b": metric(0.8)})})),
    "null": ("metric-null", document({"tiny_mc": task({"acc,none": metric(None)})})),
    "no documents": ("no-samples", document({"tiny_mc": task({"acc,none": metric(0.9)}, n=0)})),
    "unknown documents": ("no-samples", edited("tasks", "tiny_mc", "n_samples", value=None)),
    "over nothing": ("metric-without-samples", document({"tiny_mc": task({"acc,none": metric(0.9, n=0)})})),
    "documents missing": (
        "samples-missing",
        edited("tasks", "tiny_mc", "n_samples", value={"original": 120, "effective": 119}),
    ),
    "limit": ("limited", edited("config", "limit", value=10)),
    "limit in the fingerprint": ("limited", edited("fingerprint", "limit", value=0.5)),
    "chosen samples": ("limited", edited("fingerprint", "samples", value=sha("chosen"))),
}

SUSPECT = {
    "answers-equal",
    "chance-level",
    "documents-unmatched",
    "identity-unknown",
    "loglikelihoods-equal",
    "margin-within-noise",
    "not-pooled",
    "requests-failed",
    "scores-damaged",
    "scores-incomplete",
    "scores-missing",
    "scores-not-comparable",
}
"""What only the score tables show; tested where they are."""


@pytest.mark.parametrize("case", BROKEN)
def test_broken_evidence_is_an_error_with_its_id(case):
    expected, data = BROKEN[case]
    verdict = judge(data)
    assert verdict.outcome is Outcome.ERROR
    assert verdict.blocks
    assert expected in {finding.id for finding in verdict.findings}
    assert all(finding.message in verdict.reasons for finding in verdict.findings)


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("tier", ["warn", "info"])
def test_no_tier_makes_broken_evidence_pass(case, tier):
    assert judge(BROKEN[case][1], FLOOR | {"tier": tier}).outcome is Outcome.ERROR


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_baseline_is_an_error_for_a_comparison(case):
    expected, data = BROKEN[case]
    verdict = judge(document(run_id="new"), DROP, baseline=data)
    assert verdict.outcome is Outcome.ERROR
    assert {finding.subject.partition(":")[0] for finding in verdict.findings if finding.id == expected} == {"baseline"}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_baseline_does_not_matter_where_nothing_is_compared(case):
    assert judge(document(), FLOOR, baseline=BROKEN[case][1]).outcome is Outcome.PASS


def test_no_score_of_a_failed_run_is_read():
    assert judge(failed()).checks == ()


def test_every_documented_finding_is_one_that_exists_and_the_other_way_round():
    severities = {"ERROR", "WARN", "INCONCLUSIVE"}
    documented = {line.split()[0] for line in health.__doc__.splitlines() if severities & {*line.split()[1:2]}}
    assert (
        documented
        == {expected for expected, _ in BROKEN.values()}
        | {"task-missing", "task-not-evaluated", "baseline-is-candidate"}
        | SUSPECT
    )


def test_a_limit_is_accepted_where_the_rule_says_so():
    limited = edited("tasks", "tiny_mc", "n_samples", value={"original": 120, "effective": 10})
    limited["config"]["limit"] = limited["fingerprint"]["limit"] = 10
    assert judge(limited, FLOOR | {"allow_limit": True}).outcome is Outcome.PASS
    assert "limit 10" in judge(limited, FLOOR).reasons[0]


def test_a_limit_that_the_two_sides_do_not_share_is_an_error_even_if_limits_are_allowed():
    limited = edited("fingerprint", "limit", value=10)
    verdict = judge(limited, DROP | {"allow_limit": True}, baseline=document(run_id="old"))
    assert verdict.outcome is Outcome.ERROR
    assert verdict.checks[0].blocked_by == ("limit",)


def test_damage_to_a_task_that_no_rule_reads_does_not_block():
    data = suite()
    data["tasks"]["tiny_ppl"]["metrics"]["word_perplexity,none"]["value"] = None
    assert judge(data).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda tasks: tasks.pop("tiny_b"), "task-missing"),
        (lambda tasks: tasks["tiny_b"].update(n_samples={"original": 9, "effective": 8}), "samples-missing"),
    ],
)
def test_a_group_is_as_healthy_as_its_tasks(damage, expected):
    data = suite()
    damage(data["tasks"])
    verdict = judge(data, {"task": "tiny_group", "metric": "acc", "floor": 0.1})
    assert [finding.id for finding in verdict.findings] == [expected]
    assert verdict.outcome is Outcome.ERROR


def test_a_group_without_its_tasks_at_all_is_an_error():
    verdict = judge(document({"g": group({}, [])}), {"task": "g", "metric": "acc", "floor": 0.1})
    assert verdict.outcome is Outcome.ERROR


@pytest.mark.parametrize("same", ["run", "model and spec"])
def test_a_baseline_that_is_the_candidate_warns(same):
    candidate, baseline = document(), document()
    if same != "run":
        baseline["run_id"] = "evaluated-again"
    verdict = judge(candidate, DROP, baseline=baseline)
    assert verdict.outcome is Outcome.WARN
    assert not verdict.blocks
    assert [finding.id for finding in verdict.findings] == ["baseline-is-candidate", "scores-missing"]


def test_a_failed_request_in_a_groups_task_is_the_groups():
    data = suite()
    data["tasks"]["tiny_b"]["failed"] = 3
    rule = {"task": "tiny_group", "metric": "acc", "floor": 0.1}

    assert judge(data, rule).outcome is Outcome.ERROR
    assert judge(data, rule | {"max_error_rate": 0.02}).outcome is Outcome.WARN
