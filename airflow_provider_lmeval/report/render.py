"""Turns a report's data into text. The one place that knows the template engine, and what is escaped how.

HTML is escaped by Jinja's autoescape; nothing is ever marked safe. Markdown has no such thing: every value passes ``md``,
which escapes all that begins markup, or goes into a fence longer than any it contains.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_lmeval.report.page import Page, calibrated, subject

if TYPE_CHECKING:
    from jinja2 import Environment

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""What no document may hold, and marks that turn the reading direction of what follows."""
NONE = "\N{EN DASH}"
_MARKUP = re.compile(r"([\\`*_{}\[\]|~$]|^[#+=-])")


def html(page: Page) -> str:
    """Return the report as one self-contained HTML file."""
    return _clean(_environment().get_template("report.html").render(page=page, verdict=page.verdict))


def markdown(page: Page) -> str:
    """Return the report as GitHub's Markdown."""
    text = _environment().get_template("report.md").render(page=page, verdict=page.verdict)
    return re.sub(r"\n{3,}", "\n\n", _clean(text)).strip() + "\n"


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("airflow_provider_lmeval.report"),
        autoescape=select_autoescape(enabled_extensions=("html",), disabled_extensions=("md", "css"), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "value": _value, "md": _md, "fenced": _fenced, "count": _count}
    environment.filters |= {"subject": subject, "calibrated": calibrated, "metric": _metric}
    return environment


def figure(number: float | None, sign: str = "") -> str:
    """Return a number with four significant digits, and a dash for none."""
    return NONE if number is None else f"{number:{sign}.4g}".replace("-", "\N{MINUS SIGN}")


def _metric(name: str) -> str:
    """Return a metric's name without lm-eval's word for no filter."""
    return name.removesuffix(",none")


def _count(number: int | None) -> str:
    return NONE if number is None else f"{number:,}"


def _value(value: Any) -> str:
    """Return a field of a fingerprint as people read it."""
    if value is None:
        return "not known"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _md(value: Any) -> str:
    """Return a text on one line in which nothing is markup."""
    return _MARKUP.sub(r"\\\1", " ".join(str(value).split())).replace("&", "&amp;").replace("<", "&lt;")


def _fenced(text: str) -> str:
    """Return a text as a code block that it cannot end."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _clean(text: str) -> str:
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
