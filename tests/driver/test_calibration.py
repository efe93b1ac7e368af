"""A/A test of a real model: evaluated, promoted, evaluated again in another way, and compared with itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from airflow_provider_lmeval import wire
from airflow_provider_lmeval.backends.local import LocalBackend
from airflow_provider_lmeval.gate import RuleSet, decide
from airflow_provider_lmeval.gate.calibration import Calibration
from airflow_provider_lmeval.plan import Grants
from airflow_provider_lmeval.plan.variation import varied
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.store.baselines import Baselines
from airflow_provider_lmeval.store.calibration import calibrate_baseline
from airflow_provider_lmeval.store.evidence import read_evidence, score_tables
from airflow_provider_lmeval.store.promotion import Override
from tests.support.tiny import tiny_tasks, untrained_model

pytestmark = pytest.mark.driver

RULES = RuleSet.parse([{"task": "*", "metric": "acc", "pool": True, "max_drop": 0.01}])
# a model that has learnt nothing answers by what the examples happen to be
SPEC = EvalSpec.parse(
    {
        "model": {"type": "hf", "pretrained": str(untrained_model()), "dtype": "float32"},
        "tasks": ["tiny_mc", "tiny_fewshot"],
        "include_paths": [str(tiny_tasks())],
        "batch_size": 8,
        "device": "cpu",
    }
)


def evaluate(backend: LocalBackend, spec: EvalSpec, run_id: str) -> str:
    """Evaluate, and return where the result is."""
    handle, deadline = backend.submit(spec, run_id, Grants()), time.monotonic() + 120
    while not wire.State(backend.status(handle).state).ended:
        assert time.monotonic() < deadline, "the evaluation does not end"
        time.sleep(0.05)
    result = backend.collect(handle)
    assert result.succeeded, result.message
    return str(handle.result_uri)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calibration")


@pytest.fixture(scope="module")
def calibration(place: Path) -> Calibration:
    """The promoted model's calibration, kept in a store."""
    (place / "runs").mkdir()
    backend = LocalBackend(directory=place / "runs", results_uri=str(place / "store"), max_runs=1, grace_s=5)
    first, second = evaluate(backend, SPEC, "run-first-1"), evaluate(backend, varied(SPEC), "run-again-1")
    now, store = time.time(), Store(place / "store")
    override = Override(approver="ada", reason="the first one", at=now, expires=now + 600)
    Baselines(store).promote("chat", "tiny", first, by="ada", reason="first", override=override)
    return calibrate_baseline(store, "chat", "tiny", RULES, second, gates=100)


def test_what_should_not_matter_was_varied(calibration: Calibration) -> None:
    assert calibration.settings["fewshot_seed"] == [1234, 1235]
    assert calibration.settings["batch_size"] == [8, 4]
    assert calibration.runs == ("run-first-1", "run-again-1")


def test_without_examples_the_model_repeats_itself_and_with_others_it_does_not(calibration: Calibration) -> None:
    assert calibration.noise["tiny_mc"]["acc,none"].band == 0
    assert calibration.noise["tiny_fewshot"]["acc,none"].discordance > 0
    assert calibration.kind == "varied"


def test_the_gate_was_simulated_and_forty_documents_prove_nothing(calibration: Calibration) -> None:
    assert calibration.gates == 100
    assert calibration.asks + calibration.false_blocks > 50


def test_a_gate_against_the_baseline_knows_its_noise(place: Path, calibration: Calibration) -> None:
    store = Store(place / "store")
    baseline = read_evidence(store.uri("run-first-1"))

    found = Baselines(store).calibration("chat", "tiny")
    verdict = decide(RULES, baseline.result, baseline.result, score_tables(baseline, baseline), found)

    assert found == calibration
    assert verdict.calibration == calibration.shown
    assert verdict.checks[0].statistics.noise_band > 0.01
    assert "margin-within-noise" in [each.id for each in verdict.findings]
