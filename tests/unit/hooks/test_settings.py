"""Configuration and connection become one set of settings, and a mistake in either is named."""

from __future__ import annotations

import json
import os

import pytest

from airflow_provider_lmeval.backends.local import LocalBackend
from airflow_provider_lmeval.backends.memory import MemoryBackend
from airflow_provider_lmeval.errors import ConfigError
from airflow_provider_lmeval.get_provider_info import get_provider_info
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook, make_backend
from airflow_provider_lmeval.hooks.settings import CONNECTION_ONLY, Settings, resolve


@pytest.fixture
def environ():
    """The environment, restored afterwards."""
    before = dict(os.environ)
    yield os.environ
    os.environ.clear()
    os.environ.update(before)


def test_defaults_come_from_the_provider_info() -> None:
    settings = resolve()
    assert (settings.backend, settings.max_local_runs, settings.poll_interval) == ("local", 4, 5.0)
    assert not settings.allow_online
    assert settings.local_dir == f"{os.environ['AIRFLOW_HOME']}/lmeval/runs"


def test_every_option_is_a_setting_and_the_other_way_round() -> None:
    options = get_provider_info()["config"]["lmeval"]["options"]
    assert set(options) == set(Settings.model_fields) - CONNECTION_ONLY


def test_configuration_is_read_when_it_is_needed(environ) -> None:
    environ["AIRFLOW__LMEVAL__ALLOWED_ENV"] = "HF_TOKEN, OPENAI_API_KEY"
    environ["AIRFLOW__LMEVAL__ALLOW_ONLINE"] = "true"
    assert resolve().grants.env == {"HF_TOKEN", "OPENAI_API_KEY"}
    assert resolve().grants.online


def test_a_connection_overrides_the_configuration(environ) -> None:
    environ["AIRFLOW__LMEVAL__ALLOW_ONLINE"] = "true"
    environ["AIRFLOW_CONN_EVAL"] = json.dumps(
        {"conn_type": "lmeval", "extra": {"allow_online": False, "results_uri": "/r", "driver_python": ""}}
    )
    settings = LMEvalHook("eval").settings
    assert (settings.allow_online, settings.results_uri, settings.driver_python) == (False, "/r", "")


async def test_the_same_settings_inside_an_event_loop(environ) -> None:
    environ["AIRFLOW_CONN_EVAL"] = json.dumps({"conn_type": "lmeval", "extra": {"max_local_runs": 2}})
    hook = LMEvalHook("eval")
    assert await hook.asettings() == hook.settings


@pytest.mark.parametrize(("key", "value"), [("alow_online", True), ("max_local_runs", 0), ("poll_interval", "soon")])
def test_a_mistake_is_named_with_its_connection(environ, key: str, value: object) -> None:
    environ["AIRFLOW_CONN_EVAL"] = json.dumps({"conn_type": "lmeval", "extra": {key: value}})
    with pytest.raises(ConfigError) as caught:
        _ = LMEvalHook("eval").settings
    assert key in str(caught.value)
    assert "'eval'" in str(caught.value)


def test_the_hook_leads_to_a_backend() -> None:
    assert isinstance(LMEvalHook().get_conn(), LocalBackend)
    assert isinstance(make_backend(resolve(), "memory"), MemoryBackend)
    with pytest.raises(ConfigError, match="choose one of local, kubernetes, memory"):
        make_backend(resolve(), "slurm")


def test_a_connection_can_be_tested(environ, tmp_path) -> None:
    environ["AIRFLOW_CONN_EVAL"] = json.dumps(
        {"conn_type": "lmeval", "extra": {"results_uri": str(tmp_path), "driver_python": "/no/such/python"}}
    )
    works, message = LMEvalHook("eval").test_connection()
    assert not works
    assert "/no/such/python" in message
