"""What a spec accepts and refuses, and that every refusal says what to do."""

from __future__ import annotations

import pytest

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.spec import EvalSpec, HFModel

HF = {"type": "hf", "pretrained": "/models/candidate"}
COMPLETIONS = {"type": "local-completions", "model": "m", "base_url": "http://predictor:8080/v1/completions"}
CHAT = {"type": "local-chat-completions", "model": "m", "base_url": "http://predictor:8080/v1/chat/completions"}


def spec(**fields: object) -> EvalSpec:
    return EvalSpec.parse({"model": HF, "tasks": ["arc_easy"]} | fields)


def test_a_spec_survives_its_own_data() -> None:
    original = spec(limit=0.5, seed=(1, None, 3, 4), env={"A": "b", "T": {"env": "HF_TOKEN"}}, batch_size="auto:4")
    assert EvalSpec.parse(original.to_data()) == original


def test_tasks_may_be_written_with_commas() -> None:
    assert spec(tasks="arc_easy, hellaswag").tasks == ("arc_easy", "hellaswag")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"limit": 5, "samples": {"arc_easy": [1]}}, "exclude each other"),
        ({"limit": 0}, "limit"),
        ({"limit": -1}, "limit"),
        ({"limit": float("nan")}, "limit"),
        ({"samples": {"arc_easy": []}}, "takes for 'all'"),
        ({"samples": {"arc_easy": [3, 1]}}, "ascending"),
        ({"tasks": []}, "nothing to evaluate"),
        ({"tasks": ["a", "a"]}, "twice"),
        ({"tasks": [" "]}, "needs a name"),
        ({"tasks": [{"dataset_path": "json"}]}, "needs a name under 'task'"),
        ({"tasks": ["a\x00b"]}, "NUL"),
        ({"system_instruction": "\ud800"}, "surrogate"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": "auto:0"}, "batch_size"),
        ({"batch_size": 64, "max_batch_size": 8}, "above max_batch_size"),
        ({"fewshot_as_multiturn": True}, "apply_chat_template: true"),
        ({"num_fewshot": -1}, "num_fewshot"),
        ({"seed": [1, 2]}, "seed"),
        ({"device": "cuda;reboot"}, "device"),
        ({"env": {"MY_TOKEN": "hunter2"}}, "looks like a credential"),
        ({"env": {"NOT VALID": "x"}}, "env"),
        ({"nmu_fewshot": 3}, "nmu_fewshot: there is no such field; did you mean num_fewshot"),
        ({"zzz": 3}, "zzz: there is no such field; there are allow_code_execution, allow_online"),
        (
            {"model": {"type": "hf", "pretraned": "x"}},
            "model.pretraned: there is no such field; did you mean pretrained",
        ),
        ({"model": {"type": "hf"}}, "model.pretrained: is required, and missing"),
        ({"model": {"type": "hff", "pretrained": "x"}}, "model.pretrained: only these types have fields: hf, vllm, "),
        ({"offline": {"cahce": "/models"}}, "offline.cahce: there is no such field; did you mean cache"),
        ({"task_sources": [{"type": "gti"}]}, "task_sources.0: `type` says what it is, one of 'git', 'directory'"),
        ({"task_sources": [{"url": "x"}]}, "task_sources.0: `type` says what it is, one of 'config_map', 'directory'"),
        ({"model": {"pretrained": "x"}}, "'type' is missing"),
        ({"model": HF | {"pretrained": "out/model.pt"}}, "save_pretrained()"),
        ({"model": HF | {"peft": "a", "delta": "b"}}, "exclude each other"),
        ({"model": HF | {"load_in_4bit": True, "load_in_8bit": True}}, "exclude each other"),
        ({"model": HF | {"args": {"token": "s3cret"}}}, "{'env': 'NAME_OF_VARIABLE'}"),
        ({"model": HF | {"args": {"dtype": "auto"}}}, "set model.dtype instead"),
        ({"model": HF | {"args": {"batch_size": 4}}}, "set batch_size instead"),
        ({"model": COMPLETIONS | {"base_url": "http://predictor:8080"}}, "/v1/completions"),
        (
            {"model": COMPLETIONS | {"base_url": "http://predictor:8080/v1"}},
            "for example http://predictor:8080/v1/completions",
        ),
        ({"model": COMPLETIONS | {"base_url": CHAT["base_url"]}}, "local-chat-completions"),
        ({"model": COMPLETIONS | {"base_url": "http://u:p@h/v1/completions"}}, "user name or password"),
        ({"model": COMPLETIONS | {"base_url": "predictor/v1/completions"}}, "not an http(s) URL"),
        ({"model": CHAT | {"base_url": COMPLETIONS["base_url"]}, "apply_chat_template": True}, "local-completions"),
        ({"model": CHAT}, "set apply_chat_template: true"),
        ({"model": COMPLETIONS | {"digest": "v2"}}, "digest"),
        ({"model": HF | {"digest": f"sha256:{'0' * 64}"}}, "digest"),
        ({"model": COMPLETIONS | {"header": {"Authorization": "Bearer x"}}}, "credentials are not written"),
        ({"model": {"type": "watsonx_llm"}}, "either model_id or deployment_id"),
        ({"unitxt": [{"card": "cards.wnli", "num_demos": 2}]}, "demos_pool_size"),
        ({"unitxt": [{"card": "../../etc/passwd"}]}, "card"),
        ({"artifacts": {"cards": {"cards.mine": {"loader": 1}}}}, "__type__"),
        (
            {"artifacts": {"cards": {"cards.mine": {"__type__": "task_card", "x": "y" * 1_000_001}}}},
            "limit is 1,000,000",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_with_a_remedy(fields: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=r"(?s).+") as caught:
        spec(**fields)
    assert words in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        spec(limit=0, num_fewshot=-2, unheard_of=1)
    assert {line.split(":")[0] for line in str(caught.value).splitlines()} == {"limit", "num_fewshot", "unheard_of"}


def test_any_json_value_reaches_lm_eval_as_it_is() -> None:
    hostile = {"a": 'x,y=z {"q": "\'"} ]', "b": [1, {"c": None}], "d": "line\nbreak; $(reboot) ../.."}
    parsed = spec(model={"type": "sglang", "args": hostile})
    assert parsed.model.lm_eval_args() == hostile


def test_only_what_is_set_is_passed_on() -> None:
    assert HFModel(pretrained="m", dtype="float32").lm_eval_args() == {"pretrained": "m", "dtype": "float32"}


def test_a_known_type_cannot_be_smuggled_in_as_another() -> None:
    with pytest.raises(SpecError, match="pretrained"):
        spec(model={"type": "hf", "args": {"pretrained": "m"}})


def test_content_hash_sees_what_counts_and_nothing_else() -> None:
    assert spec().content_hash == spec(limit=None, log_samples=False).content_hash
    assert spec().content_hash != spec(num_fewshot=5).content_hash
    assert (
        spec(model={"type": "a-type", "args": {"x": 1}}).content_hash
        != spec(model={"type": "b-type", "args": {"x": 1}}).content_hash
    )
    assert spec().content_hash == "e2bc624b811c4154947d9826d978998b959391df6233bbe98b3483091bdb096e"


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        spec().limit = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "text", ["", "- a", "model: [", "model: hf", "!!python/object/apply:os.system ['true']", "a: b: c"]
)
def test_yaml_that_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        EvalSpec.from_yaml(text)


def test_json_is_read_as_json() -> None:
    text = r'{"model": {"type": "hf", "pretrained": "/m"}, "tasks": ["arc_easy"], "system_instruction": "\ud83d\ude00"}'
    assert EvalSpec.from_yaml(text).system_instruction == "\N{GRINNING FACE}"


def test_a_served_models_digest_is_declared_and_no_argument_of_lm_eval() -> None:
    declared = spec(model=COMPLETIONS | {"digest": f"sha256:{'0' * 64}"})
    assert declared.model.lm_eval_args() == spec(model=COMPLETIONS).model.lm_eval_args()
    assert declared.content_hash != spec(model=COMPLETIONS).content_hash
    assert EvalSpec.parse(declared.to_data()) == declared


def test_a_file_that_cannot_be_read_is_named(tmp_path) -> None:
    with pytest.raises(SpecError, match=r"missing\.yaml"):
        EvalSpec.from_file(tmp_path / "missing.yaml")


def test_every_field_is_documented() -> None:
    schema = EvalSpec.model_json_schema()
    models = [definition for definition in schema["$defs"].values() if "properties" in definition]
    undocumented = [
        f"{model.get('title', 'EvalSpec')}.{name}"
        for model in [schema, *models]
        for name, field in model["properties"].items()
        if not field.get("description")
    ]
    assert undocumented == []
