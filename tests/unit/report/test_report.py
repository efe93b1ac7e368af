"""A report shows everything, and nothing in it is markup that somebody else wrote."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from airflow_provider_lmeval.errors import DamagedResultError, GateError
from airflow_provider_lmeval.gate import Outcome, RuleSet, Verdict, decide
from airflow_provider_lmeval.gate.verdict import Subject
from airflow_provider_lmeval.report import html, markdown, page
from airflow_provider_lmeval.report.answers import LONGEST, answers, flips
from airflow_provider_lmeval.report.figures import Axis, axes
from airflow_provider_lmeval.store.reports import make_report
from tests.support import tables
from tests.support.evidence import document, metric, result, task
from tests.support.foreign import sample
from tests.support.reports import HOSTILE, NAMES, written

SECTIONS = ("checks", "scores", "differences", "flips", "comparability", "evidence", "calibration", "provenance")
HEADINGS = (
    "Rules",
    "Scores",
    "Differences against the margin",
    "Answers that changed",
    "Comparability",
    "Health of the evidence",
    "Noise of the baseline",
    "Provenance",
)
UNREADABLE = Verdict(
    outcome=Outcome.ERROR, action="block", candidate=Subject(run_id="<i>s3://x</i>"), reasons=("not <b>there</b>",)
)


class Document(HTMLParser):
    """What a browser would see: elements, their attributes and the text between them."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    return written(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> str:
    return written(tmp_path_factory.mktemp("report"), "report.md")


def test_every_section_is_there(source, text) -> None:
    assert tuple(Document(source).ids) == SECTIONS
    assert all(f"\n## {heading}\n" in text for heading in HEADINGS)
    for said in ("ERROR", "would decide", "0.775", "got worse", "model.identity"):
        assert said in Document(source).text
        assert said in text.replace("\\", "")


@pytest.mark.parametrize("render", [html, markdown])
def test_a_check_that_only_informs_does_not_read_as_passed(render) -> None:
    evidence = result({"quiz": task({"acc,none": metric(0.2)})})
    rules = RuleSet.parse([{"task": "quiz", "metric": "acc", "floor": 0.9, "tier": "info"}])
    verdict = decide(rules, evidence, None)
    assert verdict.outcome is Outcome.PASS
    assert "FAIL (info)" in render(page(verdict, evidence))


def test_nothing_in_it_is_loaded_or_run(source) -> None:
    found = Document(source)
    assert not {"script", "img", "link", "iframe", "object", "b", "i"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("src", "href")]
    assert "url(" not in source
    assert "@import" not in source


def test_hostile_texts_are_shown_as_they_are(source) -> None:
    found = Document(source)
    assert HOSTILE.replace("\u202e", "\ufffd") in found.text
    assert NAMES["candidate"] in found.text
    assert "{{ 7*7 }}" in found.text, "texts are data and no templates"
    assert "\u202e" not in source, "nothing turns the reading direction"


def test_a_hostile_text_does_not_end_its_block_of_markdown(text) -> None:
    outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "alert" in text
    assert "alert" not in outside
    assert "<" not in outside


def test_flips_come_with_prompt_expected_and_both_answers(source) -> None:
    found = Document(source)
    assert "Question 72 of quiz?" in found.text
    for label in ("Prompt", "Expected", "Baseline answered", "Candidate answered"):
        assert label in found.text
    assert " yes </pre>" in found.text
    assert " no & never" in found.text


def test_a_document_that_several_rules_list_is_shown_once(source) -> None:
    summaries = re.findall(r"<summary>(.*?)</summary>", source)
    assert summaries
    assert len(summaries) == len(set(summaries))


@pytest.mark.parametrize("render", [html, markdown])
def test_evidence_that_cannot_be_read_makes_a_report_too(render) -> None:
    found = render(page(UNREADABLE))
    assert "ERROR" in found
    assert "No result could be read." in found
    assert "No rule was checked." in found
    assert "<b>" not in found


@pytest.mark.parametrize("render", [html, markdown])
def test_flips_without_samples_are_listed_by_document(render) -> None:
    right, wrong = tables.answers(300, 100, 0, 0)
    candidate, baseline, scores = tables.pair({"quiz": right}, {"quiz": wrong})
    rules = RuleSet.parse([{"task": "quiz", "metric": "acc", "max_drop": 0.01}])
    verdict = decide(rules, candidate, baseline, scores)
    (listed, *_) = next(iter(flips(verdict).values()))
    found = render(page(verdict, candidate, baseline))
    assert f"document {listed.doc_id}" in found
    assert "Prompt</h3>" not in found


def test_damaged_samples_cost_the_texts_and_not_the_report() -> None:
    def damaged(_side: str, _task: str) -> None:
        raise DamagedResultError("row 7")

    right, wrong = tables.answers(300, 100, 0, 0)
    candidate, baseline, scores = tables.pair({"quiz": right}, {"quiz": wrong})
    verdict = decide(RuleSet.parse([{"task": "quiz", "metric": "acc", "max_drop": 0.01}]), candidate, baseline, scores)
    shown = page(verdict, candidate, baseline, damaged)
    assert shown.flips
    assert not shown.has_texts


def test_a_score_without_standard_error_has_no_bar_and_no_score_no_row() -> None:
    entries = {"a": task({"acc,none": metric(0.5, stderr=None), "f1,none": metric(None)})}
    found = page(UNREADABLE, result(entries))
    (row,) = found.scores
    assert row.candidate is not None
    assert row.candidate.bounds is None
    assert row.candidate.low == row.candidate.at == row.candidate.high


def test_provenance_names_model_identity_versions_seeds_and_command() -> None:
    data = document(equivalent_command=["lm-eval", "run", "--model_args", "pretrained=a b"])
    found = html(page(UNREADABLE, result(equivalent_command=data["equivalent_command"])))
    for said in (data["model"]["identity"], "lm_eval 0.4.13", "0, 1234, 1234, 1234", "&#39;pretrained=a b&#39;"):
        assert said in found


def test_shares_have_one_axis_and_others_their_own() -> None:
    first, second, other = axes([[0.2, 0.4], [0.6], [12.5, 14.0]])
    assert first == second == Axis(0.2, 0.6)
    assert other == Axis(12.5, 14.0)
    assert Axis.over([0.0]).at(0.0) == 50


def test_of_a_long_prompt_the_end_is_shown_and_of_a_long_answer_the_beginning() -> None:
    row = sample(0, arguments={"gen_args_0": {"arg_0": "a" * LONGEST + "?"}}, filtered_resps=["b" * LONGEST + "!"])
    right, wrong = tables.answers(0, 1, 0, 0)
    candidate, baseline, scores = tables.pair({"quiz": right * 50}, {"quiz": wrong * 50})
    verdict = decide(RuleSet.parse([{"task": "quiz", "metric": "acc", "max_drop": 0.01}]), candidate, baseline, scores)
    ((key, documents),) = flips(verdict).items()
    row["doc_hash"] = documents[0].doc_hash
    answer = answers(documents, *key, lambda side, _task: [row] if side == "candidate" else None)[row["doc_hash"]]
    assert answer.prompt is not None
    assert answer.prompt.startswith("(1 more characters)")
    assert answer.prompt.endswith("a?")
    assert answer.candidate is not None
    assert answer.candidate.endswith("b… (1 more characters)")
    assert answer.baseline is None


def test_a_name_that_tells_no_format_is_refused() -> None:
    with pytest.raises(GateError, match=r"\.html"):
        make_report("report.pdf", UNREADABLE, None, None)
