"""Manifest → ours → manifest and spec → manifest → spec are the identity, over every field of the CRD."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_lmeval.errors import ManifestError
from airflow_provider_lmeval.plan.lmevaljob import read_lmevaljob, write_lmevaljob
from airflow_provider_lmeval.plan.lmevaljob.findings import Findings
from airflow_provider_lmeval.plan.lmevaljob.schema import check_schema
from airflow_provider_lmeval.plan.lmevaljob.storage import HF_HOME, VARIABLES
from airflow_provider_lmeval.plan.lmevaljob.write import EXPRESSED
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobSettings
from tests.support.lmevaljobs import (
    ARTIFACT,
    COMMIT,
    DATA,
    IDENTIFIER,
    TEXT,
    WORD,
    canonical,
    documents,
    leaves,
    manifest,
    manifests,
    minimal,
    paths_of,
    with_leaf,
)  # fmt: skip

FILES = sorted(path.stem for path in DATA.glob("*.yaml"))
MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def there_and_back(data: dict[str, Any]) -> dict[str, Any]:
    found = read_lmevaljob(data)
    return write_lmevaljob(found.spec, found.job)


@MANY
@given(data=manifests())
def test_a_manifest_comes_back_as_it_was(data) -> None:
    assert canonical(there_and_back(data)) == canonical(data)


@MANY
@given(data=manifests())
def test_what_comes_back_is_what_the_crd_takes_and_nothing_changes_any_more(data) -> None:
    once = there_and_back(data)
    findings = Findings()
    check_schema(once, findings)
    assert findings.errors == []
    assert there_and_back(once) == once


ARGUMENT = (
    st.booleans() | st.integers(0, 10**12) | st.floats(1e-6, 1e6) | st.sampled_from(["a/b", "no", "x y", "1.2.3"])
)
MODELS = st.builds(
    lambda args, **fields: {"type": "hf", "pretrained": "org/model", "args": args} | fields,
    st.dictionaries(IDENTIFIER, ARGUMENT, max_size=3),
    revision=st.none() | st.sampled_from(["main", "123", "1e5", "true"]),
    think_end_token=st.none() | st.integers(0, 99) | st.just("end"),
    load_in_4bit=st.booleans(),
    max_length=st.none() | st.integers(1, 10**6),
)
SOURCES = st.fixed_dictionaries(
    {"type": st.just("git"), "url": st.just("https://example.com/a.git")},
    optional={"ref": st.sampled_from(["main", "v1", "release/2", "HEAD", "0a1b2c3d", COMMIT]), "path": st.just("a/b")},
)
SECRETS = {name: {"name": "bucket", "key": name.lower()} for name in VARIABLES.values()}


def offline(**changes: Any) -> dict[str, Any]:
    """Return a bucket in a spec, in the operator's variables."""
    names = ("access_key_id", "secret_access_key", "bucket", "region", "endpoint")
    references = dict(zip(names, ({"env": name} for name in VARIABLES.values()), strict=True))
    return {"cache": HF_HOME, "s3": references | {"path": "models"} | changes}


BATCHES = st.integers(1, 24) | st.sampled_from(["auto", "auto:3"])
SPECS = st.fixed_dictionaries(
    {
        "model": MODELS,
        "batch_size": BATCHES,
        "max_batch_size": st.just(24),
        "tasks": st.lists(WORD, min_size=1, max_size=3, unique=True),
    },
    optional={
        "unitxt": st.lists(st.builds(lambda card: {"card": card}, ARTIFACT | IDENTIFIER), min_size=1, max_size=1),
        "artifacts": st.builds(lambda t, s: {"templates": {"t": t}, "system_prompts": {"s": s}}, ARTIFACT, TEXT),
        "num_fewshot": st.integers(0, 99),
        "limit": st.integers(1, 10**6) | st.floats(1e-9, 0.999),
        "device": st.sampled_from(["cpu", "cuda:1"]),
        "gen_kwargs": st.dictionaries(IDENTIFIER, ARGUMENT, max_size=2),
        "system_instruction": TEXT.filter(bool),
        "apply_chat_template": st.booleans() | st.just("default"),
        "log_samples": st.booleans(),
        "env": st.dictionaries(IDENTIFIER, TEXT.filter(lambda text: "$(" not in text), max_size=2),
        "allow_online": st.booleans(),
        "allow_code_execution": st.booleans(),
        "task_sources": st.lists(SOURCES, min_size=1, max_size=1),
        "offline": st.builds(lambda path, verify: offline(path=path, verify_ssl=verify), WORD, st.booleans()),
    },
)


