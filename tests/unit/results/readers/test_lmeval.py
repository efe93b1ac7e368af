"""The files of a plain ``lm-eval run``, read as evidence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.errors import DamagedResultError, ResultNotFoundError
from airflow_provider_lmeval.store.evidence import read_evidence
from tests.support.foreign import DATA, sample, samples, write_output, write_samples

LATER = "2026-03-02T12-00-00.000001"


@pytest.fixture(scope="module")
def stored():
    return read_evidence(str(DATA / "lm_eval"))


def test_the_run_is_one_that_succeeded_and_says_what_was_evaluated(stored):
    result = stored.result

    assert result.succeeded
    assert (result.model.name, result.model.identity, result.model.dtype) == ("org/model", "c0ffee", "float32")
    assert result.versions["lm_eval"] == "0.4.13"
    assert (result.timings.started, result.timings.seconds) == (1.7e9, 12.5)


def test_every_task_has_its_scores_with_number_and_direction(stored):
    result = stored.result

    assert set(result.tasks) == {"quiz_a", "quiz_b", "sums", "pages", "quiz"}
    assert result.metric("sums", "exact_match,flexible").n == 3
    assert result.metric("pages", "word_perplexity").higher_is_better is False
    assert result.metric("pages", "word_perplexity").stderr is None, "N/A is no number"
    assert result.leaves("quiz") == ("quiz_a", "quiz_b")
    assert result.task("quiz").n_samples.effective == 10
    assert result.metric("quiz", "acc").n == 10


def test_rows_of_all_filters_carry_the_scores_of_their_own(stored):
    rows = list(stored.scores("sums"))

    assert [(row.doc_id, row.filter, row.metrics["exact_match"]) for row in rows] == [
        (0, "strict", 0.0), (1, "strict", 0.0), (2, "strict", 0.0),
        (0, "flexible", 0.0), (1, "flexible", 1.0), (2, "flexible", 1.0),
    ]  # fmt: skip


def test_log_likelihoods_are_numbers_and_a_generated_number_is_none(stored):
    assert next(iter(stored.scores("quiz_a"))).loglikelihoods == (-2.25, -0.5)
    assert next(iter(stored.scores("pages"))).loglikelihoods == (-10.5,)
    assert {row.loglikelihoods for row in stored.scores("sums")} == {None}, "the answer 42 is a text"


def test_a_group_and_an_unknown_task_have_no_score_table(stored):
    assert stored.scores("quiz") is None
    assert stored.scores("nothing") is None


def test_a_task_s_fingerprint_knows_documents_but_not_the_data_set_s_fingerprint(stored):
    print_ = stored.result.fingerprint.tasks["sums"]

    assert print_.filters == ("flexible", "strict")
    assert print_.generation_kwargs
    assert {"documents", "targets", "prompts"} <= print_.model_fields_set
    assert "fingerprint" not in print_.dataset.model_fields_set


def test_without_samples_documents_are_unknown_and_not_null(tmp_path):
    path = write_output(tmp_path, {"quiz": samples(5)})
    for file in path.parent.glob("samples_*"):
        file.unlink()

    found = read_evidence(str(tmp_path))

    assert found.scores("quiz") is None
    assert "documents" not in found.result.fingerprint.tasks["quiz"].model_fields_set
    assert found.result.metric("quiz", "acc").n == 5


def test_the_order_of_samples_makes_no_difference_to_the_fingerprint(tmp_path):
    forward, backward = samples(5), samples(5)[::-1]
    write_output(tmp_path / "a", {"quiz": forward})
    write_output(tmp_path / "b", {"quiz": backward})

    one, other = (read_evidence(str(tmp_path / side)).result.fingerprint.tasks["quiz"] for side in "ab")

    assert (one.documents, one.targets, one.prompts) == (other.documents, other.targets, other.prompts)


@pytest.mark.parametrize(
    ("config", "known"),
    [({"limit": None}, True), ({"limit": 3}, True), ({"limit": 0.5}, True)],
)
def test_a_limit_is_told_and_excludes_chosen_samples(tmp_path, config, known):
    write_output(tmp_path, {"quiz": samples(3)}, **config)

    found = read_evidence(str(tmp_path)).result

    assert found.config["limit"] == found.fingerprint.limit == config["limit"]
    assert ("samples" in found.fingerprint.model_fields_set) is known


def test_fewer_documents_without_a_limit_leave_open_which_were_chosen(tmp_path):
    path = write_output(tmp_path, {"quiz": samples(3)})
    data = json.loads(path.read_text())
    data["n-samples"]["quiz"]["original"] = 100
    path.write_text(json.dumps(data))

    assert "samples" not in read_evidence(str(tmp_path)).result.fingerprint.model_fields_set


@pytest.mark.parametrize(
    ("args", "more", "identity"),
    [
        ({"pretrained": "org/model"}, {"model_sha": "c0ffee"}, "c0ffee"),
        ({"pretrained": "/models/mine"}, {"model_sha": ""}, None),
        ({"pretrained": "org/model", "peft": "org/lora"}, {"model_sha": "c0ffee"}, None),
        ({"pretrained": "org/model", "delta": "org/delta"}, {"model_sha": "c0ffee"}, None),
    ],
)
def test_a_model_is_known_by_its_commit_and_by_nothing_less(tmp_path, args, more, identity):
    write_output(tmp_path, {"quiz": samples(3)}, model_args=args, **more)

    assert read_evidence(str(tmp_path)).result.model.identity == identity


def test_an_adapter_is_part_of_the_identity(tmp_path):
    args = {"pretrained": "org/model", "peft": "org/lora"}
    write_output(tmp_path, {"quiz": samples(3)}, model_args=args, peft_sha="beef")

    assert read_evidence(str(tmp_path)).result.model.identity.startswith("sha256:")


def test_secrets_among_the_model_arguments_are_not_kept(tmp_path):
    args = {"pretrained": "org/model", "api_key": "hush", "auth_token": "hush", "tokenizer": "org/tok"}
    write_output(tmp_path, {"quiz": samples(3)}, model_args=args)

    found = read_evidence(str(tmp_path)).result

    assert "hush" not in json.dumps(found.to_data())
    assert found.model.args["tokenizer"] == "org/tok"


def test_arguments_of_older_releases_are_text(tmp_path):
    write_output(tmp_path, {"quiz": samples(3)}, model_args="pretrained=org/model,dtype=float32")

    assert read_evidence(str(tmp_path)).result.model.args == {"pretrained": "org/model", "dtype": "float32"}


def test_unitxt_s_directions_are_not_believed(tmp_path):
    path = write_output(tmp_path, {"quiz": samples(3)})
    data = json.loads(path.read_text())
    del data["configs"]["quiz"]["dataset_path"]
    data["configs"]["quiz"]["dataset_name"] = "card=cards.wnli,template=templates.x"
    path.write_text(json.dumps(data))

    assert read_evidence(str(tmp_path)).result.metric("quiz", "acc").higher_is_better is None


def test_nan_is_no_score(tmp_path):
    path = write_output(tmp_path, {"quiz": samples(3)})
    path.write_text(path.read_text().replace('"acc,none": 1.0', '"acc,none": NaN'))

    assert read_evidence(str(tmp_path)).result.metric("quiz", "acc").value is None


def test_unicode_in_samples_is_read(tmp_path):
    write_output(tmp_path / "ü ☃", {"quiz": [sample(0, doc={"q": "Größe? 日本 \u2028"}), sample(1)]})

    assert len(list(read_evidence(str(tmp_path / "ü ☃")).scores("quiz"))) == 2


# --- several calls in one place


def test_one_results_file_can_be_asked_for(tmp_path):
    path = write_output(tmp_path, {"quiz": samples(4)})
    write_output(tmp_path, {"quiz": samples(4, wrong=4)}, time=LATER)

    found = read_evidence(str(path))

    assert found.result.metric("quiz", "acc").value == 1.0
    assert [row.metrics["acc"] for row in found.scores("quiz")] == [1.0] * 4


def test_a_task_evaluated_again_counts_as_it_is_now_and_that_is_told(tmp_path):
    write_output(tmp_path, {"quiz": samples(4)})
    write_output(tmp_path, {"quiz": samples(4, wrong=4)}, time=LATER)

    found = read_evidence(str(tmp_path))

    assert found.result.metric("quiz", "acc").value == 0.0
    assert [row.metrics["acc"] for row in found.scores("quiz")] == [0.0] * 4
    assert len(found.notes) == 1


def test_tasks_of_two_calls_belong_together_if_the_weights_are_known_to_be_the_same(tmp_path):
    write_output(tmp_path, {"old": samples(4, name="old")})
    write_output(tmp_path, {"new": samples(4, name="new")}, time=LATER)

    found = read_evidence(str(tmp_path))

    assert set(found.result.tasks) == set(found.result.fingerprint.tasks) == {"old", "new"}
    assert all(len(list(found.scores(task))) == 4 for task in ("old", "new"))
    assert found.notes == ()


def test_scores_of_weights_that_may_have_changed_since_are_left_out(tmp_path):
    write_output(tmp_path, {"old": samples(4)}, model_sha="")
    write_output(tmp_path, {"new": samples(4)}, time=LATER, model_sha="")

    found = read_evidence(str(tmp_path))

    assert set(found.result.tasks) == {"new"}
    assert "left out" in found.notes[0]


@pytest.mark.parametrize("change", [{"limit": 4}, {"fewshot_seed": 5}, {"model_sha": "beef"}])
def test_a_call_with_other_settings_is_another_evaluation(tmp_path, change):
    write_output(tmp_path, {"old": samples(4)}, **change)
    write_output(tmp_path, {"new": samples(4)}, time=LATER)

    assert set(read_evidence(str(tmp_path)).result.tasks) == {"new"}


def test_two_models_in_one_place_are_ambiguous(tmp_path):
    write_output(tmp_path, {"quiz": samples(4)})
    write_output(tmp_path, {"quiz": samples(4)}, model="org__other", model_args={"pretrained": "org/other"})

    with pytest.raises(DamagedResultError, match="several evaluations"):
        read_evidence(str(tmp_path))


def test_directories_of_a_launcher_with_a_task_each_are_one_evaluation(tmp_path):
    write_output(tmp_path / "one", {"one": samples(4)}, model_sha="")
    write_output(tmp_path / "two", {"two": samples(4)}, model_sha="", time=LATER)

    assert set(read_evidence(str(tmp_path)).result.tasks) == {"one", "two"}


# --- damage


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def samples_file(place: Path) -> Path:
    return next(place.glob("*/samples_*.jsonl"))


def test_missing_samples_rows_are_noticed(tmp_path):
    write_output(tmp_path, {"quiz": samples(5)})
    write_samples(samples_file(tmp_path), samples(4))

    with pytest.raises(DamagedResultError, match="task_hash"):
        read_evidence(str(tmp_path))


def test_samples_of_another_call_are_noticed(tmp_path):
    write_output(tmp_path, {"quiz": samples(5)})
    write_samples(samples_file(tmp_path), samples(5, name="other"))

    with pytest.raises(DamagedResultError, match="task_hash"):
        read_evidence(str(tmp_path))


@pytest.mark.parametrize("field", ["doc_id", "doc_hash", "prompt_hash", "target_hash", "metrics", "resps"])
def test_a_samples_row_without_a_field_is_damaged_and_numbered(tmp_path, field):
    write_output(tmp_path, {"quiz": samples(3)})
    rows = samples(3)
    del rows[1][field]
    write_samples(samples_file(tmp_path), rows)

    with pytest.raises(DamagedResultError, match=f"line 2: {field}"):
        read_evidence(str(tmp_path))


def test_an_empty_samples_file_is_damage(tmp_path):
    write_output(tmp_path, {"quiz": samples(3)})
    samples_file(tmp_path).write_text("")

    with pytest.raises(DamagedResultError, match="is empty"):
        read_evidence(str(tmp_path))


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"results": {}}', '{"results": [], "configs": {}}'])
def test_what_is_no_result_of_lm_eval_is_refused(tmp_path, content):
    write_output(tmp_path, {"quiz": samples(3)}).write_text(content)

    with pytest.raises(DamagedResultError):
        read_evidence(str(tmp_path))


def test_a_place_with_nothing_known_says_what_would_be(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")

    with pytest.raises(DamagedResultError, match=r"results_<time>\.json.*NeMo.*EvalHub"):
        read_evidence(str(tmp_path))
    with pytest.raises(ResultNotFoundError):
        read_evidence(str(tmp_path / "missing"))


@given(st.data())
def test_a_truncated_file_is_never_read_as_less(tmp_path_factory, data):
    place = tmp_path_factory.mktemp("cut")
    results = write_output(place, {"quiz": samples(3, wrong=1)})
    file = data.draw(st.sampled_from([results, samples_file(place)]))
    raw = file.read_bytes()
    file.write_bytes(raw[: data.draw(st.integers(0, len(raw.rstrip()) - 1))])

    with pytest.raises(DamagedResultError):
        read_evidence(str(place))
