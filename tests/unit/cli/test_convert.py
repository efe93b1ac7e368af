"""``convert`` and ``import-config``, as a person calls them: output, errors, exit status."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
import yaml

from airflow_provider_lmeval.__main__ import main
from airflow_provider_lmeval.cli.definition import get_lmeval_cli_commands
from airflow_provider_lmeval.plan.lmevaljob import read_lmevaljob
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.outputs import parse_outputs
from tests.support.lmevaljobs import DATA, canonical, manifest


def documents(text: str) -> list[dict]:
    return list(yaml.safe_load_all(text))


def test_a_job_becomes_a_spec_that_can_be_read(capsys) -> None:
    assert main(["convert", str(DATA / "mistral-full.yaml")]) == 0
    told = capsys.readouterr()
    assert EvalSpec.from_yaml(told.out) == read_lmevaljob(manifest("mistral-full")).spec
    assert "# LMEvalJob private-ai-demo/eval-mistral-full" in told.out
    assert "spec.outputs (line 34): is no part of a spec; it is in the job's settings" in told.err
    assert "metadata.name (line 5): is no part of a spec" in told.err


def test_a_kustomize_stream_gives_a_document_per_job_and_names_what_it_passes_over(capsys) -> None:
    assert main(["convert", str(DATA / "kustomize.yaml")]) == 0
    told = capsys.readouterr()
    assert [spec["model"]["pretrained"] for spec in documents(told.out)] == ["org/first", "org/second"]
    assert "kustomize.yaml: Namespace: passed over" in told.err


@pytest.mark.parametrize("name", ["everything", "offline", "mistral-quantized"])
def test_with_all_nothing_is_lost_on_the_way_there_and_back(name, capsys, tmp_path) -> None:
    assert main(["convert", str(DATA / f"{name}.yaml"), "--all"]) == 0
    told = capsys.readouterr()
    assert "is no part of a spec" not in told.err
    (whole,) = documents(told.out)
    assert set(whole) - {"outputs"} == {"spec", "poll_interval", "kubernetes", "lmevaljob"}
    (tmp_path / "whole.yaml").write_text(told.out)
    assert main(["convert", str(tmp_path / "whole.yaml"), "--to", "lmevaljob"]) == 0
    told = capsys.readouterr()
    (back,) = documents(told.out)
    assert canonical(back) == canonical(manifest(name))
    assert told.err == ""


def test_with_all_an_oci_output_is_printed_with_the_connection_that_somebody_has_to_make(capsys) -> None:
    assert main(["convert", str(DATA / "everything.yaml"), "--all"]) == 0
    told = capsys.readouterr()
    (whole,) = documents(told.out)
    (output,) = parse_outputs(whole["outputs"])
    assert (output.conn_id, output.repository, output.tag, output.verify_ssl) == ("oci", "org/results", "v1", False)
    assert "note: " in told.err
    assert "spec.outputs.oci: pushed by Airflow, it takes a connection 'oci'" in told.err


def changed(whole: dict, part: str) -> str:
    """Return the path of a change that a manifest has no place for."""
    if part == "kubernetes":
        whole["kubernetes"]["priority_class_name"] = "high"
        return "kubernetes.priority_class_name"
    if part == "poll_interval":
        whole["poll_interval"] = 5
        return "poll_interval"
    whole["outputs"].append({"type": "mlflow", "conn_id": "mlflow"})
    return "outputs[1]"


@pytest.mark.parametrize("part", ["kubernetes", "poll_interval", "outputs"])
def test_a_part_that_the_manifest_is_not_made_of_is_not_dropped_in_silence(part, capsys, tmp_path) -> None:
    assert main(["convert", str(DATA / "everything.yaml"), "--all"]) == 0
    (whole,) = documents(capsys.readouterr().out)
    path = changed(whole, part)
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump(whole))
    assert main(["convert", str(tmp_path / "whole.yaml"), "--to", "lmevaljob"]) == 0
    assert f"whole.yaml: {path}: is not in the manifest" in capsys.readouterr().err


def test_standard_input_is_read_for_a_dash(capsys) -> None:
    before, sys.stdin = sys.stdin, io.StringIO((DATA / "adr-example.yaml").read_text())
    try:
        assert main(["convert", "-"]) == 0
    finally:
        sys.stdin = before
    (spec,) = documents(capsys.readouterr().out)
    assert spec["unitxt"][0]["card"] == "cards.wnli"


def test_a_directory_is_converted_file_by_file(capsys) -> None:
    assert main(["convert", str(DATA)]) == 0
    told = capsys.readouterr()
    assert len(documents(told.out)) == 9
    assert all(EvalSpec.parse(data) for data in documents(told.out))


def test_a_spec_becomes_a_job_named_after_its_file(capsys, tmp_path) -> None:
    path = tmp_path / "Nightly Eval.yaml"
    path.write_text("model: {type: hf, pretrained: m}\ntasks: [arc_easy]\n")
    assert main(["convert", str(path), "--to", "lmevaljob"]) == 0
    (job,) = documents(capsys.readouterr().out)
    assert job["metadata"]["name"] == "nightly-eval"
    assert job["spec"]["taskList"] == {"taskNames": ["arc_easy"]}


def test_a_job_of_the_first_design_is_rewritten(capsys) -> None:
    assert main(["convert", str(DATA / "adr-example.yaml"), "--to", "lmevaljob"]) == 0
    told = capsys.readouterr()
    (job,) = documents(told.out)
    assert job["spec"]["taskList"]["taskRecipes"][0]["card"] == {"name": "cards.wnli"}
    assert "plain string of the first design" in told.err


def test_one_bad_job_does_not_keep_the_others_back(capsys, tmp_path) -> None:
    bad = (DATA / "offline.yaml").read_text().replace("model: hf", "model: vllm")
    (tmp_path / "a.yaml").write_text(bad)
    (tmp_path / "b.yaml").write_text((DATA / "offline.yaml").read_text())
    assert main(["convert", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert len(documents(told.out)) == 1
    assert f"error: {tmp_path}/a.yaml: spec.model (line 9): found 'vllm'" in told.err


@pytest.mark.parametrize(
    ("text", "to", "words"),
    [
        ("kind: Pod\n", "spec", "nothing to convert to spec"),
        ("model: {type: hf}\n", "spec", "a spec already; --to lmevaljob makes a manifest of it"),
        ("kind: [", "spec", "line 2: no valid YAML"),
        ("model: {type: hf, pretrained: m}\ntasks: ['suite:standard']\n", "lmevaljob", "tasks[0] (line 2): "),
        ("spec:\n  model: {type: hf, pretrained: m}\n  limit: 0\n  tasks: [a]\n", "lmevaljob", "limit (line 3): "),
        ("spec: {model: {type: hf, pretrained: m}, tasks: [a]}\nkubernetes:\n  gpus: 1\n", "lmevaljob",
         "kubernetes.gpus (line 3): "),
        ("spec: {}\njob: {}\n", "lmevaljob", "unknown parts job"),
        ("spec: {model: {type: hf, pretrained: m}, tasks: [a]}\nlmevaljob: {nam: x}\n", "lmevaljob", "lmevaljob.nam"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_exit_status_2(text, to, words, capsys, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert main(["convert", str(path), "--to", to]) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert told.out == ""


def test_a_file_that_is_not_there_is_named(capsys, tmp_path) -> None:
    assert main(["convert", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err


CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: trustyai-service-operator-config}
data: {lmes-max-batch-size: "24", lmes-grpc-service: service}
"""


