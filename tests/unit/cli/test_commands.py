"""The command-line tool, as a person calls it: output, errors, exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from airflow.providers_manager import ProvidersManager

from airflow_provider_lmeval import __version__
from airflow_provider_lmeval.__main__ import main
from airflow_provider_lmeval.cli.definition import get_lmeval_cli_commands
from airflow_provider_lmeval.cli.parser import BACKENDS as OFFERED
from airflow_provider_lmeval.cli.parser import STRATEGIES
from airflow_provider_lmeval.hooks.lmeval import BACKENDS
from airflow_provider_lmeval.spec.pod_parts import Strategy


@pytest.fixture
def spec(tmp_path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text("model: {type: hf, pretrained: /models/candidate}\ntasks: [arc_easy]\nlimit: 10\n")
    return path


def test_it_tells_its_version(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"airflow-lmeval {__version__}\n")


def test_tasks_are_listed_by_pattern(capsys) -> None:
    assert main(["ls", "tasks", "arc_*", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert {"arc_easy", "arc_challenge"} <= set(listed)
    assert listed["arc_easy"]["metrics"] == ["acc", "acc_norm"]


@pytest.mark.parametrize("kind", ["groups", "tags", "suites"])
def test_the_other_kinds_are_listed_as_a_table(kind: str, capsys) -> None:
    assert main(["ls", kind, "*lu*"]) == 0
    assert f" {kind} of lm-eval" in capsys.readouterr().out


def test_a_pattern_without_matches_is_told_with_near_ones(capsys) -> None:
    assert main(["ls", "tasks", "helaswag"]) == 1
    assert "hellaswag" in capsys.readouterr().err


def test_a_valid_spec_is_told_with_its_warnings(spec: Path, capsys) -> None:
    assert main(["validate", str(spec), "--show"]) == 0
    told = capsys.readouterr().out
    assert "warning: limit 10" in told
    assert "pretrained: /models/candidate" in told
    assert "valid, content hash" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: {type: hf, pretrained: /m}\ntasks: [helaswag]\n", "hellaswag"),
        ("model: {type: hf, pretrained: /m}\ntasks: [arc_easy]\nallow_online: true\n", "online-denied"),
        ("model: {type: hf}\n", "pretrained"),
        ("model: [", "not valid YAML"),
    ],
)
def test_a_wrong_spec_is_exit_status_2(spec: Path, text: str, words: str, capsys) -> None:
    spec.write_text(text)
    assert main(["validate", str(spec)]) == 2
    told = capsys.readouterr()
    assert words in told.out + told.err


def test_what_the_chosen_backend_cannot_do_is_told(spec: Path, capsys, monkeypatch) -> None:
    spec.write_text("model: {type: hf, pretrained: /m}\ntasks: [arc_easy]\nseed: 7\n")
    assert main(["validate", str(spec)]) == 0
    assert main(["validate", str(spec), "--backend", "lmevaljob"]) == 2
    assert "error: seed: LMEvalJob has no field for it" in capsys.readouterr().out
    monkeypatch.setenv("AIRFLOW__LMEVAL__BACKEND", "lmevaljob")
    assert main(["validate", str(spec)]) == 2


def test_the_tool_knows_all_backends() -> None:
    assert OFFERED == BACKENDS


def test_bad_rows_are_told_by_line_where_the_file_can_be_read(spec: Path, capsys) -> None:
    rows = spec.with_name("mine.csv")
    rows.write_text('question,choices,answer\n"1 + 1?","[""1"", ""2""]",1\n"2 + 2?","[""3"", ""4""]",2\n')
    text = "model: {type: hf, pretrained: /m}\ndata: [{name: mine, path: %s}]\n"

    spec.write_text(text % rows)
    assert main(["validate", str(spec)]) == 2
    assert f"{rows}: line 3: column 'answer' is '2'; answer_is: index allows 0 to 1 [data]" in capsys.readouterr().out
    spec.write_text(text % "/nowhere/mine.csv")
    assert main(["validate", str(spec)]) == 0


def test_devices_are_asked_for_as_in_a_dag(spec: Path, capsys) -> None:
    assert get_args(Strategy) == STRATEGIES
    assert main(["run", str(spec), "--gpu", "0"]) == 2
    assert "gpu: count" in capsys.readouterr().err
    assert main(["run", str(spec), "--strategy", "data"]) == 2
    assert "Add --gpu COUNT" in capsys.readouterr().err


def test_a_strategy_that_the_model_type_does_not_have_is_refused(spec: Path, capsys) -> None:
    pytest.importorskip("lm_eval", reason="without lm-eval the message is another")
    spec.write_text("model: {type: vllm, pretrained: /m}\ntasks: [arc_easy]\n")
    assert main(["run", str(spec), "--gpu", "2", "--strategy", "model"]) == 2
    assert "lm-eval's model type vllm has no 'model' parallelism" in capsys.readouterr().err


def test_a_run_that_cannot_start_says_why(spec: Path, capsys) -> None:
    pytest.importorskip("lm_eval", reason="without lm-eval the message is another")
    assert main(["run", str(spec)]) == 2
    assert "'/models/candidate' is not a directory on this machine" in capsys.readouterr().err


def test_no_command_is_a_usage_error(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_airflow_gets_the_same_commands_and_arguments(capsys) -> None:
    (group,) = get_lmeval_cli_commands()
    assert group.name == "lmeval"
    commands = {command.name: command for command in group.subcommands}
    assert {"ls", "run", "validate"} <= set(commands)
    assert [arg.flags for arg in commands["run"].args][:2] == [("spec",), ("--results-uri",)]


@pytest.mark.skipif(
    not hasattr(ProvidersManager, "cli_command_functions"), reason="providers' commands came with Airflow 3.2"
)
def test_airflows_parser_runs_our_command(capsys) -> None:
    from airflow.cli import cli_parser

    arguments = cli_parser.get_parser().parse_args(["lmeval", "ls", "tags", "ai2_arc", "--json"])
    arguments.func(arguments)
    assert json.loads(capsys.readouterr().out)[0]["members"] == ["arc_challenge", "arc_easy"]
