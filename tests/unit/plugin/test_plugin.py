"""The plugin costs processes that serve no pages nothing, and shows strangers nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import httpx
import pytest

from airflow_provider_lmeval.operators.links import PREFIX, report_address
from airflow_provider_lmeval.plugin.lmeval import LMEvalPlugin


@pytest.fixture
def client():
    (app,) = LMEvalPlugin.fastapi_apps
    assert app["url_prefix"] == PREFIX
    return httpx.AsyncClient(transport=httpx.ASGITransport(app["app"]), base_url="http://airflow")


def path(*names: str) -> str:
    return report_address(*names).partition(PREFIX)[2]


def test_airflow_finds_the_plugin() -> None:
    (entry,) = [each for each in entry_points(group="airflow.plugins") if each.name == LMEvalPlugin.name]
    assert entry.load() is LMEvalPlugin


def test_registering_the_page_does_not_load_what_serves_it() -> None:
    code = (
        "import sys, airflow.plugins_manager; before = set(sys.modules); import airflow_provider_lmeval.plugin.lmeval; "
        "print(sorted({'fastapi', 'airflow.api_fastapi', 'numpy', 'scipy', 'kubernetes'} & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
async def test_a_stranger_is_refused_and_a_browser_sent_to_the_login(client, accept) -> None:
    answer = await client.get(path("dag", "manual__1+1", "gate"), headers={"Accept": accept})
    if accept == "text/html":
        assert answer.status_code == 307
        assert answer.headers["location"].endswith("/api/v2/auth/login?next=%2Freports%2Fdag%2Fmanual__1%252B1%2Fgate")
    else:
        assert answer.status_code == 401
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "no-store" in answer.headers["cache-control"]


async def test_a_browser_whose_session_is_not_accepted_is_not_sent_round_in_circles(client) -> None:
    client.cookies.set("_token", "")
    answer = await client.get(path("dag", "run", "gate"), headers={"Accept": "text/html"})
    assert answer.status_code == 401


@pytest.mark.parametrize("where", ["/", "/docs", "/openapi.json", "/reports/dag/run", "/reports/dag/run/gate/more"])
async def test_there_is_nothing_else(client, where) -> None:
    answer = await client.get(where)
    assert answer.status_code == 404
    assert answer.headers["x-frame-options"] == "DENY"
