"""Text from attackers in every place of every document that takes text: nothing runs, nothing is read, nothing breaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from airflow_provider_lmeval.errors import LMEvalError
from airflow_provider_lmeval.plan import Grants, Placement, plan_request
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.wire import EXIT_CODES, Cause
from tests.support.hostile import PLANTED
from tests.support.hostile_documents import NASTY, documents, places, with_text
from tests.support.hostile_fields import attacked, attacked_in_crd, text_fields, text_of_crd
from tests.support.supervised import ROOT, Run, texts_below

CASES = 20_000
HOSTILE = ROOT / "tests" / "support" / "hostile.py"


@pytest.mark.timeout(600)
def test_hostile_text_opens_runs_imports_and_reads_nothing_on_its_way_to_the_driver() -> None:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, str(HOSTILE), str(CASES)],
        env={**kept, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr[-4000:]
    counted = json.loads(done.stdout)
    assert counted["accepted"] + counted["refused"] == CASES
    assert counted["accepted"] > CASES / 10
    assert counted["refused"] > CASES / 10
    assert attacked(counted["places"]) == text_fields()
    assert attacked_in_crd(counted["places"]) >= text_of_crd()


def test_the_fields_that_can_hold_text_are_all_known() -> None:
    """A handful of each root, so that a walk that finds nothing is noticed."""
    some = {"_Weights.pretrained", "UnitxtRecipe.card", "S3Assets.bucket", "PodSettings.image", "Claim.sub_path"}
    some |= {"SecretSelector.key", "Rule.task", "OciArtifact.tag", "WandbRun.wandb_args", "EvalSpec.env", "EnvRef.env"}
    assert some <= text_fields()
    assert not {"EvalSpec.limit", "EvalSpec.allow_online", "Rule.floor"} & text_fields()
    assert "spec.pod.sideCars.[].image" in text_of_crd()


def hostile_specs() -> list[EvalSpec]:
    """Return fifty specs that are valid, each with another hostile text in another place."""
    found: list[EvalSpec] = []
    document = documents()["hf"]
    spots = [
        place for place in places("hf", document) if place[1][0] in ("model", "env", "metadata", "gen_kwargs", "tasks")
    ]
    for index, spot in enumerate(spots * 4):
        try:
            found.append(EvalSpec.parse(with_text(document, spot, NASTY[(7 * index) % len(NASTY)])))
        except LMEvalError:
            continue
    return found[:50]


def test_hostile_specs_go_through_the_real_driver_and_leave_nothing_outside_of_their_directory(tmp_path: Path) -> None:
    owned, grants = Path("/tmp/owned"), Grants(env=frozenset({"NAMED"}))
    environ = {"NAMED": "value-that-was-named", "AWS_SECRET_ACCESS_KEY": PLANTED}
    assert not owned.exists()
    specs = hostile_specs()
    assert len(specs) == 50

    for index, spec in enumerate(specs):
        run = Run(tmp_path / f"run-{index}", environ)
        request = replace(plan_request(spec, f"run-{index}", grants, Placement(grace_s=1.0)), report_s=10.0)
        run.request(**{field.name: getattr(request, field.name) for field in fields(request)})
        names = [*request.tasks, *(str(task["task"]) for task in request.inline_tasks)]
        done = run.finish("evaluates", *[name for name in names if "\x00" not in name])

        assert done.returncode in (0, EXIT_CODES[Cause.BAD_SPEC]), done.stderr
        assert run.result["run_id"] == f"run-{index}"
        assert not [path for path, text in texts_below(run.root).items() if PLANTED.encode() in text]
        assert {path.parent for path in run.files.tasks.glob("*")} <= {run.files.tasks}
    assert {path.name for path in tmp_path.iterdir()} == {f"run-{index}" for index in range(50)}
    assert not owned.exists()
