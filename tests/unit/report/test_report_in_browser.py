"""The report in a real browser: it fits a phone and a desktop, in light and dark, and runs nothing."""

from __future__ import annotations

import shutil

import pytest

from tests.support.reports import written

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
INK = "[...document.querySelectorAll('h1, h2, .badge, .quiet, pre, td')].map(e => getComputedStyle(e).color)"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(written(path.parent), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs an installed Chromium (Debian: apt install chromium)")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_without_scrolling_sideways(browser, report, width, scheme) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    told: list[str] = []
    page.on("dialog", lambda dialog: (told.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: told.append(message.text))
    page.goto(report)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.querySelectorAll('svg[role=img]').length") > 4
    assert told == []
    page.close()


def test_dark_is_dark_and_light_is_light(browser, report) -> None:
    inks = {}
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(report)
        inks[scheme] = [sum(map(float, colour[4:-1].split(","))) for colour in page.evaluate(INK)]
        page.close()
    assert max(inks["light"]) < 382 < min(inks["dark"])


def test_paper_shows_all_answers_on_white(browser, report) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto(report)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    closed = page.locator("details:not([open]) pre").first
    assert closed.evaluate("each => each.checkVisibility({contentVisibilityAuto: true})")
    page.close()
