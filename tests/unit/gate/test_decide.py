"""The gate as a whole: which rules apply to what, how checks become a verdict, and what can never happen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.gate import Outcome, RuleSet, Verdict, decide
from airflow_provider_lmeval.gate.verdict import Subject
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.wire import dump
from tests.support.evidence import document, group, metric, result, suite, task
from tests.support.tables import answers, tables

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
SUITE = EvalResult.parse(suite())


def judge(*rules, candidate=SUITE, baseline=None, **policies):
    return decide(RuleSet.parse({"rules": rules, **policies}), candidate, baseline)


def rule(task="tiny_mc", metric="acc", **conditions):
    return {"task": task, "metric": metric} | (conditions or {"floor": 0.5})


def outcomes(verdict):
    return {(check.task, check.metric): check.outcome.value for check in verdict.checks}


def example():
    rules = [
        rule(floor=0.8, max_drop=0.02),
        rule("tiny_gen", "exact_match,strict", floor=0.9, tier="warn"),
        rule("tiny_a", floor=0.9, tier="info", name="hard part"),
        rule("tiny_b", floor=0.9, min_samples=1000),
    ]
    baseline = suite() | {"run_id": "production-7"}
    baseline["tasks"]["tiny_mc"]["metrics"]["acc,none"]["value"] = 0.95
    baseline["fingerprint"]["model"]["identity"] = baseline["model"]["identity"] = "sha256:other"
    ours, theirs = answers(right=100, lost=14, won=2, wrong=4)
    scores = tables({"tiny_mc": ours}, {"tiny_mc": theirs})
    return decide(RuleSet.parse(rules), SUITE, EvalResult.parse(baseline), scores)


def rounded(data):
    """Return data without the digits that another release of SciPy may give."""
    if isinstance(data, dict):
        return {key: rounded(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [rounded(value) for value in data]
    return round(data, 9) if isinstance(data, float) else data


def test_the_golden_verdict_is_what_the_example_gives():
    golden = json.loads((GOLDEN / "verdict.json").read_bytes())
    assert rounded(example().to_data()) == rounded(golden)
    assert rounded(Verdict.model_validate(golden).to_data()) == rounded(golden)
    assert json.loads(dump(golden)) == golden


def test_a_verdict_of_a_newer_version_is_read_with_what_is_known():
    golden = json.loads((GOLDEN / "verdict.json").read_bytes())
    golden["checks"][0]["from_the_future"] = [0.1, 0.2]
    assert Verdict.model_validate(golden).outcome is Outcome.FAIL


def test_a_good_candidate_passes_without_reasons():
    verdict = judge(rule(floor=0.8), rule("tiny_ppl", "word_perplexity", ceiling=13))
    assert (verdict.outcome, verdict.action, verdict.blocks, verdict.reasons) == (Outcome.PASS, "allow", False, ())
    assert (verdict.candidate.run_id, verdict.baseline) == ("candidate-1", None)


def test_a_bad_candidate_fails_and_the_sentence_says_why():
    verdict = judge(rule(floor=0.9))
    assert (verdict.outcome, verdict.action) == (Outcome.FAIL, "block")
    assert verdict.reasons == ("tiny_mc acc 0.85 is below the floor 0.9 (n=120)",)


def test_a_wildcard_applies_to_every_match():
    verdict = judge(rule("tiny_[ab]", floor=0.6))
    assert outcomes(verdict) == {("tiny_a", "acc,none"): "FAIL", ("tiny_b", "acc,none"): "PASS"}


def test_a_wildcard_over_a_task_without_the_metric_is_an_error():
    verdict = judge(rule("tiny_*", floor=0.1))
    assert verdict.outcome is Outcome.ERROR
    assert outcomes(verdict)["tiny_ppl", "acc"] == "ERROR"
    assert outcomes(verdict)["tiny_mc", "acc,none"] == "PASS"


def test_a_group_is_its_own_score_or_its_tasks():
    assert outcomes(judge(rule("tiny_group"))) == {("tiny_group", "acc,none"): "PASS"}
    data = suite()
    data["tasks"]["tiny_group"]["metrics"] = {}
    assert outcomes(judge(rule("tiny_group"), candidate=EvalResult.parse(data))) == {
        ("tiny_a", "acc,none"): "PASS",
        ("tiny_b", "acc,none"): "PASS",
    }


def test_a_rule_may_name_a_tag_or_a_suite_of_lm_evals_and_means_all_of_it():
    tasks = {"arc_easy": task({"acc_norm,none": metric(0.9)}), "arc_challenge": task({"acc_norm,none": metric(0.5)})}
    for name in ("ai2_arc", "ai2-arc"):
        found = judge(rule(name, "primary", floor=0.6), candidate=result(tasks))
        assert outcomes(found) == {("arc_easy", "acc_norm,none"): "PASS", ("arc_challenge", "acc_norm,none"): "FAIL"}
        part = judge(rule(name, "primary", floor=0.6), candidate=result({"arc_easy": tasks["arc_easy"]}))
        assert (part.outcome, {each.id for each in part.findings}) == (Outcome.ERROR, {"task-missing"})


def test_the_primary_score_is_the_one_people_mean():
    several = {"f1,none": metric(0.1), "acc,none": metric(0.2), "acc_norm,none": metric(0.9)}
    assert outcomes(judge(rule("t", "primary", floor=0.5), candidate=result({"t": task(several)}))) == {
        ("t", "acc_norm,none"): "PASS"
    }
    generated = {"bleu,none": metric(0.1, higher=None), "exact_match,strict": metric(0.9)}
    assert judge(rule("t", "primary", floor=0.5), candidate=result({"t": task(generated)})).outcome is Outcome.PASS
    other = {"loss,none": metric(0.1, higher=None), "mcc,none": metric(0.9)}
    assert judge(rule("t", "primary", floor=0.5), candidate=result({"t": task(other)})).outcome is Outcome.PASS
    assert judge(rule("t", "primary", floor=0.5), candidate=result({"t": task({})})).outcome is Outcome.ERROR


def test_a_name_with_wildcard_letters_in_it_is_a_name_first():
    tasks = {"t[1]": task({"acc,none": metric(0.9)}), "t1": task({"acc,none": metric(0.1)})}
    assert outcomes(judge(rule("t[1]"), candidate=result(tasks))) == {("t[1]", "acc,none"): "PASS"}


@pytest.mark.parametrize("tier", ["block", "warn", "info"])
def test_a_rule_that_matches_nothing_is_an_error_with_near_matches(tier):
    verdict = judge(rule(), rule("tiny_grup", floor=0.1, tier=tier))
    assert verdict.outcome is Outcome.ERROR
    assert verdict.reasons[0].startswith("rule 'tiny_grup acc' matches no evaluated task: did you mean 'tiny_group'")


def test_a_tier_softens_what_a_failed_check_counts_for():
    found = {tier: judge(rule(floor=0.9, tier=tier)) for tier in ("block", "warn", "info")}
    assert {tier: verdict.outcome.value for tier, verdict in found.items()} == {
        "block": "FAIL",
        "warn": "WARN",
        "info": "PASS",
    }
    assert {verdict.checks[0].found for verdict in found.values()} == {Outcome.FAIL}
    assert {tier: verdict.checks[0].label for tier, verdict in found.items()} == {
        "block": "FAIL",
        "warn": "FAIL (warn)",
        "info": "FAIL (info)",
    }
    assert not found["warn"].blocks


@pytest.mark.parametrize(
    ("policy", "outcome", "action"),
    [("warn", "WARN", "allow"), ("ask", "INCONCLUSIVE", "ask"), ("block", "ERROR", "block")],
)
def test_a_missing_baseline_is_what_the_policy_says(policy, outcome, action):
    verdict = judge(rule(max_drop=0.1), on_missing_baseline=policy)
    assert (verdict.outcome, verdict.action) == (outcome, action)
    assert "there is no baseline" in verdict.reasons[0]


@pytest.mark.parametrize("policy", ["allow", "ask", "block"])
@pytest.mark.parametrize("warned", [rule(max_drop=0.1), rule(floor=0.9, tier="warn")], ids=["finding", "tier"])
def test_what_a_warning_does_is_what_the_policy_says(policy, warned):
    verdict = judge(warned, on_warn=policy)
    assert (verdict.outcome, verdict.action) == (Outcome.WARN, policy)
    assert judge(rule(), on_warn=policy).action == "allow"


def test_a_first_run_warns_by_default_and_its_floors_count():
    assert judge(rule(floor=0.8, max_drop=0.1)).outcome is Outcome.WARN
    assert judge(rule(floor=0.9, max_drop=0.1)).outcome is Outcome.FAIL


@pytest.mark.parametrize(("policy", "blocks"), [("ask", True), ("block", True), ("warn", False)])
def test_too_few_documents_are_inconclusive_and_the_policy_decides(policy, blocks):
    verdict = judge(rule(floor=0.9, min_samples=121), on_inconclusive=policy)
    assert (verdict.outcome, verdict.blocks) == (Outcome.INCONCLUSIVE, blocks)
    assert verdict.reasons == ("tiny_mc acc: n=120 is too few for floor, the rule wants 121",)
    assert judge(rule(floor=0.9, min_samples=120)).outcome is Outcome.FAIL


def test_the_smaller_side_of_a_comparison_counts():
    baseline = result({"tiny_mc": task({"acc,none": metric(0.8, n=50)}, n=50)}, run_id="old")
    candidate = result({"tiny_mc": task({"acc,none": metric(0.8)})})
    verdict = judge(rule(max_drop=0.1, min_samples=100), candidate=candidate, baseline=baseline)
    assert verdict.outcome is Outcome.INCONCLUSIVE


def test_a_baseline_without_the_task_is_an_error():
    verdict = judge(rule(max_drop=0.1), baseline=result({"other": task({"acc,none": metric(0.8)})}, run_id="old"))
    assert verdict.outcome is Outcome.ERROR
    assert "the baseline has no result of tiny_mc" in verdict.reasons[0]


def test_a_direction_comes_from_the_task_unless_the_rule_corrects_it():
    silent = {"t": task({"acc,none": metric(0.9, higher=None)})}
    worse, better = result(silent), result({"t": task({"acc,none": metric(0.1, higher=None)})}, run_id="old")
    assert judge(rule("t", max_drop=0.1), candidate=worse, baseline=better).outcome is Outcome.ERROR
    higher = judge(rule("t", max_drop=0.1, direction="higher"), candidate=worse, baseline=better)
    assert higher.checks[0].outcome is Outcome.PASS
    assert judge(rule("t", max_drop=0.1, direction="lower"), candidate=worse, baseline=better).outcome is Outcome.FAIL


def test_a_failure_blocks_even_where_an_error_would_only_ask():
    verdict = judge(rule(floor=0.9), rule("nothing"), on_error="ask")
    assert (verdict.outcome, verdict.action) == (Outcome.ERROR, "block")
    assert judge(rule(), rule("nothing"), on_error="ask").action == "ask"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("/mnt/lmeval/runs/2026-11-21/checkpoint-500/", "…/2026-11-21/checkpoint-500"),
        ("s3://models/llama/checkpoint-500", "…/llama/checkpoint-500"),
        ("/models/candidate", "/models/candidate"),
        ("EleutherAI/pythia-160m", "EleutherAI/pythia-160m"),
        (None, "run-7"),
    ],
)
def test_a_subject_is_called_by_what_tells_it_from_others(model, name):
    assert Subject(run_id="run-7", model=model).name == name


def test_the_worst_reason_comes_first():
    verdict = judge(rule("tiny_a", floor=0.9, tier="warn"), rule(floor=0.9), rule("nothing"))
    assert [reason.split()[0] for reason in verdict.reasons] == ["rule", "tiny_mc", "tiny_a"]


def test_outcomes_are_ordered_from_good_to_bad():
    ordered = sorted(Outcome, reverse=True)
    assert ordered == [Outcome.ERROR, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.WARN, Outcome.PASS]
    assert max(Outcome) is Outcome.ERROR
    assert Outcome.PASS <= "PASS" < Outcome.WARN


def mostly(sound, *damaged):
    """Draw sound evidence nine times out of ten, so that all verdicts occur."""
    return st.integers(0, 9).flatmap(lambda dice: st.sampled_from(damaged) if dice == 5 else st.just(sound))


VALUES = st.one_of(*[st.floats(0, 1)] * 9, st.none())
METRICS = st.builds(lambda value, n: {"acc,none": metric(value, n=n)}, VALUES, mostly(5, 0, 4))
COUNTS = mostly({"original": 5, "effective": 5}, {"original": 5, "effective": 4}, {"original": 5, "effective": 0}, None)
TASKS = st.builds(lambda metrics, count: task(metrics, n_samples=count), METRICS, COUNTS)
CONDITIONS = st.dictionaries(
    st.sampled_from(["floor", "ceiling", "max_drop", "max_relative_drop", "min_improvement"]),
    st.floats(0, 0.9),
    min_size=1,
    max_size=2,
).filter(lambda found: found.get("floor", 0) <= found.get("ceiling", 1))
RULES = st.builds(
    lambda name, conditions, tier, limit: rule(name, **conditions, tier=tier, allow_limit=limit, min_samples=5),
    mostly("a", "b", "g", "*", "z"),
    CONDITIONS,
    st.sampled_from(["block", "warn", "info"]),
    st.booleans(),
)


@st.composite
def results(draw, run_id):
    """Draw a result that may be unsound in any of its parts."""
    tasks = {"a": draw(TASKS), "b": draw(TASKS), "g": group(draw(METRICS), draw(mostly(["a", "b"], ["a", "z"], [])))}
    if absent := draw(mostly(None, "a", "b", "g")):
        del tasks[absent]
    data = document(tasks, run_id=run_id)
    data["config"]["limit"] = data["fingerprint"]["limit"] = draw(mostly(None, 3))
    if unknown := draw(mostly(None, "a", "b")):
        data["fingerprint"]["tasks"].pop(unknown, None)
    return EvalResult.parse(data)


def consistent(rules):
    """Whether no floor of one rule contradicts the ceiling of another."""
    try:
        return bool(RuleSet.parse(rules))
    except GateError:
        return False


@given(
    st.lists(RULES, min_size=1, max_size=4).filter(consistent),
    results("new"),
    st.none() | results("old"),
    st.sampled_from(["block", "ask"]),
    st.randoms(use_true_random=False),
)
def test_whatever_the_evidence_the_gate_fails_closed_and_ignores_the_order_of_rules(
    rules, candidate, baseline, on_error, random
):
    verdict = judge(*rules, candidate=candidate, baseline=baseline, on_error=on_error)
    broken = any(finding.severity is Outcome.ERROR for finding in verdict.findings)
    broken |= any(check.found is Outcome.ERROR for check in verdict.checks)
    assert (verdict.outcome is Outcome.ERROR) is broken
    assert verdict.blocks or not broken
    assert (verdict.outcome is Outcome.PASS) is (not verdict.reasons)
    assert verdict.blocks or all(check.outcome <= Outcome.WARN for check in verdict.checks)
    assert json.loads(dump(verdict.to_data())) == verdict.to_data()
    shuffled = random.sample(rules, len(rules))
    assert judge(*shuffled, candidate=candidate, baseline=baseline, on_error=on_error) == verdict


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_better_score_never_makes_a_verdict_worse(threshold, value, more):
    def of(score):
        return judge(rule(floor=threshold), candidate=result({"tiny_mc": task({"acc,none": metric(score)})})).outcome

    assert of(value + more) <= of(value)


@given(st.floats(0, 1), st.floats(0, 0.9), st.booleans(), st.sampled_from(["max_drop", "max_relative_drop"]))
def test_equal_scores_never_fail_a_maximal_drop(value, threshold, higher, condition):
    tasks = {"tiny_mc": task({"acc,none": metric(value, higher=higher)})}
    verdict = judge(rule(**{condition: threshold}), candidate=result(tasks), baseline=result(tasks, run_id="old"))
    assert verdict.outcome in (Outcome.WARN, Outcome.INCONCLUSIVE)  # there are no tables, which is worth a warning
