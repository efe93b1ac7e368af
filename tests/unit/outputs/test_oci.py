"""Pushing a result to a registry: what arrives, how a login is given, what refusals say."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.errors import OutputError
from airflow_provider_lmeval.outputs import Credentials, StoredRun
from airflow_provider_lmeval.outputs.oci import ARTIFACT_TYPE, push
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.spec.outputs import OciArtifact
from airflow_provider_lmeval.store import Store
from tests.support.evidence import document, mark, metric, table, task, write_run
from tests.support.loopback import Answer
from tests.support.registry import INDEX, LOGIN, Registry, digest_of

NAME = "team/models"
MODEL = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}
Start = Callable[..., Registry]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a registry."""
    running: list[Registry] = []

    def begin(*arguments: Any, **options: Any) -> Registry:
        running.append(Registry(*arguments, **options).__enter__())
        return running[-1]

    yield begin
    for each in running:
        each.__exit__()


def output(**fields: Any) -> OciArtifact:
    return OciArtifact(**{"conn_id": "registry", "repository": NAME, "plain_http": True} | fields)


def account(registry: Registry, login: tuple[str, str] = LOGIN, **extra: Any) -> Credentials:
    return Credentials("registry", registry.host, None, *login, extra=extra)


@pytest.mark.parametrize("auth", ["basic", "bearer", "none"])
def test_document_and_score_tables_arrive_whatever_login_the_registry_wants(auth, start: Start, run: StoredRun) -> None:
    registry = start(auth)
    where = push(run, output(), account(registry))

    manifest = registry.manifest(NAME, run.run_id)
    assert where == f"{registry.host}/{NAME}@{registry.tags[f'{NAME}:{run.run_id}']}"
    titles = {layer["annotations"]["org.opencontainers.image.title"]: layer for layer in manifest["layers"]}
    assert set(titles) == {"result.json", "tasks/tiny_mc/scores.jsonl.gz"}
    document_, scores = (registry.blobs[layer["digest"]] for layer in titles.values())
    assert EvalResult.from_json(document_) == EvalResult.parse(document())
    assert len(gzip.decompress(scores).splitlines()) == 3
    assert manifest["artifactType"] == ARTIFACT_TYPE
    assert registry.blobs[manifest["config"]["digest"]] == b"{}"
    assert manifest["annotations"]["lmeval.model"] == "/models/candidate-1"


def test_a_second_push_has_the_same_digest_and_uploads_nothing_again(start: Start, run: StoredRun) -> None:
    registry = start()
    first = push(run, output(tag="v1"), account(registry))
    count = len(registry.asked)
    assert push(run, output(tag="v1"), account(registry)) == first
    assert [each.method for each in registry.asked[count:] if "uploads" in each.path] == []


@pytest.mark.parametrize("reference", ["v7", "digest", "full"])
def test_the_result_is_found_from_its_subject(reference: str, start: Start, run: StoredRun) -> None:
    registry = start()
    digest = registry.put(NAME, "v7", MODEL)
    named = {"v7": "v7", "digest": digest, "full": f"{registry.host}/{NAME}@{digest}"}[reference]
    where = push(run, output(subject=named), account(registry))

    (referrer,) = registry.referrers(digest)
    assert where.endswith(referrer["digest"])
    assert referrer["artifactType"] == ARTIFACT_TYPE
    assert f"{NAME}:{digest.replace(':', '-')}" not in registry.tags


def test_a_registry_without_the_referrers_api_gets_an_index_under_the_subject_s_tag(
    start: Start, run: StoredRun
) -> None:
    registry = start(referrers=False)
    digest = registry.put(NAME, "v7", MODEL)
    other = {"mediaType": MODEL["mediaType"], "digest": "sha256:" + "0" * 64, "size": 1}
    tag = digest.replace(":", "-")
    registry.put(NAME, tag, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [other]})
    for _ in range(2):
        where = push(run, output(subject="v7"), account(registry))

    listed = registry.manifest(NAME, tag)["manifests"]
    assert [each["digest"] for each in listed] == [other["digest"], where.partition("@")[2]]
    assert listed[1]["artifactType"] == ARTIFACT_TYPE


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        ("v9", "push it first"),
        ("other/models:v7", "one repository only"),
        ("sha256:" + "0" * 64, "push it first"),
        ("quay.io/team/models@sha256:" + "0" * 64, "one repository only"),
    ],
)
def test_a_subject_that_is_not_in_the_repository_is_refused(
    subject: str, told: str, start: Start, run: StoredRun
) -> None:
    registry = start()
    with pytest.raises(OutputError, match=told) as caught:
        push(run, output(subject=subject), account(registry))
    assert not caught.value.transient
    assert registry.manifests == {}


