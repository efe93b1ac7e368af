"""What an ``LMEvalJob`` means in our words, and what is said about one that cannot be right."""

from __future__ import annotations

import time
import warnings
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_lmeval.errors import ManifestError
from airflow_provider_lmeval.plan import Grants, check
from airflow_provider_lmeval.plan.batch import BatchRules
from airflow_provider_lmeval.plan.lmevaljob import (
    TranslationWarning,
    read_documents,
    read_lmevaljob,
    read_one,
    write_lmevaljob,
)  # fmt: skip
from airflow_provider_lmeval.plan.lmevaljob.schema import MAX_BYTES
from airflow_provider_lmeval.plan.lmevaljob.storage import VARIABLES
from airflow_provider_lmeval.spec import EvalSpec
from tests.support.lmevaljobs import COMMIT, DATA, TEXT, documents, manifest, minimal
from tests.support.recorded import exchanges

MODELS = (
    "hf, openai-completions, openai-chat-completions, local-completions, local-chat-completions, watsonx_llm, textsynth"
)
HEAD = "apiVersion: trustyai.opendatahub.io/v1alpha1\nkind: LMEvalJob\n"


def told(data: Any) -> str:
    with pytest.raises(ManifestError) as error:
        read_one(data) if isinstance(data, str) else read_lmevaljob(data)
    return str(error.value)


def test_a_job_without_a_batch_size_keeps_the_operators_defaults() -> None:
    spec = read_lmevaljob(minimal()).spec
    assert (spec.batch_size, spec.max_batch_size) == (8, 24)


def test_a_cluster_may_have_other_defaults() -> None:
    spec = read_lmevaljob(minimal(), batch=BatchRules(default=4, maximum=6)).spec
    assert (spec.batch_size, spec.max_batch_size) == (4, 6)


def test_a_batch_above_the_maximum_is_capped_with_a_warning_as_the_operator_does() -> None:
    found = read_lmevaljob(minimal(batchSize="32"))
    assert found.spec.batch_size == 24
    assert [str(warning) for warning in found.warnings] == [
        "spec.batchSize: 32 is above the operator's maximum; like there, 24 is taken"
    ]


def test_arguments_are_typed_as_lm_eval_types_them() -> None:
    pairs = {
        "pretrained": "123",
        "revision": "1e5",
        "trust_remote_code": "TRUE",
        "max_length": "600",
        "load_in_4bit": "False",
    }
    others = {"a": "0.5", "b": "12", "c": "None", "d": "no", "e": "-5", "f": "1-2", "g": ""}
    items = [{"name": name, "value": value} for name, value in (pairs | others).items()]
    model = read_lmevaljob(minimal(modelArgs=items)).spec.model
    assert (model.pretrained, model.revision) == ("123", "1e5")
    assert (model.trust_remote_code, model.max_length, model.load_in_4bit) == (True, 600, False)
    assert model.args == {"a": 0.5, "b": 12, "c": None, "d": "no", "e": -5.0, "f": "1-2", "g": ""}


def test_a_word_that_lm_eval_takes_for_text_is_no_boolean() -> None:
    items = [{"name": "pretrained", "value": "m"}, {"name": "load_in_4bit", "value": "no"}]
    assert "spec.modelArgs[1].value: lm-eval reads 'no' as text" in told(minimal(modelArgs=items))


def test_both_mistral_jobs_are_what_the_page_says() -> None:
    quantized, full = (read_lmevaljob(manifest(f"mistral-{name}")).spec for name in ("quantized", "full"))
    assert quantized.model.type == full.model.type == "local-completions"
    assert quantized.model.base_url == "https://mistral-quantized.apps.example.com/v1/completions"
    assert (quantized.model.num_concurrent, full.model.num_concurrent) == (1, 4)
    assert full.model.tokenizer == "mistralai/Mistral-Small-24B-Instruct-2501"
    assert (full.model.max_retries, full.model.timeout, full.model.tokenized_requests) == (5, 600, False)
    assert (full.tasks, full.limit, full.allow_online, full.allow_code_execution) == (
        ("arc_easy", "hellaswag"),
        100,
        True,
        True,
    )


