"""Configuration and connection become one set of settings, and a mistake in either is named."""

from __future__ import annotations

import json
import os

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_lmeval.backends.local import LocalBackend
from airflow_provider_lmeval.backends.memory import MemoryBackend
from airflow_provider_lmeval.errors import ConfigError, SpecError
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


async def test_the_default_connection_is_used_where_there_is_one(environ) -> None:
    environ["AIRFLOW__LMEVAL__MAX_LOCAL_RUNS"] = "3"
    assert LMEvalHook().settings == await LMEvalHook().asettings() == resolve()
    extra = {"results_uri": "/r"}
    environ["AIRFLOW_CONN_LMEVAL_DEFAULT"] = json.dumps({"conn_type": "lmeval", "password": "s", "extra": extra})
    found = LMEvalHook().settings
    assert found == await LMEvalHook().asettings()
    assert (found.results_uri, found.max_local_runs) == ("/r", 3)
    assert found.status_secret is not None


async def test_a_connection_that_was_named_has_to_exist(environ) -> None:
    environ["AIRFLOW_CONN_LMEVAL_DEFAULT"] = json.dumps({"conn_type": "lmeval"})
    with pytest.raises(AirflowNotFoundException, match="evla"):
        _ = LMEvalHook("evla").settings
    with pytest.raises(AirflowNotFoundException, match="evla"):
        await LMEvalHook("evla").asettings()


def test_a_mistake_in_the_default_connection_is_no_reason_to_go_without(environ) -> None:
    environ["AIRFLOW_CONN_LMEVAL_DEFAULT"] = json.dumps({"conn_type": "lmeval", "extra": {"max_local_runs": 0}})
    with pytest.raises(ConfigError, match=r"connection 'lmeval_default': max_local_runs: .*\(found 0\)"):
        _ = LMEvalHook().settings


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
    with pytest.raises(ConfigError, match="choose one of local, kubernetes, lmevaljob, memory"):
        make_backend(resolve(), "slurm")


def test_a_connection_can_be_tested(environ, tmp_path) -> None:
    environ["AIRFLOW_CONN_EVAL"] = json.dumps(
        {"conn_type": "lmeval", "extra": {"results_uri": str(tmp_path), "driver_python": "/no/such/python"}}
    )
    works, message = LMEvalHook("eval").test_connection()
    assert not works
    assert "/no/such/python" in message


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"default_batch_size": 30, "max_batch_size": 24}, "default_batch_size 30 is above max_batch_size 24"),
        ({"driver_client_tls": "/etc/tls"}, "driver_client_tls needs driver_tls_secret and status_by_pod_ip"),
        ({"driver_tls_secret": "tls", "status_by_pod_ip": True}, "needs driver_client_tls"),
        ({"batch_size_policy": "ignore"}, "batch_size_policy"),
        ({"driver_port": 80}, "driver_port"),
    ],
)
def test_settings_that_contradict_each_other_are_named_and_the_secret_is_not_shown(environ, extra, words) -> None:
    data = {"conn_type": "lmeval", "password": "s3cr3t-of-status", "extra": extra}
    environ["AIRFLOW_CONN_EVAL"] = json.dumps(data)
    with pytest.raises(ConfigError) as caught:
        _ = LMEvalHook("eval").settings
    assert words in str(caught.value)
    assert "s3cr3t-of-status" not in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"api_key": "hush"}, "api_key: there is no such setting; there are 'allow_code_execution', 'allow_online', "),
        ({"max_local_run": "hush"}, "max_local_run: there is no such setting; did you mean 'max_local_runs'"),
        ({"results_uri": {"token": "hush"}}, "results_uri: Input should be a valid string"),
        ({"allowed_env": {"hush": 1}}, "allowed_env: Input should be a valid"),
        (
            {"allowed_git_hosts": "good.example.com,https://me:hush@h"},
            "allowed_git_hosts: entry 2: give names of hosts",
        ),
        ({"pod": '{"env": {"TOKEN": "hush"}'}, "pod: is not JSON"),
        ({"pod": [{"TOKEN": "hush"}]}, "pod: Input should be a valid dictionary"),
        ({"script": "hush"}, "script: Input should be a valid dictionary"),
    ],
)
def test_values_that_may_be_secrets_are_not_repeated(extra, words) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(extra)
    assert words in str(caught.value)
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_settings_of_the_driver_reach_its_pod(environ) -> None:
    extra = {"driver_port": 8082, "driver_tls_secret": "tls", "report_interval": 60, "image_pull_policy": "Always"}
    environ["AIRFLOW_CONN_EVAL"] = json.dumps({"conn_type": "lmeval", "extra": extra})
    pod = LMEvalHook("eval").settings.pod_settings({"status_port": 9000})
    found = (pod.status_port, pod.status_tls_secret, pod.report_interval, pod.image_pull_policy)
    assert found == (9000, "tls", 60, "Always")