def test_a_docker_configuration_serves_as_login(start: Start, run: StoredRun) -> None:
    registry = start("basic")
    auth = base64.b64encode(":".join(LOGIN).encode()).decode()
    for config in ({"auths": {registry.host: {"auth": auth}}}, json.dumps({"auths": {registry.host: {"auth": auth}}})):
        assert push(run, output(), account(registry, ("", ""), docker_config_json=config))
    with pytest.raises(OutputError, match=r"no login for .*, only for quay\.io"):
        push(run, output(), account(registry, ("", ""), docker_config_json={"auths": {"quay.io": {"auth": auth}}}))
    with pytest.raises(OutputError, match="not a Docker configuration"):
        push(run, output(), account(registry, ("", ""), docker_config_json="no json"))


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_a_wrong_password_is_refused_for_good_and_not_repeated_in_the_message(
    auth, start: Start, run: StoredRun
) -> None:
    with pytest.raises(OutputError, match="401") as caught:
        push(run, output(), account(start(auth), ("robot", "wrong-password")))
    assert not caught.value.transient
    assert "wrong-password" not in str(caught.value)


def test_uploads_at_another_host_get_the_content_and_not_the_login(start: Start, run: StoredRun) -> None:
    storage = start("none")
    registry = start("basic", uploads=storage.url)
    storage.blobs = registry.blobs
    push(run, output(), account(registry))

    uploads = [each for each in storage.asked if each.method == "PUT"]
    assert {digest_of(each.body) for each in uploads} == set(registry.blobs)
    assert [each for each in uploads if "authorization" in each.headers] == []


def test_uploads_by_another_protocol_are_refused(start: Start, run: StoredRun) -> None:
    registry = start("none", uploads="ftp://127.0.0.1")
    with pytest.raises(OutputError, match="uploads by ftp"):
        push(run, output(), account(registry))


def test_prompts_and_answers_are_pushed_if_asked_for(start: Start, tmp_path: Path) -> None:
    tasks = {"tiny_mc": task({"acc,none": metric(0.5)}, samples="tasks/tiny_mc/samples.jsonl.gz")}
    made = write_run(tmp_path / "run", document(tasks))
    (made.task("tiny_mc") / "samples.jsonl.gz").write_bytes(table([{"prompt": "2 + 2 ="}]))
    mark(made, "candidate-1", ("result.json", "scores.jsonl.gz", "samples.jsonl.gz"))
    kept, registry = StoredRun(Store(tmp_path / "store").put_run(made)), start("none")
    for tag, samples in (("with", True), ("without", False)):
        push(kept, output(tag=tag, samples=samples), account(registry))
        titles = [
            each["annotations"]["org.opencontainers.image.title"] for each in registry.manifest(NAME, tag)["layers"]
        ]
        assert ("tasks/tiny_mc/samples.jsonl.gz" in titles) is samples


def test_a_token_is_not_asked_for_in_clear_when_the_registry_is_encrypted() -> None:
    import httpx

    from airflow_provider_lmeval.outputs.registry_login import RegistryLogin

    request = httpx.Request("GET", "https://registry.example.com/v2/a/manifests/b")
    flow = RegistryLogin(LOGIN).auth_flow(request)
    next(flow)
    challenge = {"WWW-Authenticate": 'Bearer realm="http://elsewhere.example.com/token"'}
    with pytest.raises(OutputError, match="not HTTPS; nothing was sent"):
        flow.send(httpx.Response(401, headers=challenge, request=request))


def test_a_registry_without_encryption_has_to_be_asked_for(start: Start, run: StoredRun) -> None:
    registry = start()
    with pytest.raises(OutputError, match="plain_http"):
        push(run, output(plain_http=False), Credentials("registry", registry.url))
    with pytest.raises(OutputError, match="host must name a registry"):
        push(run, output(), Credentials("registry"))
    assert registry.asked == []


@pytest.mark.parametrize(("status", "transient"), [(503, True), (429, True), (403, False), (413, False)])
def test_a_refusal_says_whether_another_try_may_help(status, transient, start: Start, run: StoredRun) -> None:
    registry = start("none")
    registry.troubles = [Answer.json({"errors": [{"message": "told so"}]}, status)]
    with pytest.raises(OutputError, match=f"HTTP {status}") as caught:
        push(run, output(), account(registry))
    assert caught.value.transient is transient


def test_a_registry_that_is_not_there_may_be_there_later(start: Start, run: StoredRun) -> None:
    with Registry() as gone:
        pass
    with pytest.raises(OutputError, match="no answer") as caught:
        push(run, output(), account(gone))
    assert caught.value.transient


def test_another_answer_than_the_digest_that_was_asked_for_is_refused(start: Start, run: StoredRun) -> None:
    registry = start("none")
    digest = "sha256:" + "0" * 64
    registry.manifests[digest] = (MODEL["mediaType"], b"{}")
    with pytest.raises(OutputError, match="has another digest"):
        push(run, output(subject=digest), account(registry))