@pytest.mark.parametrize(
    "name", ["mistral-quantized", "mistral-full", "inference-service", "offline", "offline-warm-up"]
)
def test_the_documents_jobs_pass_the_checks_that_every_spec_has_to(name) -> None:
    granted = Grants(online=True, code_execution=True, env=frozenset({"HF_TOKEN"}))
    assert [p for p in check(read_lmevaljob(manifest(name)).spec, granted) if p.level == "error"] == []


def test_the_offline_pair_shares_its_claim_also_in_our_own_pods() -> None:
    first, second = (read_lmevaljob(manifest(name)) for name in ("offline-warm-up", "offline"))
    assert first.pod.cache == second.pod.cache
    assert (second.pod.cache.claim, second.pod.cache.path) == ("lmeval-data", second.spec.env["HF_HOME"])
    assert second.pod.results.claim == "lmeval-results"
    assert (second.pod.gpu.count, second.pod.cpu, second.pod.memory) == (1, "2", "8Gi")
    assert first.pod.env_secrets["HF_TOKEN"].secret == "hugging-face"
    assert first.job.env_secrets["HF_TOKEN"].key == "token"
    assert (first.warnings, second.warnings) == ((), ())


def test_every_part_that_our_pods_have_no_equal_for_is_named_with_its_line() -> None:
    (document,) = documents("everything")
    found = read_lmevaljob(document.data, locate=document.locate)
    lines = (DATA / "everything.yaml").read_text().splitlines()
    named = {warning.field: lines[warning.line - 1] for warning in found.warnings}
    expected = {
        "spec.outputs.pvcName", "spec.outputs.oci",
        "spec.pod.container.env[2]", "spec.pod.container.env[3]", "spec.pod.container.env[4]",
        "spec.pod.container.resources.claims", "spec.pod.container.resources.limits.ephemeral-storage",
        "spec.pod.container.resources.requests.memory", "spec.pod.container.securityContext.readOnlyRootFilesystem",
        "spec.pod.container.volumeMounts[2]", "spec.pod.securityContext.seLinuxOptions", "spec.pod.sideCars",
        "spec.pod.volumes[3]", "spec.taskList.customTasks.source.git",
    }  # fmt: skip
    assert set(named) == expected
    pod = found.pod
    assert pod.affinity == document.data["spec"]["pod"]["affinity"]
    assert pod.queue_name == document.data["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]
    assert (pod.results.size, pod.results.retention) == (
        document.data["spec"]["outputs"]["pvcManaged"]["size"],
        "Retain",
    )
    for field, line in named.items():
        assert field.rpartition(".")[2].partition("[")[0] in line or "[" in field


def with_git(**git: str) -> Any:
    return minimal(taskList={"taskNames": ["mine"], "customTasks": {"source": {"git": git}}})


URL = "https://example.com/tasks.git"


@pytest.mark.parametrize(
    ("git", "ref", "path"),
    [
        ({"branch": "main", "path": "eval"}, "main", "eval"),
        ({"commit": COMMIT}, COMMIT, ""),
        ({"branch": "main", "commit": COMMIT, "path": "./eval/"}, COMMIT, "eval"),
        ({}, "HEAD", ""),
    ],
)
def test_custom_tasks_from_git_become_a_source_at_the_revision_the_operator_checks_out(git, ref, path) -> None:
    found = read_lmevaljob(with_git(url=URL, **git))
    (source,) = found.spec.task_sources
    assert (source.url, source.ref, source.path) == (URL, ref, path)
    plain = git in ({"branch": "main", "path": "eval"}, {"commit": COMMIT}, {})
    assert (found.job.git_tasks is None) == plain
    assert [warning.field for warning in found.warnings] == ["spec.taskList.customTasks.source.git"] * (not git)


@pytest.mark.parametrize(
    ("git", "named"),
    [
        ({"url": URL, "commit": "0a1b2c3"}, "commit '0a1b2c3' is abbreviated"),
        ({"url": URL, "branch": "-x"}, "ref"),
        ({"url": URL, "path": "../up"}, "path"),
        ({"url": "https:///x"}, "url"),
        ({"branch": "main"}, "names no repository"),
    ],
)
def test_a_repository_that_cannot_be_fetched_by_name_is_a_warning_and_stays_with_the_job(git, named) -> None:
    found = read_lmevaljob(with_git(**git))
    (warning,) = found.warnings
    assert (warning.field, named in warning.message) == ("spec.taskList.customTasks.source.git", True)
    assert found.spec.task_sources == ()
    assert write_lmevaljob(found.spec, found.job)["spec"]["taskList"]["customTasks"]["source"]["git"] == git


def with_bucket(pod: Any = None, **s3: Any) -> Any:
    selectors = {name: {"name": "minio", "key": name} for name in VARIABLES}
    storage = {"pvcName": "models", "s3": selectors | {"path": "models/qwen"} | s3}
    return minimal(offline={"storage": storage}, pod=pod)


def test_a_bucket_becomes_the_specs_with_its_secrets_by_reference() -> None:
    found = read_lmevaljob(with_bucket(verifySSL=False, caBundle={"name": "minio-ca", "key": "ca.crt"}))
    s3 = found.spec.offline.s3
    assert (found.spec.offline.cache, s3.path, s3.verify_ssl) == (found.pod.cache.path, "models/qwen", False)
    for ours, field in {"access_key_id": "accessKeyId", "bucket": "bucket", "endpoint": "endpoint"}.items():
        reference = getattr(s3, ours).env
        assert found.pod.env_secrets[reference].model_dump() == {"secret": "minio", "key": field}
    assert [bundle.config_map for bundle in found.pod.ca_bundles] == ["minio-ca"]
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (with_bucket(path="../up"), "path '../up' is none in a bucket"),
        (
            with_bucket(pod={"container": {"env": [{"name": "AWS_S3_ENDPOINT", "value": "x"}]}}),
            "sets AWS_S3_ENDPOINT as well",
        ),
    ],
)
def test_a_bucket_that_we_could_not_copy_is_a_warning_and_stays_with_the_job(data, named) -> None:
    found = read_lmevaljob(data)
    (warning,) = found.warnings
    assert (warning.field, named in warning.message) == ("spec.offline.storage.s3", True)
    assert found.spec.offline is None
    assert "AWS_S3_BUCKET" not in found.pod.env_secrets
    assert write_lmevaljob(found.spec, found.job)["spec"]["offline"] == data["spec"]["offline"]


