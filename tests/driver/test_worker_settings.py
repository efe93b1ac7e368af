"""Settings that mean something else to lm-eval than they say."""

import pytest

from airflow_provider_lmeval.driver.worker.settings import settings_of
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import EVALUATE_KEYS


def refusal(**evaluate):
    with pytest.raises(RunFailedError) as refused:
        settings_of(evaluate)
    assert refused.value.cause == "bad_spec"
    return str(refused.value)


def test_every_key_of_the_protocol_is_a_setting():
    assert settings_of({key: None for key in EVALUATE_KEYS if key != "limit"})


def test_defaults_are_those_of_the_command_line():
    settings = settings_of({})

    assert settings.seeds == [0, 1234, 1234, 1234]
    assert settings.batch_size is None  # the device's
    assert settings.bootstrap_iters == 1000


@pytest.mark.parametrize("limit", [0, 0.0, -1, float("nan"), "5", True])
def test_a_limit_that_would_evaluate_everything_is_refused(limit):
    assert refusal(limit=limit).startswith("limit: ")


@pytest.mark.parametrize("limit", [1, 0.5, 100, None])
def test_a_limit_in_documents_or_as_a_share(limit):
    assert settings_of({"limit": limit}).limit == limit


@pytest.mark.parametrize("indices", [[], ["1"], [-1], [True]])
def test_samples_that_lm_eval_would_misread_are_refused(indices):
    assert "samples['t']" in refusal(samples={"t": indices})


def test_samples_are_put_in_order_because_lm_eval_labels_them_by_position():
    assert settings_of({"samples": {"t": [5, 1, 5, 3]}}).samples == {"t": [1, 3, 5]}


def test_samples_and_limit_exclude_each_other():
    assert "exclude" in refusal(samples={"t": [1]}, limit=3)


def test_an_unknown_setting_is_named():
    assert "'batchsize'" in refusal(batchsize=3) or "batchsize" in refusal(batchsize=3)


@pytest.mark.parametrize(("chat", "expected"), [(True, True), ("name", True), (False, False)])
def test_a_chat_template_means_turns_unless_said_otherwise(chat, expected):
    assert settings_of({"apply_chat_template": chat}).fewshot_as_multiturn is expected
    assert settings_of({"apply_chat_template": chat, "fewshot_as_multiturn": False}).fewshot_as_multiturn is False


def test_turns_without_a_chat_template_are_refused():
    assert "apply_chat_template" in refusal(fewshot_as_multiturn=True)


def test_answers_without_scores_are_kept_as_samples():
    assert settings_of({"predict_only": True}).log_samples


def test_what_leaves_scores_alone_does_not_decide_them():
    assert settings_of({"use_cache": "/a"}).deciding() == settings_of({"use_cache": "/b"}).deciding()
    assert settings_of({"limit": 3}).deciding() != settings_of({"limit": 4}).deciding()


def test_a_smaller_batch_after_running_out_of_memory_keeps_what_was_finished():
    assert settings_of({"batch_size": 32}).deciding() == settings_of({"batch_size": 16}).deciding()
