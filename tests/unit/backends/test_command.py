"""The command line that a backend names has the devices of its runs."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
from airflow_provider_lmeval.backends.local import LocalBackend
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.spec.pod_parts import Gpu

SPEC = EvalSpec.parse({"model": {"type": "hf", "pretrained": "/m"}, "tasks": ["arc_easy"]})
TWO = {"count": 2, "strategy": "data"}
LAUNCHED = ["accelerate", "launch", "--num_processes", "2"]


def test_several_devices_have_a_launcher_everywhere(tmp_path: Path) -> None:
    results = str(tmp_path)
    pods = KubernetesBackend(results_uri=results, settings=PodSettings.parse({"gpu": TWO}))
    here = LocalBackend(directory=tmp_path, results_uri=results, gpu=Gpu.parse(TWO))
    assert pods.command(SPEC)[:4] == here.command(SPEC)[:4] == LAUNCHED
    assert LocalBackend(directory=tmp_path, results_uri=results).command(SPEC)[0] == "lm-eval"


def test_a_pod_reads_task_files_where_their_config_map_is_mounted() -> None:
    source = {"type": "config_map", "name": "tasks"}
    spec = EvalSpec.parse(SPEC.to_data() | {"task_sources": [source]})
    command = KubernetesBackend(results_uri="memory://x").command(spec)
    assert "--include_path" in command