@MANY
@given(data=SPECS)
def test_a_spec_comes_back_as_it_was(data) -> None:
    spec = EvalSpec.parse(data)
    secrets = LMEvalJobSettings.parse({"env_secrets": SECRETS if spec.offline else {}})
    back = read_lmevaljob(spec.to_lmevaljob(secrets)).spec
    assert back == spec
    assert back.content_hash == spec.content_hash


def test_a_spec_without_a_batch_size_leaves_it_to_the_operator() -> None:
    job = EvalSpec.parse({"model": {"type": "hf", "pretrained": "m"}, "tasks": ["arc_easy"]}).to_lmevaljob()
    assert "batchSize" not in job["spec"]
    assert read_lmevaljob(job).spec.batch_size == 8


@pytest.mark.parametrize("name", FILES)
def test_the_manifests_of_the_documents_come_back_as_they_were(name) -> None:
    for document in documents(name):
        if name != "adr-example":
            assert canonical(there_and_back(document.data)) == canonical(document.data)
        found = read_lmevaljob(document.data)
        again = read_lmevaljob(write_lmevaljob(found.spec, found.job))
        assert (again.spec, again.job, again.pod) == (found.spec, found.job, found.pod)


def test_one_of_the_manifests_has_every_field_outside_the_pod() -> None:
    assert {path for path in leaves() if path[1] != "pod"} - set(paths_of(manifest("everything")["spec"])) == set()


@pytest.mark.parametrize("part", sorted({path[2] for path in leaves() if path[1] == "pod"}))
def test_every_field_of_the_pod_comes_back(part) -> None:
    for path in leaves():
        if path[1:3] == ("pod", part):
            data = minimal(**with_leaf(path[1:]) | {k: v for k, v in minimal()["spec"].items() if k != "pod"})
            back = there_and_back(data)
            assert path in {found[: len(path)] for found in paths_of(back["spec"])}
            assert canonical(back) == canonical(data)


NOT_SAID = {
    "bootstrap_iters": 5, "check_integrity": True, "checkpoint": "none", "fewshot_as_multiturn": True,
    "include_paths": ("/tasks",), "metadata": {"a": 1}, "no_progress_timeout": 5.0, "predict_only": True,
    "samples": {"arc_easy": (1,)}, "seed": 3, "timeout": 5.0, "use_cache": "/cache", "write_out": True,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(NOT_SAID))
def test_a_field_that_lmevaljob_has_no_words_for_is_an_error_that_names_it(name) -> None:
    data = {"model": {"type": "hf", "pretrained": "m"}, "tasks": ["arc_easy"], "apply_chat_template": True}
    spec = EvalSpec.parse(data | {name: NOT_SAID[name]})
    with pytest.raises(ManifestError, match=f"^{name}: LMEvalJob has no field for it"):
        spec.to_lmevaljob()
    write_lmevaljob(spec, elsewhere={name})


def test_every_field_of_a_spec_is_either_written_or_refused() -> None:
    assert set(EvalSpec.model_fields) - EXPRESSED >= set(NOT_SAID)
    assert set(EvalSpec.model_fields) > EXPRESSED


