"""Planning: what a suite could decide, from numbers, from past evaluations and from a spec's limit."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.__main__ import main
from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.gate.planning import SUITE, Known, limit_for, measured, plan
from tests.support.tables import answers, pair

SIZES = st.lists(st.integers(1, 3000), min_size=1, max_size=8)


def test_the_suite_as_a_whole_sees_what_its_tasks_do_not():
    plans = plan({"a": Known(8000, 0.1), "b": Known(2000, 0.1)}, 0.01)
    assert [each.name for each in plans] == ["a", "b", SUITE]
    assert plans[-1].detectable < plans[0].detectable < plans[1].detectable
    assert plans[-1].chance == pytest.approx(0.93, abs=0.01)
    assert plans[-1].needed == 6500


def test_one_task_is_its_own_suite():
    assert [each.name for each in plan({"a": Known(100, 0.1)}, 0.01)] == ["a"]


def test_what_is_known_of_the_whole_outweighs_its_parts():
    clumped = plan({"a": Known(5000, 0.1), "b": Known(5000, 0.1)}, 0.01, suite=Known(10_000, 0.4))
    assert clumped[-1].needed == 26_000


@pytest.mark.parametrize(("tasks", "margin"), [({}, 0.01), ({"a": Known(0, 0.1)}, 0.01), ({"a": Known(9, 0.1)}, 0)])
def test_a_plan_for_nothing_is_refused(tasks, margin):
    with pytest.raises(GateError):
        plan(tasks, margin)


@given(SIZES, st.integers(1, 20_000))
def test_a_limit_gives_just_enough_documents(sizes, needed):
    limit = limit_for({str(at): Known(size, 0.1) for at, size in enumerate(sizes)}, needed)
    if limit is None:
        assert sum(sizes) < needed
    else:
        assert sum(min(size, limit) for size in sizes) >= needed
        assert limit == 1 or sum(min(size, limit - 1) for size in sizes) < needed


def past(discordant):
    made = [answers(200, discordant // 2, discordant // 2, 200) for _ in range(10)]
    return pair({f"s{n}": one for n, (one, _) in enumerate(made)}, {f"s{n}": two for n, (_, two) in enumerate(made)})


def test_past_evaluations_tell_how_much_models_differ():
    tasks, suite = measured(*past(40))
    assert tasks.keys() == {f"s{n}" for n in range(10)}
    assert tasks["s0"].n == 440
    assert tasks["s0"].variance == pytest.approx(40 / 440, rel=0.05)
    assert suite.n == 4400


def test_evaluations_that_cannot_be_compared_tell_nothing():
    candidate, baseline, _ = past(40)
    with pytest.raises(GateError, match="say nothing about a third"):
        measured(candidate, baseline, lambda side, task: None)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--documents", "14042"], 0),
        (["--documents", "mmlu=14042", "--documents", "gsm8k=1319"], 0),
        (["--documents", "1000"], 1),
        (["--documents", "1000", "--margin", "0.05"], 0),
        ([], 2),
        (["--documents", "many"], 2),
        (["--documents", "0"], 2),
        (["--documents", "5", "--confidence", "95"], 2),
        (["/no/such/result"], 2),
        (["one", "two", "three"], 2),
    ],
)
def test_the_command_says_by_its_exit_status_whether_a_suite_decides(arguments, status, capsys):
    assert main(["power", *arguments]) == status
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") is (status == 2)
    assert ("nough" in printed.out or "Too few" in printed.out) is (status < 2)


def test_the_command_speaks_json(capsys):
    assert main(["power", "--documents", "a=9000", "--documents", "b=3000", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in said["plans"]] == ["a", "b", SUITE]
    assert (said["decides"], said["limit"]) == (True, 3500)
