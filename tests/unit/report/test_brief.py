"""A report for places that are no files is short, and says what it leaves out."""

from __future__ import annotations

import pytest

from airflow_provider_lmeval.gate import Outcome, RuleSet, Verdict, decide
from airflow_provider_lmeval.gate.verdict import Subject
from airflow_provider_lmeval.report import Page, brief, html, markdown, page
from airflow_provider_lmeval.report.brief import LIMIT
from airflow_provider_lmeval.store.evidence import read_evidence, score_tables
from airflow_provider_lmeval.store.reports import brief_report
from tests.support import tables
from tests.support.foreign import sample, write_output
from tests.support.reports import RULES, write_pair

LONG = 5000


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    candidate, baseline = map(read_evidence, write_pair(tmp_path_factory.mktemp("pair")))
    rules = RuleSet.parse(RULES)
    return decide(rules, candidate.result, baseline.result, score_tables(candidate, baseline)), candidate, baseline


def test_a_long_report_is_shortened_and_says_so(judged) -> None:
    text = brief_report(*judged)
    assert len(text) <= LIMIT
    assert text.startswith("# ERROR: ")
    assert "*Shortened: " in text
    assert "changed answers" in text.splitlines()[-1]


@pytest.mark.parametrize("limit", [600, 1500, 3000, 6000, 12_000])
def test_no_report_is_longer_than_there_is_room_and_the_verdict_comes_first(judged, limit) -> None:
    verdict, candidate, baseline = judged
    text = brief(page(verdict, candidate.result, baseline.result), limit)
    assert len(text) <= limit
    assert text.startswith("# ERROR: ")
    assert "Shortened" in text


def test_a_short_report_is_whole() -> None:
    verdict = Verdict(outcome=Outcome.ERROR, action="block", candidate=Subject(run_id="x"), reasons=("gone",))
    assert brief(page(verdict)) == markdown(page(verdict))


def test_long_texts_are_cut_where_least_is_lost(tmp_path) -> None:
    def rows(right: bool) -> list[dict]:
        asked = {"gen_args_0": {"arg_0": "context " * LONG + "the question?", "arg_1": " yes"}}
        return [sample(n, right=right, arguments=asked, filtered_resps=["answer" + "!" * LONG]) for n in range(50)]

    sides = [
        read_evidence(str(write_output(tmp_path / name, {"quiz": rows(right)}).parent))
        for name, right in (("candidate", False), ("baseline", True))
    ]
    rules = RuleSet.parse([{"task": "quiz", "metric": "acc", "max_drop": 0.01}])
    text = brief_report(decide(rules, sides[0].result, sides[1].result, score_tables(*sides)), *sides)
    assert "the question?" in text
    assert "answer!" in text
    assert len(text) <= LIMIT


def pool(names: list[str]) -> Page:
    """Return the page of a verdict about tasks taken together."""
    right, wrong = tables.answers(300, 100, 0, 0)
    candidate, baseline, scores = tables.pair(dict.fromkeys(names, right), dict.fromkeys(names, wrong))
    rules = RuleSet.parse([{"task": "*", "metric": "acc", "pool": True, "max_drop": 0.01}])
    return page(decide(rules, candidate, baseline, scores), candidate, baseline)


def test_a_pool_is_called_one_and_names_its_tasks():
    shown = pool(["quiz", "easy"])
    assert "| pool of all tasks |" in markdown(shown)
    assert "- pool of all tasks (\\* acc): quiz, easy" in markdown(shown)
    assert html(shown).count('<span class="name">pool of all tasks</span>') >= 3, "of rule, score and difference"
    assert "documents together: quiz, easy" in html(shown)


def test_a_pool_of_many_tasks_names_all_in_the_report_and_some_in_short():
    names = [f"subject_{n}" for n in range(57)]
    shown = pool(names)
    assert '<summary class="quiet">57 tasks together</summary>' in html(shown)
    assert ", ".join(names) in html(shown)
    assert "subject\\_4, and 52 more\n" in brief(shown)