GIT_SOURCE = {"type": "git", "url": "https://example.com/a.git"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tasks": ["suite:standard"]}, r"tasks\[0\]"),
        ({"tasks": ["arc_easy", "mmlu_*"]}, r"tasks\[1\]"),
        ({"tasks": [{"task": "mine", "doc_to_text": "x"}]}, r"tasks\[0\]"),
        ({"tasks": ["größe"]}, r"tasks\[0\]: spec.taskList.taskNames\[0\]"),
        ({"model": {"type": "vllm", "pretrained": "m"}}, "model.type: spec.model: found 'vllm'"),
        ({"model": {"type": "hf", "pretrained": "a,b"}}, "model.pretrained"),
        ({"model": {"type": "hf", "pretrained": "m", "args": {"x": "1e5"}}}, "model.args.x: lm-eval would read"),
        ({"model": {"type": "hf", "pretrained": "m", "args": {"x": [1]}}}, "model.args.x"),
        ({"model": {"type": "hf", "pretrained": "m", "args": {"token": {"env": "T"}}}}, "model.args.token"),
        ({"gen_kwargs": {"until": ["\n"]}}, "gen_kwargs.until"),
        ({"env": {"A": {"env": "B"}}}, "env.A: refers to 'B'"),
        ({"env": {"A": "x$(B)"}}, "env.A"),
        ({"batch_size": 32}, "batch_size: found 32"),
        ({"max_batch_size": 64}, "max_batch_size"),
        ({"unitxt": [{"card": "cards.a", "name": "mine"}]}, r"unitxt\[0\].name"),
        ({"unitxt": [{"card": "cards.a", "template": {"__type__": "t"}}]}, r"unitxt\[0\].template"),
        ({"artifacts": {"cards": {"cards.a": {"__type__": "t"}}}}, r"artifacts.cards.cards.a"),
        ({"artifacts": {"system_prompts": {"a": {"__type__": "t"}}}}, r"artifacts.system_prompts.a"),
        ({"task_sources": [GIT_SOURCE, GIT_SOURCE | {"path": "b"}]}, "task_sources: LMEvalJob has words for one git"),
        ({"task_sources": [{"type": "directory", "path": "/tasks"}]}, "task_sources: LMEvalJob has words for one git"),
        ({"task_sources": [GIT_SOURCE | {"url": "https://h:8443/a"}]}, "task_sources: spec.taskList.customTasks"),
        ({"offline": {"cache": HF_HOME}}, "offline: the operator looks at no cache"),
        ({"offline": offline() | {"cache": "/models"}}, f"offline.cache: the operator copies to {HF_HOME}"),
        ({"offline": offline() | {"check": "none"}}, "offline.check"),
        ({"offline": offline(session_token={"env": "T"})}, "offline.s3.session_token"),
        ({"offline": offline(ca_bundle="/ca")}, "offline.s3.ca_bundle: .* ConfigMap in lmevaljob.offline.s3"),
        ({"offline": offline(bucket="mine")}, r"offline.s3.bucket: .* write \{'env': 'AWS_S3_BUCKET'\}"),
        ({"offline": offline(bucket={"env": "MINE"})}, r"offline.s3.bucket: .* write \{'env': 'AWS_S3_BUCKET'\}"),
    ],
)
def test_a_value_that_lmevaljob_cannot_hold_is_an_error_that_names_the_field(changes, named) -> None:
    data = {"model": {"type": "hf", "pretrained": "m"}, "tasks": ["arc_easy"]} | changes
    with pytest.raises(ManifestError, match=named):
        EvalSpec.parse(data).to_lmevaljob()


@pytest.mark.parametrize("value", [1e20, 1e-7, 10**30, 0.1, True, None, "1.2.3", "a b"])
def test_arguments_keep_value_and_type(value) -> None:
    spec = EvalSpec.parse({"model": {"type": "hf", "pretrained": "m", "args": {"x": value}}, "tasks": ["arc_easy"]})
    back = read_lmevaljob(spec.to_lmevaljob()).spec.model.args["x"]
    assert (type(back), back) == (type(value), value)


def test_settings_that_the_crd_refuses_are_named_as_ours() -> None:
    spec = EvalSpec.parse({"model": {"type": "hf", "pretrained": "m"}, "tasks": ["arc_easy"]})
    outputs = {"oci": {"registry": {"name": "a", "key": "b"}, "repository": "a b"}}
    job = LMEvalJobSettings.parse({"outputs": outputs, "git_tasks": {"url": "http://plain"}})
    with pytest.raises(ManifestError) as error:
        spec.to_lmevaljob(job)
    assert [line.split(":")[0] for line in str(error.value).splitlines()] == [
        "lmevaljob.outputs",
        "lmevaljob.git_tasks",
    ]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"task_sources": [GIT_SOURCE | {"ref": "v2"}]}, "lmevaljob.git_tasks: names another source"),
        ({"offline": offline(path="other")}, "lmevaljob.offline.s3: says something else"),
        ({}, "lmevaljob.env_secrets.UNUSED"),
    ],
)
def test_settings_that_contradict_the_spec_are_named(changes, named) -> None:
    git = {"url": "https://example.com/a.git", "branch": "main", "commit": COMMIT}
    selectors = {name: {"name": "b", "key": name} for name in VARIABLES}
    job = read_lmevaljob(
        minimal(
            taskList={"taskNames": ["arc_easy"], "customTasks": {"source": {"git": git}}},
            offline={"storage": {"pvcName": "c", "s3": selectors | {"path": "models"}}},
        )
    )
    write_lmevaljob(job.spec, job.job)
    spec = EvalSpec.parse(job.spec.to_data() | changes)
    unused = {} if changes else {"env_secrets": {"UNUSED": {"name": "s", "key": "k"}}}
    with pytest.raises(ManifestError, match=named):
        write_lmevaljob(spec, LMEvalJobSettings.parse(job.job.to_data() | unused))
