"""Comparability, field by field: the table in the code is what happens."""

from __future__ import annotations

import copy

import pytest

from airflow_provider_lmeval.gate import Outcome, RuleSet, decide
from airflow_provider_lmeval.gate.compare import RUN_FIELDS, TASK_FIELDS, Need, compare
from airflow_provider_lmeval.results import EvalResult, Fingerprint
from tests.support.evidence import document, metric, result, sha, task

MUST = {
    ("documents", "targets", "version", "num_fewshot", "generation_kwargs", "filters"),
    ("limit", "samples"),
}
CHANGES = {
    "version": 2.0,
    "num_fewshot": 5,
    "filters": ["strict"],
    "limit": 10,
    "seeds": [0, 1234, 1234, 7],
    "batch_size": "auto",
}


def fingerprints():
    data = document()["fingerprint"]
    return copy.deepcopy(data), copy.deepcopy(data)


REMOVED = object()


def put(fingerprint, field, value):
    """Set a field of the table in a fingerprint, or remove it."""
    place = fingerprint["tasks"]["tiny_mc"] if field in TASK_FIELDS else fingerprint
    *way, last = [step for step in field.path if isinstance(step, str)]
    for step in way:
        place = place[step]
    if value is REMOVED:
        del place[last]
    else:
        place[last] = value


def differences(one, other):
    return compare(Fingerprint.model_validate(one), Fingerprint.model_validate(other), ["tiny_mc"])


def by_name(fields, need):
    return tuple(field.name for field in fields if field.need is need)


def test_the_table_says_what_must_match():
    assert {by_name(TASK_FIELDS, Need.MUST_MATCH), by_name(RUN_FIELDS, Need.MUST_MATCH)} == MUST


def test_equal_fingerprints_have_no_differences():
    assert differences(*fingerprints()) == []


@pytest.mark.parametrize("field", [*TASK_FIELDS, *RUN_FIELDS], ids=lambda field: field.name)
def test_a_field_that_differs_is_reported_and_judged_by_the_table(field):
    one, other = fingerprints()
    put(one, field, CHANGES.get(field.path[0], sha("changed")))
    found = {each.field: each for each in differences(one, other)}
    assert found[field.name].allowed is (field.need not in (Need.MUST_MATCH, Need.UNLESS_EXPLAINED))
    assert len(found) == (2 if field.path[0] == "seeds" else 1)
    assert (found[field.name].task == "tiny_mc") is (field in TASK_FIELDS)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("field", [*TASK_FIELDS, *RUN_FIELDS], ids=lambda field: field.name)
def test_a_field_that_one_side_lacks_counts_as_different(field, side):
    pair = fingerprints()
    put(pair[1 - side], field, CHANGES.get(field.path[0], sha("set")))
    put(pair[side], field, REMOVED)
    found = {each.field: each for each in differences(*pair)}
    assert found[field.name].allowed is (field.need is not Need.MUST_MATCH)
    assert f"not known of the {('candidate', 'baseline')[side]}" in found[field.name].message


@pytest.mark.parametrize("field", [*TASK_FIELDS, *RUN_FIELDS], ids=lambda field: field.name)
def test_what_neither_side_knows_is_not_assumed_to_match(field):
    one, other = fingerprints()
    put(one, field, REMOVED)
    put(other, field, REMOVED)
    found = [each.field for each in differences(one, other) if not each.allowed]
    assert (field.name in found) is (field.need is Need.MUST_MATCH)


def test_null_is_unknown_except_where_it_means_none():
    one, other = fingerprints()
    for side in (one, other):
        side["limit"] = side["samples"] = None
        side["tasks"]["tiny_mc"]["dataset"]["fingerprint"] = None
    assert differences(one, other) == []
    for side in (one, other):
        side["tasks"]["tiny_mc"]["documents"] = None
    assert [each.field for each in differences(one, other)] == ["documents"]


