"""A worker may be killed at any moment: the next one in the same run directory does what is missing, and only that."""

import pytest

from tests.support.tiny import tiny_model, untrained_model
from tests.support.worker import evaluate, start, tiny_request

pytestmark = pytest.mark.driver

TASKS = ("tiny_group", "tiny_mc", "tiny_gen")
LEAVES = ["tiny_group_a", "tiny_group_b", "tiny_mc", "tiny_gen"]


def point(link, target):
    link.unlink(missing_ok=True)
    link.symlink_to(target)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    link = tmp_path_factory.mktemp("models") / "current"
    point(link, tiny_model())
    return link


def request(checkpoint):
    chat = {"apply_chat_template": True}
    return tiny_request(*TASKS, model_args={"pretrained": str(checkpoint)}, evaluate=chat)


def ended(task):
    return lambda event: event == {"event": "task", "task": task}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, checkpoint):
    return evaluate(tmp_path_factory.mktemp("uninterrupted"), request(checkpoint))


@pytest.fixture(scope="module")
def killed(tmp_path_factory, checkpoint):
    worker = start(tmp_path_factory.mktemp("killed"), request(checkpoint))
    worker.wait_for(ended("tiny_group_a"))
    worker.kill()
    return worker


@pytest.fixture(scope="module")
def resumed(killed, checkpoint):
    return evaluate(killed.run.root, request(checkpoint))


def test_only_what_is_missing_is_evaluated(killed, resumed):
    assert resumed.evaluated
    assert killed.evaluated + resumed.evaluated == LEAVES


def test_progress_counts_the_tasks_of_the_first_attempt(killed, resumed):
    progress = [event for event in resumed.events if event["event"] == "progress"]

    assert progress[0]["tasks_done"] == len(killed.evaluated)
    assert {event["tasks_total"] for event in progress} == {4}


def test_a_resumed_run_ends_with_the_results_of_one_that_was_never_interrupted(uninterrupted, resumed):
    def without_time(evaluation):
        return {name: {**task, "seconds": None} for name, task in evaluation["tasks"].items()}

    assert without_time(resumed.evaluation) == without_time(uninterrupted.evaluation)
    assert resumed.evaluation["fingerprint"] == uninterrupted.evaluation["fingerprint"]
    assert resumed.rows("tiny_mc") == uninterrupted.rows("tiny_mc")


def test_a_finished_run_does_not_load_the_model_again(resumed, checkpoint):
    again = evaluate(resumed.run.root, request(checkpoint))

    assert again.evaluated == []
    assert "loading model" not in [event.get("phase") for event in again.events]
    assert again.evaluation["tasks"] == resumed.evaluation["tasks"]
    assert again.evaluation["model"] == resumed.evaluation["model"]
    assert again.evaluation["fingerprint"] == resumed.evaluation["fingerprint"]
    assert again.evaluation["fingerprint"]["chat_template"]


def test_other_weights_at_the_same_path_are_evaluated_again(uninterrupted, checkpoint):
    """A training run overwrites its checkpoint: the scores of the old one must not be taken for the new one's."""
    point(checkpoint, untrained_model())
    try:
        again = evaluate(uninterrupted.run.root, request(checkpoint))
    finally:
        point(checkpoint, tiny_model())

    assert again.evaluated == LEAVES
    assert again.evaluation["tasks"]["tiny_mc"]["metrics"]["acc,none"]["value"] < 0.5
