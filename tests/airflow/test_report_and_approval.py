"""From a gate to a person and back: the report's page, the question, the answer on the record.

Most of the time of these tests is Airflow's, waiting between tasks. So all runs are started as soon as they can be, and
every test takes up one that has come as far as it needs.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.store.baselines import Baselines
from tests.support import dies_with_parent
from tests.support.airflow_api import AirflowAPI, wait_until
from tests.support.airflow_env import USER, _free_port
from tests.support.evidence import document, write_run
from tests.support.foreign import samples, write_output

DAG = "gate_with_approval"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PASSWORD = secrets.token_urlsafe(9)
BUSY = 60
"""Seconds that a server may take for a page on a busy machine."""


def evaluation(place, name: str, wrong: int) -> str:
    """Write an evaluation of 400 questions; between 100 and 104 wrong answers no gate can decide about one point."""
    path = write_output(place / name, {"quiz": samples(400, wrong)}, model_sha=name)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_name": f"org/{name}"}))
    return str(place / name)


@pytest.fixture(scope="module")
def baselines(airflow) -> Baselines:
    return Baselines(Store(str(airflow.home / "lmeval" / "results")))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("evidence")


@pytest.fixture(scope="module")
def unanswered(airflow, place, second_server) -> str:
    """A run that needs no model in production; with it a second API server starts."""
    sides = {"candidate": evaluation(place, "unanswered", 104), "baseline": evaluation(place, "other", 100)}
    run: str = airflow.api.trigger("e2e_unanswered", sides)
    return run


@pytest.fixture(scope="module")
def production(airflow, baselines, place, unanswered) -> str:
    """The model in production: the first one, promoted by the DAG without asking anybody."""
    first = evaluation(place, "first", 100)
    run = airflow.api.trigger(DAG, {"candidate": first})
    assert airflow.api.wait_run(DAG, run) == "success"
    assert baselines.current("chat", "post_training").uri == first
    return first


@pytest.fixture(scope="module")
def candidates(airflow, production, place) -> dict[str, tuple[str, str]]:
    """Runs that judge candidates, and the candidates, by name."""
    found = {name: evaluation(place, name, 104) for name in ("approved", "unreasoned", "rejected")}
    found["unreadable"] = "/no/such/evidence"
    return {name: (airflow.api.trigger(DAG, {"candidate": each}), each) for name, each in found.items()}


@pytest.fixture
def question(airflow, candidates):
    """A run that waits for a person: run id and candidate."""

    def ask(name: str) -> tuple[str, str]:
        run, candidate = candidates[name]
        airflow.api.wait_task(DAG, run, "approve", "awaiting_input")
        wait_until(lambda: settled(airflow, run), "the scheduler knows that the asking process has ended", 30)
        return run, candidate

    return ask


def settled(airflow, run: str) -> bool:
    """Whether the scheduler has heard of the end of the process that asked.

    Airflow 3.3 takes a task that is answered within that second for one that was killed, and fails it. People are slower.
    """
    told = (airflow.home / "logs" / "scheduler.log").read_text(errors="replace").splitlines()
    return any("Received executor event" in line and "task_id='approve'" in line and run in line for line in told)


def answer(api: AirflowAPI, run: str, choice: str, **form: object) -> None:
    """Do what the buttons of the *Required Action* page do."""
    body = {"chosen_options": [choice], "params_input": {"reason": "", "valid_for_hours": 24} | form}
    api.call("PATCH", f"dags/{DAG}/dagRuns/{run}/taskInstances/approve/-1/hitlDetails", json=body)


def address(api: AirflowAPI, dag_id: str, run: str) -> str:
    found: str = api.call("GET", f"dags/{dag_id}/dagRuns/{run}/taskInstances/gate/links")["extra_links"]["Report"]
    return found


def test_an_approval_promotes_and_is_on_the_record(airflow, baselines, question):
    run, candidate = question("approved")
    asked = airflow.api.call("GET", f"dags/{DAG}/dagRuns/{run}/taskInstances/approve/-1/hitlDetails")
    assert asked["subject"] == "Promote org/approved? The gate says INCONCLUSIVE."
    assert address(airflow.api, DAG, run) in asked["body"]
    for said in ("# INCONCLUSIVE: org/approved", "Compared with org/first", "| quiz | acc | 0.74", "quiz 100"):
        assert said in asked["body"]

    answer(airflow.api, run, "Approve", reason="the customer waits", valid_for_hours=2)

    assert airflow.api.wait_run(DAG, run) == "success"
    current = baselines.current("chat", "post_training")
    assert current.uri == candidate
    assert current.reason == "the customer waits"
    assert current.override is not None
    assert current.override.approver
    assert current.override.expires - current.override.at == 2 * 3600
    baselines.rollback("chat", "post_training", by="test", reason="so that the next test finds what it expects")


def test_an_approval_without_a_reason_promotes_nothing(airflow, baselines, question, production):
    run, _ = question("unreasoned")
    answer(airflow.api, run, "Approve")
    assert airflow.api.wait_run(DAG, run) == "failed"
    assert airflow.api.task_state(DAG, run, "promote") == "upstream_failed"
    assert any("reason" in line for line in airflow.api.log(DAG, run, "approve"))
    assert baselines.current("chat", "post_training").uri == production


def test_no_answer_in_time_promotes_nothing(airflow, baselines, unanswered):
    assert airflow.api.wait_run("e2e_unanswered", unanswered) == "failed"
    states = {name: task["state"] for name, task in airflow.api.tasks("e2e_unanswered", unanswered).items()}
    assert states == {"gate": "skipped", "approve": "failed", "promote": "upstream_failed"}
    assert any("HITLTimeoutError" in line for line in airflow.api.log("e2e_unanswered", unanswered, "approve"))
    assert baselines.current("unanswered", "quiz") is None


def test_evidence_that_cannot_be_read_is_reported_and_held(airflow, candidates):
    run, _ = candidates["unreadable"]
    assert airflow.api.wait_run(DAG, run) == "failed"
    assert airflow.api.task_state(DAG, run, "hold") == "failed"
    page = httpx.get(address(airflow.api, DAG, run), timeout=BUSY)
    assert page.status_code == 200
    assert "/no/such/evidence" in page.text


def test_the_nightly_gate_judges_the_newest_stored_results_again(airflow, production, place):
    timings = document()["timings"] | {"ended": time.time() + 60}
    stored = write_run(place / "nightly", document(run_id="nightly", timings=timings))
    Store(str(airflow.home / "lmeval" / "results")).put_run(stored)
    run = airflow.api.trigger("nightly_regate", {"last": 1})
    assert airflow.api.wait_run("nightly_regate", run) == "success"
    found = airflow.api.xcom("nightly_regate", run, "overview")
    assert found == {"ERROR": ["nightly"]}, "other questions than those the model in production was asked"


@pytest.fixture(scope="module")
def second_server(airflow) -> Iterator[str]:
    """The address of an API server that starts, on the same database, and asks for a password."""
    port = _free_port()
    passwords = airflow.home / "guarded.json"
    passwords.write_text(json.dumps({USER: PASSWORD}))
    settings = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
    }
    command = [sys.executable, dies_with_parent.__file__, "airflow", "api-server", "--host", "127.0.0.1"]
    with open(airflow.home / "logs" / "guarded.log", "ab") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port), "--workers", "1"],
            env=airflow.environment | settings, cwd=airflow.home, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture
def guarded(second_server) -> Iterator[httpx.Client]:
    """A visitor of the second API server."""
    with httpx.Client(base_url=second_server, timeout=BUSY) as visitor:
        wait_until(lambda: visitor.get("/api/v2/version").is_success, "the second API server answers", 120)
        yield visitor


def test_the_report_is_for_those_whom_airflow_lets_see_the_task(airflow, production, guarded):
    (run, *_) = [each["dag_run_id"] for each in airflow.api.call("GET", f"dags/{DAG}/dagRuns")["dag_runs"]]
    path = f"/lmeval/reports/{DAG}/{quote(run, safe='')}"
    login = {"username": USER, "password": PASSWORD}
    token = guarded.post("/auth/token", json=login).json()["access_token"]
    signed_in = {"Authorization": f"Bearer {token}"}

    assert guarded.get(f"{path}/gate").status_code == 401
    assert guarded.get(f"{path}/gate", headers={"Authorization": "Bearer none"}).status_code == 403
    browser = guarded.get(f"{path}/gate", headers={"Accept": "text/html"})
    assert browser.headers["location"] == f"/api/v2/auth/login?next={quote(f'{path}/gate', safe='')}"

    shown = guarded.get(f"{path}/gate", headers=signed_in)
    assert shown.status_code == 200
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert guarded.get(f"{path}/promote", headers=signed_in).status_code == 404
    assert guarded.get(f"/lmeval/reports/{DAG}/..%2F..%2Fetc/passwd", headers=signed_in).status_code == 404


def test_a_click_on_the_task_s_link_shows_the_report(airflow, question):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs an installed Chromium (Debian: apt install chromium)")
    run, _ = question("rejected")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(f"{airflow.url}/dags/{DAG}/runs/{quote(run)}/tasks/approve/required_actions")
        page.get_by_role("heading", name="INCONCLUSIVE: org/rejected").wait_for(timeout=30_000)
        assert page.get_by_role("table").count() >= 3, "tables are shown as tables"
        page.goto(f"{airflow.url}/dags/{DAG}/runs/{quote(run)}/tasks/gate/details")
        page.get_by_role("link", name="Report", exact=True).or_(
            page.locator("a[href*='/lmeval/reports/']")
        ).first.click()
        page.get_by_role("heading", name="A person has to decide about this model").wait_for(timeout=30_000)
        assert page.locator("svg[role=img]").count() >= 2
        browser.close()


def test_a_rejection_promotes_nothing(airflow, baselines, question, production):
    run, _ = question("rejected")
    answer(airflow.api, run, "Reject")
    airflow.api.wait_run(DAG, run)
    assert airflow.api.task_state(DAG, run, "promote") == "skipped"
    assert baselines.current("chat", "post_training").uri == production