@pytest.mark.parametrize(("shots", "allowed"), [(0, True), (5, False)])
def test_the_seed_of_examples_matters_only_where_there_are_examples(shots, allowed):
    one, other = fingerprints()
    for side in (one, other):
        side["tasks"]["tiny_mc"]["num_fewshot"] = shots
    one["seeds"] = [0, 1234, 1234, 7]
    found = {each.field: each.allowed for each in differences(one, other)}
    assert found == {"fewshot_seed": allowed, "seeds": True}


def test_other_prompts_are_allowed_only_where_something_explains_them():
    one, other = fingerprints()
    one["tasks"]["tiny_mc"]["prompts"] = sha("reworded")
    assert [each.allowed for each in differences(one, other)] == [False]
    one["chat_template"] = sha("template")
    assert {each.field: each.allowed for each in differences(one, other)} == {"prompts": True, "chat_template": True}


def test_another_dataset_fingerprint_is_allowed_only_with_the_same_content():
    one, other = fingerprints()
    one["tasks"]["tiny_mc"]["dataset"]["fingerprint"] = "written to another directory"
    assert [(each.field, each.allowed) for each in differences(one, other)] == [("dataset.fingerprint", True)]
    one["tasks"]["tiny_mc"]["prompts"], one["chat_template"] = sha("rendered"), sha("template")
    assert [each.field for each in differences(one, other) if not each.allowed] == ["dataset.fingerprint"]


def test_only_the_tasks_in_question_are_compared():
    one, other = fingerprints()
    one["tasks"]["unrelated"] = one["tasks"]["tiny_mc"]
    assert differences(one, other) == []


def test_a_task_that_one_fingerprint_lacks_cannot_be_compared():
    one, other = fingerprints()
    del other["tasks"]["tiny_mc"]
    assert {each.field for each in differences(one, other) if not each.allowed} >= {"documents", "targets", "version"}


def test_a_comparison_across_differing_tasks_is_an_error_and_its_floor_is_still_checked():
    candidate, baseline = document(), document(run_id="old")
    candidate["fingerprint"]["tasks"]["tiny_mc"]["num_fewshot"] = 5
    rules = RuleSet.parse([{"task": "tiny_mc", "metric": "acc", "floor": 0.5, "max_drop": 0.1}])
    verdict = decide(rules, EvalResult.parse(candidate), EvalResult.parse(baseline))
    assert {check.condition: check.outcome for check in verdict.checks} == {"floor": "PASS", "max_drop": "ERROR"}
    assert verdict.outcome is Outcome.ERROR
    assert "num_fewshot differs: 5 for the candidate, 0 for the baseline" in verdict.reasons[0]


def test_another_model_is_reported_and_compared():
    rules = RuleSet.parse([{"task": "tiny_mc", "metric": "acc", "max_drop": 0.1}])
    verdict = decide(rules, result(), result(run_id="old"))
    assert verdict.checks[0].outcome is Outcome.PASS
    assert [(each.field, each.allowed) for each in verdict.differences] == [("model.identity", True)]


def test_how_the_models_were_loaded_is_reported_and_may_differ():
    old = document(run_id="old")
    old["model"]["args"] |= {"peft": "/adapters/7", "load_in_4bit": True, "token": {"env": "OTHER"}}
    rules = RuleSet.parse([{"task": "tiny_mc", "metric": "acc", "max_drop": 0.1}])
    found = {each.field: each for each in decide(rules, result(), EvalResult.parse(old)).differences}
    assert found.keys() == {"model.identity", "model.args.peft", "model.args.load_in_4bit"}
    assert (
        found["model.args.peft"].message
        == "model.args.peft differs: None for the candidate, /adapters/7 for the baseline"
    )
    assert all(each.allowed for each in found.values())


def test_the_same_filter_is_compared_on_both_sides():
    candidate = result({"tiny_mc": task({"acc,none": metric(0.9)})})
    baseline = result({"tiny_mc": task({"acc,other": metric(0.1)})}, run_id="old")
    verdict = decide(RuleSet.parse([{"task": "tiny_mc", "metric": "acc", "max_drop": 0.1}]), candidate, baseline)
    assert verdict.outcome is Outcome.ERROR
    assert "no metric 'acc,none'; did you mean 'acc,other'" in verdict.reasons[0]