def test_hosts_and_directories_are_lists_that_become_permissions() -> None:
    settings = resolve({"allowed_git_hosts": "Git.example.com, h:8443", "allowed_data_roots": "/data,/mnt/x"})
    assert settings.grants.git_hosts == {"git.example.com", "h:8443"}
    assert settings.grants.data_roots == ("/data", "/mnt/x")


@pytest.mark.parametrize(
    ("name", "value"),
    [("allowed_git_hosts", "https://h"), ("allowed_git_hosts", "me@h"), ("allowed_git_hosts", "*")]
    + [("allowed_data_roots", value) for value in ("data", "/", "/data/../etc")],
)
def test_a_host_or_directory_that_would_allow_something_else_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        resolve({name: value})


def test_pod_settings_of_configuration_connection_and_task_are_merged_field_by_field(environ) -> None:
    environ["AIRFLOW__LMEVAL__POD"] = json.dumps({"queue_name": "everybody", "priority_class_name": "low", "cpu": 1})
    extra = {"pod": {"priority_class_name": "high", "cpu": 2}}
    environ["AIRFLOW_CONN_EVAL"] = json.dumps({"conn_type": "lmeval", "extra": extra})
    found = LMEvalHook("eval").settings.pod_settings({"cpu": 3})
    assert (found.queue_name, found.priority_class_name, found.cpu) == ("everybody", "high", "3")


def test_devices_of_local_runs_are_configured_and_a_task_may_ask_for_others(environ) -> None:
    environ["AIRFLOW__LMEVAL__LOCAL_GPU"] = '{"count": 2, "strategy": "data"}'
    assert make_backend(resolve(), "local").gpu.count == 2
    assert make_backend(resolve(), "local", gpu={"count": 4, "strategy": "tensor"}).gpu.strategy == "tensor"
    assert make_backend(resolve(), "local", gpu=1).gpu.count == 1
    with pytest.raises(SpecError, match=r"gpu: strategy: .* 'tensor'"):
        make_backend(resolve(), "local", gpu={"strategy": "pipeline"})


def test_json_that_is_none_is_named(environ) -> None:
    environ["AIRFLOW__LMEVAL__POD"] = "{queue"
    with pytest.raises(ConfigError, match=r"pod: .*not JSON"):
        resolve()


def test_defaults_for_jobs_are_overridden_field_by_field(environ) -> None:
    everybody = {"labels": {"team": "llm"}, "pickup_timeout": 60, "keep": True}
    environ["AIRFLOW__LMEVAL__LMEVALJOB"] = json.dumps(everybody)
    settings = resolve({"backend": "lmevaljob", "lmevaljob": {"pickup_timeout": 90}})
    found = settings.job_settings({"keep": False, "labels": {"team": "mine"}})
    assert (found.pickup_timeout, found.keep, found.labels) == (90, False, {"team": "mine"})
    assert settings.job_settings().labels == {"team": "llm"}
    assert make_backend(settings, job={"startup_timeout": 5}).settings.startup_timeout == 5


def test_a_tasks_own_name_takes_the_place_of_the_default_one() -> None:
    settings = resolve({"lmevaljob": {"name": "nightly"}})
    found = settings.job_settings({"generate_name": "mine-"})
    assert (found.name, found.generate_name) == (None, "mine-")


@pytest.mark.parametrize(
    ("default", "told"),
    [
        ({"pick_up": 3}, r"lmevaljob\.pick_up"),
        ({"pickup_timeout": 0}, r"lmevaljob\.pickup_timeout"),
        ({"outputs": {"pvc_managed": {"sise": "1Gi"}}}, r"lmevaljob\.outputs\.pvc_managed\.sise"),
    ],
)
def test_a_wrong_default_for_jobs_is_named_before_a_task_is_blamed(default, told) -> None:
    with pytest.raises(ConfigError, match=told):
        resolve({"lmevaljob": default}).job_settings({"keep": True})


def test_a_wrong_setting_of_a_tasks_job_is_the_tasks_mistake() -> None:
    with pytest.raises(SpecError, match=r"lmevaljob\.pickup_timeout"):
        resolve({"lmevaljob": {"keep": True}}).job_settings({"pickup_timeout": -1})


def test_defaults_for_jobs_have_to_be_json(environ) -> None:
    environ["AIRFLOW__LMEVAL__LMEVALJOB"] = "{keep: true}"
    with pytest.raises(ConfigError, match="lmevaljob: is not JSON"):
        resolve()
