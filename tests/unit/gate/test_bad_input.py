"""What people and other programs hand to a gate: any script, other filters, other data, all kinds of scores at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from airflow_provider_lmeval.__main__ import main
from airflow_provider_lmeval.gate import Outcome, RuleSet, Verdict, decide
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.wire import dump
from tests.support.evidence import document, metric, sha, task, task_print
from tests.support.foreign import samples, write_output
from tests.support.tables import answers, pair

NAMES = [
    "größe",
    "評価",
    "тест",
    "اختبار",
    "🦙",
    "a\u0301",
    "\u202eevil",
    "zero\u200bwidth",
    "nul\x00byte",
    "new\nline",
    "{{ jinja }}",
]
OURS, THEIRS = answers(right=300, lost=60, won=0, wrong=40)


def judge(candidate: EvalResult, baseline: EvalResult | None, scores: Any, *rules: dict[str, Any]) -> Verdict:
    return decide(RuleSet.parse(list(rules)), candidate, baseline, scores)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_judged_and_travels_as_json(name: str) -> None:
    candidate, baseline, scores = pair({name: OURS}, {name: THEIRS}, key=f"{name},{name}")

    verdict = judge(candidate, baseline, scores, {"task": name, "metric": name, "max_drop": 0.01, "name": name})

    assert verdict.outcome is Outcome.FAIL
    assert verdict.checks[0].statistics.paired
    assert Verdict.model_validate(json.loads(dump(verdict.to_data()))) == verdict


@pytest.mark.parametrize("name", [name for name in NAMES if name.isprintable()])
def test_the_command_line_reads_any_name(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    write_output(tmp_path / name, {"quiz": samples(100)}, model_name=name)
    rules = tmp_path / f"{name}.yaml"
    rules.write_text(json.dumps([{"task": "quiz", "metric": "acc", "floor": 0.5, "name": name}]), encoding="utf-8")

    assert main(["gate", str(tmp_path / name), "--rules", str(rules), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checks"][0]["rule"] == name


def changed(baseline: EvalResult, **fields: Any) -> EvalResult:
    """Return a result whose task was evaluated in another way."""
    tasks = {name: part.model_copy(update=fields) for name, part in baseline.fingerprint.tasks.items()}
    return baseline.model_copy(update={"fingerprint": baseline.fingerprint.model_copy(update={"tasks": tasks})})


@pytest.mark.parametrize(
    ("field", "value"),
    [("documents", sha("version 2")), ("targets", sha("corrected")), ("version", 2.0), ("filters", ("strict-match",))],
)
def test_another_data_set_or_filter_is_not_comparable(field: str, value: Any) -> None:
    candidate, baseline, scores = pair({"quiz": THEIRS}, {"quiz": THEIRS})

    verdict = judge(
        candidate, changed(baseline, **{field: value}), scores, {"task": "quiz", "metric": "acc", "max_drop": 0.5}
    )

    assert verdict.outcome is Outcome.ERROR
    assert verdict.checks[0].blocked_by == (field,)


def test_a_score_of_another_filter_is_not_the_one_asked_for() -> None:
    candidate, baseline, scores = pair({"quiz": OURS}, {"quiz": THEIRS}, key="exact_match,strict")

    verdict = judge(candidate, baseline, scores, {"task": "quiz", "metric": "exact_match,flexible", "max_drop": 0.5})

    assert verdict.outcome is Outcome.ERROR
    assert "metric-missing" in {each.id for each in verdict.findings}


def test_rows_of_another_filter_do_not_get_into_the_score() -> None:
    candidate, baseline, scores = pair({"quiz": THEIRS}, {"quiz": THEIRS})
    rows = scores.tables["candidate", "quiz"]
    scores.tables["candidate", "quiz"] = [*rows, *(replace(row, filter="other", metrics={"acc": 0.0}) for row in rows)]

    verdict = judge(candidate, baseline, scores, {"task": "quiz", "metric": "acc", "max_drop": 0.05})

    assert verdict.outcome is Outcome.PASS
    assert verdict.checks[0].statistics.n == len(THEIRS)


def test_documents_may_come_in_any_order() -> None:
    candidate, baseline, scores = pair({"quiz": OURS}, {"quiz": THEIRS})
    rule = {"task": "quiz", "metric": "acc", "max_drop": 0.01}
    expected = judge(candidate, baseline, scores, rule)
    scores.tables["candidate", "quiz"] = scores.tables["candidate", "quiz"][::-1]

    assert judge(candidate, baseline, scores, rule) == expected


def mixed() -> EvalResult:
    """Return a result with an accuracy, a perplexity, a score without bounds, and one whose direction nobody knows."""
    entries = {
        "quiz": task({"acc,none": metric(0.8)}),
        "prose": task({"word_perplexity,none": metric(12.0, higher=False, stderr=None)}),
        "translation": task({"bleu,none": metric(31.5, stderr=0.8)}),
        "judged": task({"rating,none": metric(0.4, higher=None)}),
    }
    return EvalResult.parse(document(entries, run_id="candidate-1"))


def test_all_kinds_of_scores_together_are_pooled_as_far_as_they_can_be_and_the_rest_is_named() -> None:
    candidate, baseline = mixed(), mixed().model_copy(update={"run_id": "production-7"})

    verdict = judge(candidate, baseline, None, {"task": "*", "metric": "primary", "pool": True, "max_drop": 0.3})

    (check,) = verdict.checks
    assert check.pooled == ("quiz", "prose", "translation", "judged")
    left_out = next(each.message for each in verdict.findings if each.id == "not-pooled")
    assert all(name in left_out for name in ("prose", "translation", "judged"))
    assert "quiz" not in left_out


def test_one_rule_for_all_kinds_of_scores_asks_for_the_direction_where_nobody_knows_it() -> None:
    candidate, baseline = mixed(), mixed().model_copy(update={"run_id": "production-7"})

    verdict = judge(candidate, baseline, None, {"task": "*", "metric": "primary", "max_relative_drop": 0.5})

    outcomes = {each.task: each.outcome for each in verdict.checks}
    assert outcomes == {
        "quiz": Outcome.PASS,
        "prose": Outcome.INCONCLUSIVE,
        "translation": Outcome.PASS,
        "judged": Outcome.ERROR,
    }


@pytest.mark.parametrize("pool", [True, False])
def test_a_candidate_that_left_out_a_task_of_the_baseline_does_not_get_away_with_it_unseen(pool: bool) -> None:
    candidate, baseline, scores = pair({"quiz": THEIRS}, {"quiz": THEIRS, "lost": THEIRS})

    verdict = judge(candidate, baseline, scores, {"task": "*", "metric": "acc", "max_drop": 0.05, "pool": pool})

    assert [each.id for each in verdict.findings] == ["task-not-evaluated"]
    assert verdict.outcome is Outcome.WARN
    assert "only the baseline was evaluated on lost" in verdict.reasons[0]


@pytest.mark.parametrize("rule", [{"task": "quiz", "max_drop": 0.05}, {"task": "*", "floor": 0.1}])
def test_a_rule_that_is_not_about_it_says_nothing_of_a_task_that_only_the_baseline_has(rule: dict[str, Any]) -> None:
    candidate, baseline, scores = pair({"quiz": THEIRS}, {"quiz": THEIRS, "lost": THEIRS})

    assert judge(candidate, baseline, scores, rule | {"metric": "acc"}).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "condition", [{"max_drop": 1}, {"max_drop": 5}, {"floor": 70}, {"ceiling": 80}, {"min_improvement": 2}]
)
@pytest.mark.parametrize("where", [{"task": "quiz"}, {"task": "*", "pool": True}, {"task": "both"}], ids=str)
def test_a_threshold_in_percent_is_an_error_and_neither_a_pass_nor_a_fail(
    condition: dict[str, Any], where: dict[str, Any]
) -> None:
    if where.get("pool") and not {"max_drop", "min_improvement"} & set(condition):
        return
    group = {"both": {"acc,none": metric(0.6, n=800)}}
    candidate, baseline, scores = pair({"quiz": OURS, "riddle": OURS}, {"quiz": THEIRS, "riddle": THEIRS}, groups=group)

    verdict = judge(candidate, baseline, scores, where | condition | {"metric": "acc"})

    assert verdict.outcome is Outcome.ERROR
    assert "off the scale of scores between 0 and 1" in verdict.reasons[0]


@pytest.mark.parametrize("condition", [{"max_drop": 5}, {"ceiling": 80}])
def test_scores_that_are_no_shares_may_have_any_threshold(condition: dict[str, Any]) -> None:
    values = [12.5 + n / 10 for n in range(50)]
    sides = pair({"prose": values}, {"prose": values}, key="wer,none", higher=False)

    assert judge(*sides, {"task": "prose", "metric": "wer"} | condition).outcome is Outcome.PASS


def test_a_fingerprint_without_the_task_is_an_unknown_and_so_an_error() -> None:
    candidate, baseline, scores = pair({"quiz": THEIRS}, {"quiz": THEIRS})
    prints = baseline.fingerprint.model_copy(update={"tasks": {}})

    verdict = judge(
        candidate, baseline.model_copy(update={"fingerprint": prints}), scores,
        {"task": "quiz", "metric": "acc", "max_drop": 0.5},
    )  # fmt: skip

    assert verdict.outcome is Outcome.ERROR
    assert set(task_print("quiz")) & set(verdict.checks[0].blocked_by)
