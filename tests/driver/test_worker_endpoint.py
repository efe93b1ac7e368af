"""A served model is asked one small question first; what it answers decides the message."""

import json
from contextlib import ExitStack

import pytest

from airflow_provider_lmeval.driver.worker.endpoint import check_endpoint, endpoint_url
from airflow_provider_lmeval.errors import RunFailedError
from tests.support.loopback import Answer, Loopback

WORDS = b'{"error": "in its own words"}'


@pytest.fixture
def serve():
    """Start a server that gives one status to every question and has no list of models."""

    def answers(status):
        return lambda asked: Answer(status if asked.method == "POST" else 404, WORDS, {"Retry-After": "0"})

    with ExitStack() as servers:
        yield lambda status: servers.enter_context(Loopback(answers(status)))


def questions(server):
    return [asked for asked in server.asked if asked.method == "POST"]


def refusal(model, model_args, *, online=False):
    with pytest.raises(RunFailedError) as refused:
        check_endpoint(model, model_args, online=online)
    return refused.value.cause, str(refused.value)


def test_a_model_that_is_loaded_here_has_no_endpoint():
    assert endpoint_url("hf", {"pretrained": "gpt2"}) is None
    check_endpoint("hf", {"pretrained": "gpt2"}, online=False)


@pytest.mark.parametrize("status", [200, 400, 422])
def test_a_server_that_answers_passes(serve, status):
    check_endpoint("local-completions", {"model": "m", "base_url": serve(status).url + "/v1/completions"}, online=False)


@pytest.mark.parametrize(
    ("status", "cause", "advice"),
    [
        (401, "bad_spec", "OPENAI_API_KEY"),
        (403, "bad_spec", "key"),
        (404, "endpoint", "full path"),
        (405, "endpoint", "full path"),
        (413, "bad_spec", "its own words"),
        (429, "endpoint", "num_concurrent"),
        (503, "endpoint", "its log"),
    ],
)
def test_a_refusal_comes_with_the_servers_words_and_advice(serve, status, cause, advice):
    where = {"base_url": serve(status).url + "/wrong", "max_retries": 1}

    found, message = refusal("local-completions", {"model": "m", **where})

    assert found == cause
    assert f"HTTP {status}" in message
    assert "in its own words" in message
    assert advice in message


def test_the_question_is_one_token_with_the_models_own_headers(serve):
    server = serve(200)
    model_args = {"model": "m", "base_url": server.url + "/v1/chat/completions", "header": {"X-Key": "k"}}

    check_endpoint("local-chat-completions", model_args, online=False)

    [asked] = questions(server)
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["x-key"] == "k"
    assert json.loads(asked.body) == {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}


def test_a_server_that_is_just_starting_is_asked_again(serve):
    server = serve(503)

    refusal("local-completions", {"model": "m", "base_url": server.url + "/v1/completions", "max_retries": 2})

    assert len(questions(server)) == 2


def test_other_servers_only_have_to_listen(serve):
    server = serve(500)

    check_endpoint("gguf", {"base_url": server.url}, online=False)

    assert server.asked == []


@pytest.mark.parametrize("model", ["local-completions", "gguf"])
def test_nobody_listens(model):
    cause, message = refusal(model, {"model": "m", "base_url": "http://127.0.0.1:9/v1/completions"})

    assert cause == "endpoint"
    assert "Connection refused" in message


@pytest.mark.parametrize("url", ["localhost:8000", "http://", "ftp://a/b", "http://a:99999/", "http://[::1/"])
def test_what_is_no_url_is_a_bad_spec(url):
    assert refusal("local-completions", {"model": "m", "base_url": url})[0] == "bad_spec"


def test_the_internet_needs_permission():
    cause, message = refusal("local-completions", {"model": "m", "base_url": "http://8.8.8.8/v1/completions"})

    assert cause == "online_denied"
    assert "allow_online: true" in message
