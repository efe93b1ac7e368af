"""A served model is asked one small question first; what it answers decides the message."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airflow_provider_lmeval.driver.worker.endpoint import check_endpoint, endpoint_url
from airflow_provider_lmeval.errors import RunFailedError


class Server(ThreadingHTTPServer):
    """A completion server that gives one status to every request, and remembers them."""

    daemon_threads = True

    def __init__(self, status):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.seen = []

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(b'{"error": "in its own words"}')

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(status):
        server = Server(status)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def refusal(model, model_args, *, online=False):
    with pytest.raises(RunFailedError) as refused:
        check_endpoint(model, model_args, online=online)
    return refused.value.cause, str(refused.value)


def test_a_model_that_is_loaded_here_has_no_endpoint():
    assert endpoint_url("hf", {"pretrained": "gpt2"}) is None
    check_endpoint("hf", {"pretrained": "gpt2"}, online=False)


@pytest.mark.parametrize("status", [200, 400, 422])
def test_a_server_that_answers_passes(serve, status):
    check_endpoint("local-completions", {"model": "m", "base_url": serve(status).url("/v1/completions")}, online=False)


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
    where = {"base_url": serve(status).url("/wrong"), "max_retries": 1}

    found, message = refusal("local-completions", {"model": "m", **where})

    assert found == cause
    assert f"HTTP {status}" in message
    assert "in its own words" in message
    assert advice in message


def test_the_question_is_one_token_with_the_models_own_headers(serve):
    server = serve(200)
    model_args = {"model": "m", "base_url": server.url("/v1/chat/completions"), "header": {"X-Key": "k"}}

    check_endpoint("local-chat-completions", model_args, online=False)

    [(path, headers, body)] = server.seen
    assert path == "/v1/chat/completions"
    assert headers["X-Key"] == "k"
    assert body == {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}


def test_a_server_that_is_just_starting_is_asked_again(serve):
    server = serve(503)

    refusal("local-completions", {"model": "m", "base_url": server.url("/v1/completions"), "max_retries": 2})

    assert len(server.seen) == 2


def test_other_servers_only_have_to_listen(serve):
    server = serve(500)

    check_endpoint("gguf", {"base_url": server.url("")}, online=False)

    assert server.seen == []


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