def test_a_bucket_without_a_claim_needs_a_volume_of_ours() -> None:
    data = with_bucket()
    del data["spec"]["offline"]["storage"]["pvcName"]
    (warning,) = read_lmevaljob(data).warnings
    assert "set kubernetes.cache" in warning.message


def test_a_managed_claim_wins_over_a_named_one_and_needs_a_size() -> None:
    both = read_lmevaljob(minimal(outputs={"pvcManaged": {"size": "5Gi"}, "pvcName": "mine"}))
    assert (both.pod.results.size, both.pod.results.claim) == ("5Gi", None)
    assert [warning.field for warning in both.warnings] == ["spec.outputs.pvcName"]
    unsized = read_lmevaljob(minimal(outputs={"pvcManaged": {}}))
    assert unsized.pod.results is None
    assert [warning.field for warning in unsized.warnings] == ["spec.outputs.pvcManaged"]


def test_the_first_designs_plain_strings_are_read_with_a_warning_each() -> None:
    recipe = {"card": "cards.wnli", "template": "templates.a", "task": "tasks.b", "metrics": ["metrics.c"]}
    found = read_lmevaljob(minimal(taskList={"taskRecipes": [recipe]}))
    (read,) = found.spec.unitxt
    assert (read.card, read.template, read.task, read.metrics) == (
        "cards.wnli",
        "templates.a",
        "tasks.b",
        ("metrics.c",),
    )
    assert [w.field.rpartition(".")[2] for w in found.warnings] == ["card", "template", "task", "metrics"]
    assert write_lmevaljob(found.spec)["spec"]["taskList"]["taskRecipes"][0]["card"] == {"name": "cards.wnli"}


def test_recipes_that_would_share_a_name_get_names() -> None:
    recipes = [{"card": {"name": "cards.a"}, "format": f"formats.{n}"} for n in range(3)]
    spec = read_lmevaljob(minimal(taskList={"taskRecipes": recipes})).spec
    assert [recipe.task_name for recipe in spec.unitxt] == ["unitxt.a", "unitxt.a.2", "unitxt.a.3"]


def test_a_system_prompt_is_text_whatever_it_holds() -> None:
    text = 'Say "{no}" \\ and {"__type__": "x"}'
    custom = {"systemPrompts": [{"name": "system_prompts.mine", "value": text}]}
    recipe = {"card": {"name": "cards.a"}, "systemPrompt": {"ref": "system_prompts.mine"}}
    spec = read_lmevaljob(minimal(taskList={"taskRecipes": [recipe], "custom": custom})).spec
    assert spec.artifacts.system_prompts == {"system_prompts.mine": text}


