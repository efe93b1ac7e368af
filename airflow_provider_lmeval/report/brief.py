"""A report of a few screens: what somebody has to see who is asked about a model in passing.

Airflow keeps a question in its database and sends it to every browser that lists what is to be done, so it cannot be as
long as the evidence. What is left out is said, and the whole report is elsewhere.
"""

from __future__ import annotations

from dataclasses import fields, replace

from airflow_provider_lmeval.gate.verdict import Check
from airflow_provider_lmeval.report.answers import Answer
from airflow_provider_lmeval.report.page import FlipRow, Page
from airflow_provider_lmeval.report.render import markdown

LIMIT = 16_000
"""Most characters."""
SIZES = ((4, 30), (2, 15), (0, 8), (0, 3))
"""How many changed answers, and rows of each table, are tried, until the text is short enough."""
NAMES = 5
"""How many of the tasks that were taken together are named."""
LONGEST = 400
"""Characters of a prompt or an answer."""


def brief(page: Page, limit: int = LIMIT) -> str:
    """Return a report as Markdown that is not longer than ``limit`` characters."""
    room = limit - 200
    for answers, rows in SIZES:
        cut = _cut(page, answers, rows)
        text = markdown(cut)
        if len(text) <= room:
            break
    else:
        text = text[:room].rpartition("\n")[0] + "\n"
        return f"{text}\n*Shortened.*\n"
    return text if _sizes(cut) == _sizes(page) else f"{text}\n*Shortened: {_left_out(page, cut)}.*\n"


def _cut(page: Page, answers: int, rows: int) -> Page:
    verdict = page.verdict
    shorter = {name: getattr(verdict, name)[:rows] for name in ("reasons", "findings", "differences")}
    shorter["checks"] = tuple(map(_with_fewer_names, verdict.checks[:rows]))
    return replace(
        page,
        verdict=verdict.model_copy(update=shorter),
        scores=page.scores[:rows],
        damages=page.damages[:rows],
        flips=tuple(map(_shorter, page.flips[:answers])),
    )


def _with_fewer_names(check: Check) -> Check:
    more = len(check.pooled) - NAMES
    return check if more <= 0 else check.model_copy(update={"pooled": (*check.pooled[:NAMES], f"and {more} more")})


def _shorter(row: FlipRow) -> FlipRow:
    if row.answer is None:
        return row
    said = {each.name: getattr(row.answer, each.name) for each in fields(Answer)}
    prompt = said.pop("prompt")
    cut = {name: text if text is None or len(text) <= LONGEST else f"{text[:LONGEST]}…" for name, text in said.items()}
    end = prompt if prompt is None or len(prompt) <= LONGEST else f"…{prompt[-LONGEST:]}"
    return replace(row, answer=Answer(prompt=end, **cut))


def _sizes(page: Page) -> dict[str, int]:
    return {
        "rules": len(page.verdict.checks),
        "scores": len(page.scores),
        "comparisons": len(page.damages),
        "changed answers": len(page.flips),
        "differences": len(page.verdict.differences),
        "findings": len(page.verdict.findings),
    }


def _left_out(page: Page, cut: Page) -> str:
    shown, all_of_it = _sizes(cut), _sizes(page)
    return ", ".join(f"{shown[name]} of {n:,} {name}" for name, n in all_of_it.items() if shown[name] < n)
