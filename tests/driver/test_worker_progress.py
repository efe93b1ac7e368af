"""Counting requests on a model object that behaves as lm-eval's do."""

import pytest

from airflow_provider_lmeval.driver.worker.progress import Progress


class Hook:
    """lm-eval's ``CacheHook``: told of each finished request."""

    dbdict = "a database"

    def __init__(self):
        self.told = []

    def add_partial(self, attr, req, res):
        self.told.append((attr, req, res))


class Model:
    """The part of lm-eval's ``LM`` that matters: three methods, a hook."""

    def __init__(self):
        self.cache_hook = Hook()

    def set_cache_hook(self, hook):
        self.cache_hook = hook

    def loglikelihood(self, requests, disable_tqdm=False):
        for request in requests:
            self.cache_hook.add_partial("loglikelihood", request, 1.0)
        return [1.0] * len(requests)

    def loglikelihood_rolling(self, requests):
        return [sum(self.loglikelihood([request, request], disable_tqdm=True)) for request in requests]

    def generate_until(self, requests):
        raise RuntimeError("the model is gone")


@pytest.fixture
def followed():
    said, model = [], Model()
    hook = model.cache_hook
    progress = Progress(said.append, tasks_total=2)
    progress.follow(model)
    progress.begin("mc")
    return model, progress, said, hook


def test_every_finished_request_counts(followed):
    model, _, said, _ = followed

    assert model.loglikelihood(["a", "b", "c"]) == [1.0] * 3

    assert [event["done"] for event in said] == [0, 1, 2, 3]
    assert said[-1] == {
        "task": "mc", "kind": "loglikelihood", "done": 3, "total": 3, "tasks_done": 0, "tasks_total": 2,
    }  # fmt: skip


def test_the_hook_behind_still_gets_everything(followed):
    model, _, _, hook = followed

    model.loglikelihood(["a"])

    assert hook.told == [("loglikelihood", "a", 1.0)]
    assert model.cache_hook.dbdict == "a database"


def test_a_method_that_uses_another_counts_its_own_requests(followed):
    model, _, said, _ = followed

    assert model.loglikelihood_rolling(["a", "b"]) == [2.0, 2.0]

    assert {event["kind"] for event in said} == {"loglikelihood_rolling"}
    assert said[-1]["done"] == said[-1]["total"] == 2


def test_done_never_exceeds_total(followed):
    model, _, said, _ = followed

    model.loglikelihood_rolling(["a"])

    assert all(event["done"] <= event["total"] for event in said)


def test_finished_tasks_are_counted(followed):
    model, progress, said, _ = followed
    progress.end()
    progress.begin("gen")

    model.loglikelihood(["a"])

    assert (said[-1]["task"], said[-1]["tasks_done"]) == ("gen", 1)


def test_a_failure_is_not_reported_as_done(followed):
    model, _, said, _ = followed

    with pytest.raises(RuntimeError):
        model.generate_until(["a", "b"])

    assert said[-1]["done"] == 0