def test_what_the_cluster_added_is_left_out_by_name() -> None:
    (created,) = [
        e["body"]
        for e in exchanges("lmevaljob")
        if e["status"] == 201 and e["request"]["body"]["metadata"]["name"] == "j1"
    ]
    found = read_lmevaljob(created | {"status": {"state": "Complete"}})
    assert {warning.field for warning in found.warnings} == {
        "metadata.creationTimestamp", "metadata.generation", "metadata.resourceVersion", "metadata.uid", "status",
    }  # fmt: skip
    assert (found.job.name, found.job.namespace) == ("j1", "rec")


def test_what_a_real_api_server_took_we_take_and_what_it_refused_we_refuse() -> None:
    for exchange in exchanges("lmevaljob"):
        if exchange["request"]["method"] != "POST":
            continue
        data = exchange["request"]["body"]
        if exchange["status"] == 201 and "unknownField" not in data["spec"]:
            assert read_lmevaljob(data).spec.model.name == "google/flan-t5-base"
        elif data["metadata"]["name"] != "b7":  # the first design's plain strings: we still read those
            causes = exchange["body"].get("details", {}).get("causes", [{"field": "spec.unknownField"}])
            assert all(cause["field"] in told(data) for cause in causes)


def test_nulls_are_fields_that_are_not_there() -> None:
    assert read_lmevaljob(minimal(limit=None, pod=None)).spec == read_lmevaljob(minimal()).spec


def test_a_spec_taken_alone_warns_of_everything_that_is_not_in_it() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spec = EvalSpec.from_lmevaljob((DATA / "mistral-full.yaml").read_text())
    assert spec.num_fewshot is None
    assert {w.category for w in caught} == {TranslationWarning}
    named = {str(w.message).split(":")[0].split(" ")[0] for w in caught}
    assert named == {"spec.outputs", "metadata.name", "metadata.namespace", "metadata.labels"}
    assert caught[0].filename == __file__


def test_problems_are_told_all_at_once_with_path_and_line() -> None:
    text = HEAD + (
        "spec:\n  model: vllm\n  modelArgs:\n  - name: pretrained\n    value: a=b\n  taskList:\n    taskName: [x]\n"
        "  limit: 10\n  numFewshot: 2\n  batchSize: 8\n"
    )
    assert sorted(told(text).splitlines()) == [
        'spec.batchSize (line 12): must be a string, found 8 (number); put it in quotes: "8"',
        'spec.limit (line 10): must be a string, found 10 (number); put it in quotes: "10"',
        f"spec.model (line 4): found 'vllm'; allowed are {MODELS}",
        r"spec.modelArgs[0].value (line 7): found 'a=b'; the CRD only takes what matches ^[a-zA-Z0-9._/:\- ]*$",
        "spec.numFewshot (line 11): is no field of LMEvalJob; did you mean numFewShot?",
        "spec.taskList.taskName (line 9): is no field of LMEvalJob; did you mean taskNames?",
    ]


