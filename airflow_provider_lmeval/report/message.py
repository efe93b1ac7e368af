"""A verdict in the words of a message, for each of the places that messages go to.

Each place has its own idea of what is markup, and a model's name must not be any: ``<!channel>`` in a name would wake
everybody in a Slack workspace.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from airflow_provider_lmeval.gate.verdict import Verdict

REASONS = 5
"""How many reasons a message gives."""
LONGEST = 300
"""Characters of a reason, or a name, in a message."""
MEANING = {"allow": "may go on", "ask": "waits for a person to decide", "block": "is stopped"}


@dataclass(frozen=True, slots=True)
class Message:
    """What there is to say.

    :param outcome: the verdict's, or ``none`` where a gate ended without one.
    :param title: one line, for a subject.
    :param text: plain. :param slack: Slack's mrkdwn. :param html: for a mail.
    :param link: where to look; None if there is no such place.
    """

    outcome: str
    title: str
    text: str
    slack: str
    html: str
    link: str | None = None


def message(verdict: Verdict | None, where: str, link: str | None = None) -> Message:
    """Put a verdict into words.

    :param verdict: None for a gate that ended without one.
    :param where: which task said so.
    :param link: an address with more.
    """
    outcome = str(verdict.outcome) if verdict else "none"
    title, reasons = _title(verdict), _reasons(verdict)
    lines = [title, *(f"- {reason}" for reason in reasons), where, *([link] if link else [])]
    slack = [f"*{_slack(title)}*", *(f"• {_slack(reason)}" for reason in reasons), f"_{_slack(where)}_"]
    if link:
        slack.append(f"<{_slack(link)}|Open>")
    return Message(outcome, title, "\n".join(lines), "\n".join(slack), _html(title, reasons, where, link), link)


def _title(verdict: Verdict | None) -> str:
    if verdict is None:
        return "The gate ended without a verdict"
    return f"{verdict.outcome}: {_line(verdict.candidate.name)} {MEANING[verdict.action]}"


def _reasons(verdict: Verdict | None) -> list[str]:
    if verdict is None:
        return ["Nothing was promoted. The task's log says what happened."]
    more = len(verdict.reasons) - REASONS
    return [*map(_line, verdict.reasons[:REASONS]), *([f"… and {more} more"] if more > 0 else [])]


def _line(text: str) -> str:
    """Return a text on one line, such as a subject has to be, and not a long one."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _slack(text: str) -> str:
    """Return a text in which Slack finds neither mentions nor links."""
    return escape(text, quote=False)


def _html(title: str, reasons: list[str], where: str, link: str | None) -> str:
    items = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    more = f'<p><a href="{escape(link)}">Open</a></p>' if link else ""
    return f"<h2>{escape(title)}</h2><ul>{items}</ul><p>{escape(where)}</p>{more}"