def test_a_config_map_becomes_a_section(capsys, tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG_MAP)
    assert main(["import-config", str(path)]) == 0
    told = capsys.readouterr()
    assert told.out == "[lmeval]\nmax_batch_size = 24\n"
    assert "note: lmes-grpc-service (service): nothing is to be named" in told.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "no valid YAML"),
        (CONFIG_MAP * 2, "twice"),
        ("", "has no data"),
        ("model: {type: hf}", "has no"),
    ],
)
def test_a_wrong_config_map_is_an_error(text, words, capsys, tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert main(["import-config", str(path)]) == 1
    assert words in capsys.readouterr().err


def test_airflow_has_both_commands() -> None:
    (group,) = get_lmeval_cli_commands()
    assert {"convert", "import-config"} <= {command.name for command in group.subcommands}


OPERATORS = {"lmes-allow-online": "true", "lmes-max-batch-size": "12"}
PLATFORMS = {"eval.lmeval.permitOnline": "false"}


def config_maps(*data: dict[str, str]) -> str:
    """Return what kubectl prints of several ConfigMaps, with one of somebody else."""
    items = [{"kind": "ConfigMap", "data": each} for each in (*data, {"lmes": "no", "other": "1"})]
    return yaml.safe_dump({"kind": "List", "apiVersion": "v1", "items": items})


def test_the_operators_and_the_platforms_config_maps_are_read_together(tmp_path: Path, capsys) -> None:
    path = tmp_path / "maps.yaml"
    path.write_text(config_maps(OPERATORS, PLATFORMS))
    assert main(["import-config", str(path)]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == ["[lmeval]", "max_batch_size = 12", "allow_online = False"]
    assert "permitOnline is taken instead" in told.err
    assert "other" not in told.err


def test_config_maps_of_two_operators_are_not_mixed(tmp_path: Path, capsys) -> None:
    path = tmp_path / "maps.yaml"
    path.write_text(config_maps(OPERATORS, {"lmes-max-batch-size": "24"}))
    assert main(["import-config", str(path)]) == 1
    assert "lmes-max-batch-size in two ConfigMaps" in capsys.readouterr().err
