"""Rules as people write them: what is understood, and what is refused before it can do harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.gate import Rule, RuleSet

YAML = """
rules:
  - {task: tiny_mc, metric: acc, floor: 0.8, max_drop: 0.01}
  - task: "mmlu_*"
    metric: acc,none
    max_relative_drop: 0.05
    tier: warn
    min_samples: 100
on_missing_baseline: block
"""


def test_yaml_is_read_into_typed_rules():
    rules = RuleSet.from_yaml(YAML)
    assert rules.rules[0] == Rule(task="tiny_mc", metric="acc", floor=0.8, max_drop=0.01)
    assert rules.rules[0].conditions == {"floor": 0.8, "max_drop": 0.01}
    assert rules.rules[1].label == "mmlu_* acc,none"
    assert (rules.on_error, rules.on_inconclusive, rules.on_missing_baseline) == ("block", "ask", "block")


def test_rules_survive_the_round_trip_through_data():
    rules = RuleSet.from_yaml(YAML)
    assert RuleSet.parse(rules.to_data()) == rules
    assert RuleSet.parse(rules) == rules


def test_a_plain_list_is_a_rule_set():
    assert RuleSet.parse([{"task": "t", "metric": "acc", "floor": 0}]).rules[0].floor == 0


def test_thresholds_rendered_by_a_template_may_be_text():
    assert RuleSet.parse([{"task": "t", "metric": "acc", "floor": "0.8"}]).rules[0].floor == 0.8


def rule(**changes):
    return [{"task": "t", "metric": "acc", "floor": 0.5} | changes]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (rule(flor=0.5), r"rules\[0\]\.flor: there is no such field; did you mean 'floor'"),
        (rule(maxdrop=0.5), "did you mean 'max_drop'"),
        ({"rules": rule(), "on_eror": "block"}, "on_eror: there is no such field; did you mean 'on_error'"),
        (rule(floor=None), "no condition, so it checks nothing; set one of floor, ceiling"),
        (rule(floor=None, min_samples=10), "no condition"),
        (rule(floor=0.9, ceiling=0.1), r"floor 0\.9 is above ceiling 0\.1"),
        (rule(max_drop=-0.1), r"rules\[0\]\.max_drop: .*greater than or equal to 0"),
        (rule(max_relative_drop=5), r"max_relative_drop: .*less than 1 \(found 5\)"),
        (rule(min_improvement=-1), "min_improvement"),
        (rule(floor=float("nan")), "finite"),
        (rule(ceiling=float("inf")), "finite"),
        (rule(floor=True), "YAML reads yes"),
        (rule(floor="high"), "floor"),
        (rule(tier="blok"), "'block', 'warn' or 'info'"),
        (rule(direction="up"), "direction"),
        (rule(min_samples=0), "min_samples"),
        (rule(task=""), "task"),
        ([{"metric": "acc", "floor": 0.5}], r"rules\[0\]\.task: Field required"),
        ([], "the gate would check nothing"),
        ({}, "rules: Field required"),
        ({"rules": rule(), "on_inconclusive": "pass"}, "on_inconclusive"),
        ("floor: 0.5", "there is no rule set 'floor: 0.5'"),
        ("no_regresion", "did you mean 'no_regression'"),
        (5, "must be a list or a mapping"),
        (rule(floor=0.5, confidence=95), r"confidence: .*less than 1 \(found 95\)"),
        (rule(floor=0.5, confidence=1), "confidence"),
        (rule(floor=0.5, confidence=0.5), "confidence"),
        ({"rules": rule(), "confidence": 0}, "confidence"),
        (rule(floor=0.5, max_error_rate=1), "max_error_rate"),
        (rule(max_drop=0.1, relative_guard_below=0.2), "relative_guard_below does nothing"),
        (rule(floor=0.5, pool=True), "a pool has no score of its own"),
        (
            [*rule(floor=0.9), *rule(ceiling=0.8)],
            "rules contradict each other: t acc must reach 0.9 and stay within 0.8",
        ),
        ([*rule(floor=0.9, task="mmlu_law"), *rule(ceiling=0.8, task="mmlu_*")], "rules contradict each other"),
        (
            [*rule(floor=0.9, task="*"), *rule(ceiling=0.8, task="t")],
            "rules contradict each other: t acc must reach 0.9",
        ),
        (None, "must be a list or a mapping"),
    ],
)
def test_a_mistake_is_refused_by_name(data, words):
    with pytest.raises(GateError, match=words):
        RuleSet.parse(data)


@pytest.mark.parametrize("text", ["", "rules: [", "- *undefined", "\x00", "a: 1\nb", "[" * 1500])
def test_what_is_no_yaml_or_no_rules_is_refused(text):
    with pytest.raises(GateError):
        RuleSet.from_yaml(text)


def test_yaml_cannot_create_objects():
    with pytest.raises(GateError, match="not valid YAML"):
        RuleSet.from_yaml("!!python/object/apply:os.system ['true']")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(GateError, match=r"missing\.yaml"):
        RuleSet.from_file(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(GateError, match=r"binary\.yaml"):
        RuleSet.from_file(tmp_path / "binary.yaml")
    (tmp_path / "rules.yaml").write_text(YAML)
    assert len(RuleSet.from_file(tmp_path / "rules.yaml").rules) == 2


@pytest.mark.parametrize("model", [Rule, RuleSet])
def test_every_field_is_documented_in_the_schema(model):
    properties = model.model_json_schema()["properties"]
    assert properties.keys() == model.model_fields.keys()
    assert all(field["description"] for field in properties.values())


SCALARS = st.none() | st.booleans() | st.floats() | st.text() | st.integers()


@given(st.dictionaries(st.sampled_from([*Rule.model_fields, "flor"]), SCALARS))
def test_any_mapping_is_a_rule_with_a_condition_or_our_own_error(data):
    try:
        rules = RuleSet.parse([data])
    except GateError:
        return
    assert rules.rules[0].conditions
    assert RuleSet.parse(rules.to_data()) == rules


def test_rules_that_are_wrong_are_not_also_said_to_be_too_few():
    with pytest.raises(GateError) as caught:
        RuleSet.parse({"rules": [{"task": "t", "metric": "acc", "flor": 0.5}], "confidence": 2})
    assert str(caught.value).splitlines() == [
        "rules[0].flor: there is no such field; did you mean 'floor'?",
        "confidence: Input should be less than 1 (found 2)",
    ]
    with pytest.raises(GateError, match="the gate would check nothing"):
        RuleSet.parse([])
