"""A served model is scored like the same model loaded here, or refused before the first document, by cause and in words."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.served import ServedModel, served_request
from tests.support.served_model import KEY
from tests.support.tiny import untrained_model
from tests.support.worker import ROOT, Worker, environment, evaluate, tiny_request

pytestmark = pytest.mark.driver

TASKS = ("tiny_mc", "tiny_gen", "tiny_ppl")
DIGEST = f"sha256:{'d' * 64}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedModel]:
    with ServedModel(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Worker:
    return evaluate(tmp_path_factory.mktemp("loaded"), tiny_request(*TASKS))


@pytest.fixture(scope="module", params=[1, 4], ids=["one after the other", "four at once, over TLS"])
def served(request: Any, server: ServedModel, tmp_path_factory: pytest.TempPathFactory) -> Worker:
    tls = request.param > 1
    trusted = {"ca_cert_path": str(server.certificate)} if tls else {}
    asked = served_request(
        server.url(tls=tls), *TASKS, model_args={"num_concurrent": request.param, **trusted}, model_digest=DIGEST
    )
    return evaluate(tmp_path_factory.mktemp("served"), asked)


@pytest.mark.parametrize("task", TASKS)
def test_its_scores_are_those_of_the_model_loaded_here(served: Worker, loaded: Worker, task: str) -> None:
    expected = loaded.evaluation["tasks"][task]["metrics"]

    found = served.evaluation["tasks"][task]["metrics"]

    assert {key: each["value"] for key, each in found.items()} == {
        key: pytest.approx(each["value"], rel=1e-4) for key, each in expected.items()
    }


def test_so_is_every_log_likelihood(served: Worker, loaded: Worker) -> None:
    expected = {row["doc_id"]: row["loglikelihoods"] for row in loaded.rows("tiny_mc")}

    found = {row["doc_id"]: row["loglikelihoods"] for row in served.rows("tiny_mc")}

    assert found == {doc: pytest.approx(values, abs=1e-3) for doc, values in expected.items()}


def test_its_identity_is_what_was_declared(served: Worker) -> None:
    assert served.evaluation["model"]["identity"] == DIGEST
    assert served.evaluation["fingerprint"]["model"]["identity"] == DIGEST


def test_a_preflight_asks_the_server_what_the_run_will(server: ServedModel, tmp_path: Path) -> None:
    gpu = {"device": "a GPU", "memory": None, "processes": 1}
    good = evaluate(tmp_path / "good", served_request(server.url(), *TASKS, preflight=gpu))
    bad = evaluate(tmp_path / "bad", served_request(server.url("no-echo"), *TASKS, preflight=gpu))
    found = {each["id"]: each for each in good.evaluation["preflight"]["checks"]}
    assert {name for name, each in found.items() if each["finding"] == "ok"} == {
        "packages", "tasks-load", "datasets-load", "tokenizer-load", "endpoint-answers"
    }  # fmt: skip
    assert found["gpu-memory"]["found"] == "the model is served."
    assert bad.failure[0] == "bad_spec"
    assert bad.failure[1].startswith("1 of 10 checks failed: endpoint-answers")
    assert "ignores echo" in bad.failure[1]


# --- what is found before the first document


class Asking:
    """One process that readies served models on demand."""

    def __init__(self) -> None:
        script = str(ROOT / "tests" / "support" / "children" / "asks_endpoints.py")
        pipe = subprocess.PIPE
        env = environment(OPENAI_API_KEY="another key")
        self._process = subprocess.Popen([sys.executable, script], stdin=pipe, stdout=pipe, env=env, text=True)

    def __call__(self, url: str, *kinds: str, **changes: Any) -> tuple[str | None, str, float]:
        assert self._process.stdin
        assert self._process.stdout
        request = served_request(url, **changes).to_json()
        self._process.stdin.write(json.dumps({"request": request, "kinds": kinds or ["multiple_choice"]}) + "\n")
        self._process.stdin.flush()
        cause, message, seconds = json.loads(self._process.stdout.readline())
        return cause, message, seconds

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def ask() -> Iterator[Asking]:
    asking = Asking()
    yield asking
    asking.close()


@pytest.mark.parametrize(
    ("kink", "cause", "words"),
    [
        ("", None, "fit"),
        ("limits", None, "fit"),
        ("no-echo", "bad_spec", "ignores echo"),
        ("no-logprobs", "bad_spec", "no log-probabilities"),
        ("no-numbers", "bad_spec", "missing or no numbers"),
        ("no-top", "bad_spec", "top_logprobs"),
        ("certain", "bad_spec", "log-probability 0"),
        ("other-count", "bad_spec", "Set model.tokenizer"),
        ("other-words", "bad_spec", "Set model.tokenizer"),
        ("no-room", "bad_spec", "echo with logprobs is not supported"),
        ("key", "bad_spec", "HTTP 403"),
        ("moved", "bad_spec", "redirects to https://elsewhere/v1/completions"),
        ("limited", "endpoint", "lower num_concurrent"),
        ("broken", "endpoint", "it broke"),
        ("nowhere", "endpoint", "full path"),
    ],
)
def test_a_server_that_is_not_fit_is_refused_by_cause_and_in_words(
    server: ServedModel, ask: Asking, kink: str, cause: str | None, words: str
) -> None:
    found, message, _ = ask(server.url(kink))

    assert found == cause, message
    assert words in message


@pytest.mark.parametrize("kink", ["no-echo", "no-logprobs", "other-words"])
def test_tasks_that_generate_need_no_echo(server: ServedModel, ask: Asking, kink: str) -> None:
    assert ask(server.url(kink), "generate_until")[0] is None


def test_they_need_the_right_tokenizer_all_the_same(server: ServedModel, ask: Asking) -> None:
    cause, message, _ = ask(server.url("other-count"), "generate_until")

    assert cause == "bad_spec"
    assert "model.tokenizer" in message


def test_the_texts_that_a_server_makes_of_its_own_tokens_do(server: ServedModel, ask: Asking) -> None:
    assert ask(server.url(), model_args={"tokenized_requests": False})[0] is None


def test_a_tokenizer_that_is_none_is_named(ask: Asking, server: ServedModel, tmp_path: Path) -> None:
    cause, message, _ = ask(server.url(), model_args={"tokenizer": str(tmp_path)})

    assert cause == "model_load"
    assert "model.tokenizer" in message


def test_the_untrained_twins_tokenizer_will_do_since_it_is_the_same(server: ServedModel, ask: Asking) -> None:
    assert ask(server.url(), model_args={"tokenizer": str(untrained_model())})[0] is None


def test_a_name_the_server_does_not_know_is_answered_with_those_it_does(server: ServedModel, ask: Asking) -> None:
    cause, message, _ = ask(server.url(), model_args={"model": "tinny"})

    assert cause == "bad_spec"
    assert "'tinny'" in message
    assert message.endswith("a name it has: tiny.")


def test_a_chat_endpoint_is_not_asked_for_log_likelihoods(server: ServedModel, ask: Asking) -> None:
    url = server.url(path="chat/completions")

    cause, message, _ = ask(url, model="local-chat-completions")

    assert cause == "bad_spec"
    assert "multiple_choice need log-likelihoods" in message


def test_a_chat_endpoint_answers(server: ServedModel, ask: Asking) -> None:
    url = server.url(path="chat/completions")

    assert ask(url, "generate_until", model="local-chat-completions")[0] is None


def test_a_server_that_hangs_is_given_up_after_the_time_out(server: ServedModel, ask: Asking) -> None:
    cause, message, seconds = ask(server.url("hangs"), model_args={"timeout": 1})

    assert cause == "endpoint"
    assert "no answer in 1 s" in message
    assert seconds < 10


def test_a_certificate_that_nobody_vouches_for_is_named_with_the_remedy(server: ServedModel, ask: Asking) -> None:
    cause, message, _ = ask(server.url(tls=True))

    assert cause == "bad_spec"
    assert "ca_cert_path" in message
    assert "SSL_CERT_FILE" in message


@pytest.mark.parametrize("how", ["its CA is given", "it is not checked"])
def test_a_certificate_can_be_trusted(server: ServedModel, ask: Asking, how: str) -> None:
    given = {"ca_cert_path": str(server.certificate)} if how == "its CA is given" else {"verify_certificate": False}

    assert ask(server.url(tls=True), model_args=given)[0] is None


def test_a_ca_file_that_is_not_there_is_named(server: ServedModel, ask: Asking) -> None:
    cause, message, _ = ask(server.url(tls=True), model_args={"ca_cert_path": "/nowhere/ca.pem"})

    assert cause == "bad_spec"
    assert "'/nowhere/ca.pem'" in message


@pytest.mark.parametrize(
    ("value", "cause", "words"),
    [
        (f"Bearer {KEY}", None, "fit"),
        ("Bearer ", "bad_spec", "model.header"),
        (f"Bearer {KEY}\n", "bad_spec", "--from-literal"),
    ],
)
def test_a_header_carries_the_key(server: ServedModel, ask: Asking, value: str, cause: str | None, words: str) -> None:
    found, message, _ = ask(server.url("key"), model_args={"header": {"Authorization": value}})

    assert found == cause, message
    assert words in message
    assert KEY not in message


# --- whole runs


def test_chance_scores_are_never_made_of_a_server_that_ignores_echo(server: ServedModel, tmp_path: Path) -> None:
    worker = evaluate(tmp_path, served_request(server.url("no-echo"), "tiny_gen", "tiny_mc"))

    cause, message = worker.failure
    assert (cause, worker.evaluated) == ("bad_spec", [])
    assert "ignores echo" in message


def test_nor_of_one_among_several_behind_one_address(server: ServedModel, tmp_path: Path) -> None:
    request = served_request(server.url("no-echo-later"), "tiny_mc", model_args={"max_retries": 1})

    worker = evaluate(tmp_path, request)

    cause, message = worker.failure
    assert (cause, worker.evaluated) == ("endpoint", [])
    assert "several servers" in message


def test_a_server_that_stops_answering_ends_the_run(server: ServedModel, tmp_path: Path) -> None:
    arguments = {"timeout": 1, "max_retries": 2, "num_concurrent": 4}

    worker = evaluate(tmp_path, served_request(server.url("hangs-later"), "tiny_mc", model_args=arguments))

    cause, message = worker.failure
    assert cause == "endpoint"
    assert message.startswith(("the model's server has answered nothing", "8 requests in a row"))
    assert message.endswith("no answer in 1 s (timeout)")
