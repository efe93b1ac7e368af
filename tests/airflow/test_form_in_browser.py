from __future__ import annotations

import shutil

import pytest

from airflow_provider_lmeval.spec.form import form_params
from tests.support.airflow_api import wait_until

DAG = "evaluate_on_demand"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
def form(airflow):
    """The DAG's trigger form, open in a browser; one section is unfolded at a time."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs an installed Chromium (Debian: apt install chromium)")
    wait_until(lambda: airflow.api.has_dag(DAG), f"DAG {DAG} parsed", 60)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 3000})
        page.goto(f"{airflow.url}/dags/{DAG}")
        page.get_by_role("button", name="Trigger").first.click()
        dialog = page.get_by_role("dialog").first
        yield dialog
        browser.close()


HELP = {name: " ".join(field["description"].split()) for name, field in form_params().items()}
SECTIONS = {name: field["section"] for name, field in form_params().items()}


def unfold(form, section):
    button = form.get_by_role("button", name=section, exact=True)
    if button.get_attribute("aria-expanded") != "true":
        button.click()


def test_the_trigger_form_shows_every_field_with_its_help(form):
    for name, help_text in HELP.items():
        unfold(form, SECTIONS[name])
        form.get_by_text(help_text).last.wait_for(timeout=10_000)


def test_a_form_filled_in_by_hand_becomes_a_spec_of_what_was_filled_in(airflow, form):
    api = airflow.api
    before = {run["dag_run_id"] for run in api.call("GET", f"dags/{DAG}/dagRuns")["dag_runs"]}
    for name, value in {
        "model_pretrained": "/no/such/model",
        "tasks": "hellaswag\narc_easy",
        "num_fewshot": "2",
    }.items():
        unfold(form, SECTIONS[name])
        form.locator(f'[name="element_{name}"]').fill(value)
    form.get_by_role("button", name="Trigger", exact=True).click()

    def started() -> set[str]:
        return {run["dag_run_id"] for run in api.call("GET", f"dags/{DAG}/dagRuns")["dag_runs"]} - before

    (run,) = wait_until(started, "the form has started a run", 20)
    api.wait_task(DAG, run, "read_form", "success", "failed")
    assert api.xcom(DAG, run, "read_form") == {
        "model": {"type": "hf", "pretrained": "/no/such/model"},
        "tasks": ["hellaswag", "arc_easy"],
        "num_fewshot": 2,
    }
    assert api.wait_run(DAG, run) == "failed", "there is no such model"
