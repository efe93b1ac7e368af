"""What is wrong in a file is told with the field and the line, whichever command reads it and whatever the file is."""

from __future__ import annotations

import io
import sys

import pytest

from airflow_provider_lmeval.__main__ import main
from airflow_provider_lmeval.plan.lmevaljob.documents import MAX_STREAM_BYTES
from tests.support.lmevaljobs import DATA

SPEC = "model: {type: hf, pretrained: m}\ntasks: [arc_easy]\n"
JOB = "apiVersion: trustyai.opendatahub.io/v1alpha1\nkind: LMEvalJob\n"
JSON_JOB = '{\n"apiVersion": "trustyai.opendatahub.io/v1alpha1",\n"kind": "LMEvalJob",\n"spec": %s}'
BOMB = "metadata:\n  a0: &a0 [x]\n" + "".join(
    f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
GOOD = "spec: {model: hf, modelArgs: [{name: pretrained, value: m}], taskList: {taskNames: [arc_easy]}}\n"


def told(path: str, capsys: pytest.CaptureFixture[str], command: str = "validate") -> str:
    assert main([command, path]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SPEC + "limit: 0\n", "limit (line 3): "),
        (SPEC + "num_fewshots: 3\n", "num_fewshots (line 3): there is no such field; did you mean num_fewshot?"),
        (SPEC + "env:\n  A: b\n  API_KEY: x\n", "env.API_KEY (line 5): looks like a credential"),
        (SPEC + "task_sources:\n- type: git\n  url: http://h/x\n", "task_sources.0.url (line 5): url: give an https URL"),
        (SPEC + "tasks: [hellaswag]\n", "line 3: the key 'tasks' is twice in one mapping; keep one"),
        (SPEC + "---\n" + SPEC, "line 3: but found another document"),
        (SPEC + "limit: [\n", "the spec is not valid YAML: line 4: "),
        ('{"model": {"type": "hf", "pretrained": "m"},\n "tasks": ["a"],\n "limit": -1}', "limit (line 3): "),
        ('{"tasks": ["a"],\n "tasks": ["b"]}', "line 2: the key 'tasks' is twice"),
        (SPEC + BOMB, "more than 1,000,000 values, counting what aliases stand for"),
        (SPEC + "metadata: &a {b: *a}\n", "more than 1,000,000 values"),
        ("- a\n- b\n", "must be a mapping with `model` and `tasks`, found list"),
        (JOB + GOOD.replace("hf", "vllm"), "spec.model (line 3): found 'vllm'"),
        (JOB.replace("v1alpha1", "v2") + GOOD, "apiVersion (line 1): must be trustyai.opendatahub.io/v1alpha1, found "),
        (JSON_JOB % '{\n"model": "hf",\n"taskList": {},\n"limit": 3}', "spec.limit (line 7): must be a string, found 3"),
        (JSON_JOB % '{\n"model": "hf",\n"model": "hf"}', "line 6: the key 'model' is twice"),
        (JOB + GOOD + "---\n" + JOB + GOOD, "the text holds 2 LMEvalJobs; give one"),
        (JOB + "spec: {systemInstruction: " + "x" * MAX_STREAM_BYTES + "}", "the limit is"),
    ],
)  # fmt: skip
def test_validate_names_field_and_line(text, words, capsys, tmp_path) -> None:
    (tmp_path / "file.yaml").write_text(text)
    assert words in told(str(tmp_path / "file.yaml"), capsys)


def test_validate_reads_a_manifest_and_checks_what_it_says(capsys) -> None:
    assert main(["validate", str(DATA / "offline.yaml")]) == 0
    out, err = capsys.readouterr()
    assert "valid, content hash" in out
    assert "warning: spec.outputs (line 21): is no part of a spec; it is in the job's settings [lmevaljob]" in err


LIST = """apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: other}
- apiVersion: trustyai.opendatahub.io/v1alpha1
  kind: LMEvalJob
  metadata: {name: broken}
  spec:
    model: hf
    limits: "3"
    taskList: {taskNames: [a]}
"""


@pytest.mark.parametrize("piped", [True, False])
def test_convert_names_the_line_of_the_whole_stream(piped, capsys, tmp_path) -> None:
    text = (DATA / "kustomize.yaml").read_text().replace("numFewShot: 2", "numFewShot: two") + "---\n" + LIST
    before = len((DATA / "kustomize.yaml").read_text().splitlines())
    (tmp_path / "out.yaml").write_text(text)
    stdin, sys.stdin = sys.stdin, io.StringIO(text)
    try:
        err = told("-" if piped else str(tmp_path / "out.yaml"), capsys, "convert")
    finally:
        sys.stdin = stdin
    assert f"spec.limits (line {before + 13}): is no field of LMEvalJob; did you mean limit?" in err
    assert err.count("error: ") == 1


def test_an_anchor_and_a_merged_key_that_is_overridden_are_fine(capsys, tmp_path) -> None:
    base = "model: {<<: {type: hf, pretrained: n}, pretrained: m}\ntasks: &tasks [arc_easy]\nmetadata: {t: *tasks}\n"
    (tmp_path / "file.yaml").write_text(base)
    assert main(["validate", str(tmp_path / "file.yaml"), "--show"]) == 0
    assert "pretrained: m" in capsys.readouterr().out