RECIPE = {"card": {"name": "cards.a"}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"modelArgs": []}, "spec.modelArgs: model.pretrained"),
        ({"modelArgs": [{"name": "pretrained", "value": "m.bin"}]}, "spec.modelArgs[0]: model.pretrained"),
        ({"modelArgs": [{"name": "pretrained", "value": "m"}] * 2}, "spec.modelArgs[1].name: 'pretrained' is there twice"),
        ({"modelArgs": [{"name": "pretrained", "value": "m"}, {"name": "token", "value": "x"}]}, "spec.modelArgs[1]"),
        ({"modelArgs": [{"name": "pretrained", "value": "m"}, {"name": "x", "value": "nan"}]}, "spec.modelArgs[1].value"),
        ({"genArgs": [{"name": "a", "value": "inf"}]}, "spec.genArgs[0].value"),
        ({"genArgs": [{"name": "a", "value": "1"}] * 2}, "spec.genArgs[1].name"),
        ({"taskList": {}}, "spec.taskList: tasks: nothing to evaluate"),
        ({"taskList": {"taskNames": ["a", "a"]}}, "spec.taskList.taskNames[1]: tasks[1]"),
        ({"taskList": {"taskRecipes": [{"card": {}}]}}, "taskRecipes[0].card: needs either name or custom"),
        ({"taskList": {"taskRecipes": [{"card": {"custom": "{"}}]}}, "taskRecipes[0].card.custom: is no valid JSON"),
        ({"taskList": {"taskRecipes": [{"card": {"custom": "[" * 9999}}]}}, "taskRecipes[0].card.custom: is no valid JSON"),
        ({"taskList": {"taskRecipes": [{"card": {"custom": '{"a": 1e999}'}}]}}, "taskRecipes[0].card.custom"),
        ({"taskList": {"taskRecipes": [{"card": {"custom": '{"a": 1, "a": 2}'}}]}}, "the key 'a' twice"),
        ({"taskList": {"taskRecipes": [{"card": {"custom": "[1]"}}]}}, "must be the JSON of an artifact"),
        ({"taskList": {"taskRecipes": [RECIPE | {"template": {"ref": "x"}}]}}, "taskRecipes[0].template.ref: 'x' is not"),
        ({"taskList": {"taskRecipes": [RECIPE | {"template": {"name": "x", "ref": "x"}}]}}, "taskRecipes[0].template"),
        ({"taskList": {"taskRecipes": [RECIPE | {"numDemos": 3}]}}, "taskRecipes[0]"),
        ({"taskList": {"taskRecipes": [RECIPE | {"loaderLimit": 0}]}}, "taskRecipes[0].loaderLimit"),
        ({"taskList": {"taskRecipes": [RECIPE | {"format": "../x"}]}}, "taskRecipes[0].format"),
        ({"numFewShot": -1}, "spec.numFewShot: num_fewshot"),
        ({"limit": "0"}, "spec.limit: limit"),
        ({"limit": "9" * 4000}, "spec.limit: found a number of 4000 digits"),
        ({"limit": "9" * 1_000_000 + "x"}, "spec.limit: found 1,000,001 characters"),
        ({"limit": "1\n"}, "spec.limit: found '1\\n'"),
        ({"limit": "\u0661"}, "spec.limit: found '\u0661'"),
        ({"batchSize": "many"}, "spec.batchSize: found 'many'"),
        ({"model": "local-chat-completions", "modelArgs": [{"name": "model", "value": "m"},
          {"name": "base_url", "value": "http://h/v1/chat/completions"}]}, "spec.chatTemplate: apply_chat_template"),
        ({"model": "local-completions", "modelArgs": [{"name": "model", "value": "m"},
          {"name": "base_url", "value": "http://h/v1"}]}, "spec.modelArgs[1]: model.base_url"),
        ({"pod": {"container": {"env": [{"name": "API_KEY", "value": "s3cr3t"}]}}}, "env[0].value: API_KEY looks like"),
        ({"pod": {"container": {"env": [{"name": "A"}, {"name": "A"}]}}}, "env[1].name: 'A' is there twice"),
        ({"pod": {"volumes": [{"name": "a", "emptydir": {}}]}}, "spec.pod.volumes[0].emptydir: is no field"),
        ({"systemInstruction": "a\x00b"}, "spec.systemInstruction: system_instruction: contains a NUL"),
        ({"suspend": "yes"}, "spec.suspend: must be a boolean"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_an_error_that_names_its_path(spec, expected) -> None:
    message = told(minimal(**spec))
    assert expected in message
    assert "s3cr3t" not in message


@pytest.mark.parametrize("name", ["templates", "metrics", "tasks"])
def test_a_custom_artifact_is_json_with_a_type(name) -> None:
    custom = {name: [{"name": "mine", "value": "{}"}]}
    assert f"spec.taskList.custom.{name}[0].value: " in told(minimal(taskList={"taskNames": ["a"], "custom": custom}))


def test_one_name_cannot_stand_for_two_artifacts() -> None:
    item = {"name": "mine", "value": '{"__type__": "x"}'}
    custom = {"templates": [item], "metrics": [item]}
    assert "custom.metrics[0].name: 'mine' is there twice" in told(
        minimal(taskList={"taskNames": ["a"], "custom": custom})
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: Pod\n", "holds 0 LMEvalJobs"),
        (
            HEAD.replace("v1alpha1", "v1beta1") + "spec: {}\n",
            "apiVersion (line 1): must be trustyai.opendatahub.io/v1alpha1, ",
        ),
        (HEAD, "spec (line 1): is missing"),
        (HEAD + "spec: 5\n", "spec (line 3): must be an object"),
        (HEAD + "spec: [\n", "line 4: no valid YAML"),
        (HEAD + "spec: {model: hf, model: vllm}\n", "line 3: the key 'model' is twice"),
        (HEAD + "spec: &a {b: 1}\nc: *a\n", "line 4: the alias *a"),
        (HEAD + "spec: " + "[" * 100 + "\n", "line 3: a document deeper than 64"),
        (HEAD + "a: [" + "1," * 200_000 + "]\n", "line 3: a document with more than"),
        (HEAD + "spec: {1: 2}\n", "spec (line 3): has the key 1"),
        (HEAD + "spec: {a: 2026-01-01}\n", "spec.a (line 3): found datetime.date(2026, 1, 1)"),
        (HEAD + "spec: {a: .nan}\n", "spec.a (line 3): found nan"),
        (HEAD + "spec: !!python/object:os.system {}\n", "no valid YAML"),
        (HEAD + "metadata: {name: 5}\nspec: {model: hf, taskList: {}}\n", "metadata.name (line 3): found 5"),
        (
            HEAD + "metadata: {labels: {a: 5}}\nspec: {model: hf, taskList: {}}\n",
            "metadata.labels.a (line 3): must be a string",
        ),
        (HEAD + "\x07", "no valid YAML"),
    ],
)
def test_a_malformed_text_is_an_error_with_the_line(text, expected) -> None:
    assert expected in told(text)


