"""The documentation names what exists, and what exists is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from airflow_provider_lmeval.gate import Rule, RuleSet, health
from airflow_provider_lmeval.get_provider_info import get_provider_info
from airflow_provider_lmeval.plan import Grants, check
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.data import METRICS, Columns, OwnData
from airflow_provider_lmeval.spec.evaluation import REFUSED
from airflow_provider_lmeval.spec.model_served import LocalCompletionsModel
from airflow_provider_lmeval.spec.models import TYPED_MODELS
from airflow_provider_lmeval.spec.outputs import WANDB_ARGS, HuggingFaceCard, MlflowRun, OciArtifact, WandbRun
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.wire import CLUSTER_CAUSES, EXIT_CODES, RETRYABLE, Cause

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def table(text: str, column: int = 0) -> list[str]:
    """Code words in one column of a page's tables."""
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")]
    return [word for row in rows if len(row) > column for word in re.findall(r"`([^`]+)`", row[column])]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_every_field_of_the_spec_is_documented() -> None:
    assert set(EvalSpec.model_fields) <= set(table(page("spec.md")))


def test_every_model_type_is_documented() -> None:
    assert set(TYPED_MODELS) <= set(table(page("spec.md")))


def test_every_refused_option_is_documented() -> None:
    assert [name for name in REFUSED if f"`{name}`" not in page("spec.md")] == []


def test_every_field_of_own_data_and_every_kind_of_task_source_is_documented() -> None:
    text = re.sub(r"```.*?```", "", page("data.md"), flags=re.DOTALL)
    told = set(re.findall(r"`([^`]+)`", text)) | {"name", "columns"}
    kinds = ("git", "config_map", "directory")
    assert set(OwnData.model_fields) <= told
    assert {f"columns.{name}" for name in Columns.model_fields} <= told
    assert {name for names in METRICS.values() for name in names} <= told
    assert set(kinds) <= set(table(page("data.md")))


def test_every_field_of_a_served_model_is_explained() -> None:
    text = re.sub(r"```.*?```", "", page("served.md"), flags=re.DOTALL)
    assert set(LocalCompletionsModel.model_fields) <= {*re.findall(r"`([^`]+)`", text), "args"}


def test_every_message_about_a_server_that_is_explained_is_one() -> None:
    """``…`` and ``N`` in a message stand for anything."""
    worker = ROOT / "airflow_provider_lmeval" / "driver" / "worker"
    names = ("endpoint", "endpoint_client", "echo", "patience", "served", "../watch")
    code = re.sub(r'"\s+f?"', "", "".join((worker / f"{name}.py").read_text() for name in names))
    explained = [
        words for words in table(page("served.md")) if words.count(" ") >= 2 and not words.startswith("Name or")
    ]
    assert len(explained) >= 15
    assert [words for words in explained if not re.search(re.sub(r"…|\bN\b", '[^"]+', re.escape(words)), code)] == []


def test_every_rule_field_and_policy_is_documented() -> None:
    assert set(Rule.model_fields) <= set(table(page("gate.md")))
    assert [name for name in RuleSet.model_fields if f"`{name}`" not in page("gate.md")] == []


def test_every_health_check_is_documented() -> None:
    known = re.findall(r"^([a-z-]+) +(?:ERROR|WARN) ", str(health.__doc__), re.MULTILINE)
    assert len(known) >= 10
    assert set(known) <= set(table(page("gate.md")))


def test_every_option_is_documented_with_its_default() -> None:
    options = get_provider_info()["config"]["lmeval"]["options"]
    rows = {
        line.split("|")[1].strip().strip("† ").strip("`"): line
        for line in page("operations.md").splitlines()
        if line.startswith("| `")
    }
    for name, option in options.items():
        assert name in rows
        assert not option["default"] or f"`{option['default']}`" in rows[name]


def test_every_cause_is_documented_with_its_exit_code_and_what_a_retry_does() -> None:
    rows = {
        name: [cell.strip() for cell in line.split("|")]
        for line in page("operations.md").splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([^`]+)`", line.split("|")[1])
    }
    for cause in Cause:
        assert rows[cause][2] == str(EXIT_CODES.get(cause, "-"))
        assert rows[cause][3] == ("yes" if cause in RETRYABLE else "no")


def test_every_cause_that_a_cluster_gives_is_explained() -> None:
    assert set(CLUSTER_CAUSES) <= set(table(page("kubernetes.md")))


def test_every_pod_setting_is_documented() -> None:
    assert set(PodSettings.model_fields) <= set(table(page("kubernetes.md")))


@pytest.mark.parametrize("text", [text for path in PAGES for text in blocks(path.read_text(encoding="utf-8"), "yaml")])
def test_every_example_of_a_spec_is_valid(text: str) -> None:
    data = yaml.safe_load(text)
    whole = {"model": {"type": "hf", "pretrained": "/models/candidate"}} | data
    if "tasks" not in whole and "unitxt" not in whole:
        whole["tasks"] = ["arc_easy"]
    granted = Grants(
        online=True,
        code_execution=True,
        env=frozenset({"OPENAI_API_KEY", "S3_BUCKET", "S3_KEY", "S3_SECRET"}),
        git_hosts=frozenset({"github.com"}),
    )
    assert [problem for problem in check(EvalSpec.parse(whole), granted) if problem.level == "error"] == []


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{path.name}: {target}"
        for path in [*PAGES, ROOT / "CONTRIBUTING.md"]
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
        if not target.startswith("http") and not (path.parent / target).exists()
    ]
    assert broken == []


def test_the_readmes_dag_is_a_dag_of_four_tasks() -> None:
    (code,) = blocks((ROOT / "README.md").read_text(encoding="utf-8"), "python")
    assert len([line for line in code.splitlines() if line.strip() and "import" not in line]) <= 15
    space: dict[str, object] = {}
    exec(compile(code.replace("\nfine_tune()\n", "\nDAG = fine_tune()\n"), "README.md", "exec"), space)
    assert set(space["DAG"].task_ids) == {"train", "evaluate", "gate", "promote"}


def test_every_field_of_an_output_is_documented() -> None:
    words = set(table(page("outputs.md"))) | {"type"}
    for kind in (OciArtifact, MlflowRun, HuggingFaceCard, WandbRun):
        assert set(kind.model_fields) <= words, kind
    assert set(WANDB_ARGS) <= set(table(page("outputs.md"), column=1))