def test_a_manifest_that_kubernetes_would_not_keep_is_refused() -> None:
    assert f"more than {MAX_BYTES:,} characters" in told(minimal(systemInstruction="x" * (MAX_BYTES + 1)))


def test_a_stream_of_several_kinds_holds_two_jobs_with_their_own_lines() -> None:
    found = read_documents((DATA / "kustomize.yaml").read_text())
    assert [document.kind for document in found] == ["Namespace", "LMEvalJob", "LMEvalJob"]
    assert [document.locate(("spec", "model")) for document in found[1:]] == [13, 29]


MANY = 30_000


@pytest.mark.parametrize(
    "spec",
    [
        {"taskList": {"taskNames": [f"task_{n}" for n in range(MANY)]}},
        {"taskList": {"taskNames": [{}] * MANY}},
        {"taskList": {"taskNames": ["a b"] * MANY}},
        {f"field{n}": n for n in range(MANY)},
        {"numFewShot": -1, "genArgs": [{"name": f"a{n}", "value": "1"} for n in range(MANY // 3)]},
        {"pod": {"container": {"env": [{"name": f"PASSWORD{n}_TOKEN", "value": "x"} for n in range(MANY // 3)]}}},
    ],
)
def test_a_manifest_with_very_many_parts_is_answered_at_once(spec) -> None:
    started = time.process_time()
    with suppress(ManifestError):
        assert len(read_lmevaljob(minimal(**spec)).spec.tasks) == MANY
    assert time.process_time() - started < 5


def test_recipes_get_names_that_no_other_recipe_has() -> None:
    cards = ["cards.a", "cards.a", "cards.a.2", "cards.a"]
    spec = read_lmevaljob(minimal(taskList={"taskRecipes": [{"card": {"name": name}} for name in cards]})).spec
    names = [recipe.task_name for recipe in spec.unitxt]
    assert names == ["unitxt.a", "unitxt.a.2", "unitxt.a.2.2", "unitxt.a.3"]


KEYS = st.sampled_from(["kind", "spec", "metadata", "model", "taskList", "pod"]) | TEXT
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT


@settings(max_examples=300, deadline=None)
@given(data=st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)))
def test_whatever_is_given_the_answer_is_a_spec_or_an_error_of_ours(data) -> None:
    near = minimal(**data) if isinstance(data, dict) else minimal(pod=data)
    for value in (data, near, minimal() | {"metadata": data}):
        with suppress(ManifestError):
            assert read_lmevaljob(value).spec.tasks


@settings(max_examples=200, deadline=None)
@given(text=st.text("{}[]:,-&*!|>'\"#% \nabk:", max_size=60))
def test_whatever_text_is_given_the_answer_is_documents_or_an_error_of_ours(text) -> None:
    with suppress(ManifestError):
        assert all(document.kind for document in read_documents(text))
