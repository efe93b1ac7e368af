"""Task files from a real git server over HTTPS, and nothing else from it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from airflow_provider_lmeval.driver.worker.git_repository import git_environment
from airflow_provider_lmeval.driver.worker.git_source import Fetched, fetch_sources
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Request
from tests.support.git_server import GitServer, make_repository

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

FILES = {"eval/mine.yaml": "task: mine\n", "eval/data/rows.jsonl": "{}\n", "README": "Read me.\n"}


@dataclass
class Served:
    server: GitServer
    commit: str
    root: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("git")
    commit = make_repository(root, FILES)
    with GitServer(root) as server:
        yield Served(server, commit, root)


@pytest.fixture(autouse=True)
def trusted(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(served.server.certificate))


def request(served: Served, **changes: str) -> Request:
    source = {"url": served.server.url, "ref": "main", "path": "eval", **changes}
    return Request(
        run_id="r", spec_hash="s", model="hf", model_args={}, git_sources=[source], git_hosts=[served.server.host],
        allow_online=True,
    )  # fmt: skip


def fetch(place: Path, asked: Request) -> Fetched:
    (fetched,) = fetch_sources(asked, place / "sources")
    return fetched


def refusal(place: Path, asked: Request) -> tuple[str, str]:
    with pytest.raises(RunFailedError) as refused:
        fetch(place, asked)
    assert not list((place / "sources").rglob("*.yaml"))
    return refused.value.cause, str(refused.value)


def names(fetched: Fetched) -> list[str]:
    return sorted(str(path.relative_to(fetched.directory)) for path in fetched.directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("ref", ["main", "v1", "HEAD", "the commit"])
def test_a_branch_a_tag_and_a_commit_become_the_commit_they_stand_for(served: Served, tmp_path: Path, ref: str) -> None:
    fetched = fetch(tmp_path, request(served, ref=served.commit if ref == "the commit" else ref))

    assert fetched.origin() == {"url": served.server.url, "path": "eval", "commit": served.commit}
    assert names(fetched) == ["data/rows.jsonl", "mine.yaml"]
    assert (fetched.directory / "mine.yaml").read_text() == FILES["eval/mine.yaml"]


def test_links_and_submodules_are_left_out_and_filters_not_run(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = f"touch {tmp_path}/executed; cat"
    (tmp_path / ".gitconfig").write_text(f'[filter "trap"]\n\tsmudge = {trap}\n\tprocess = {trap}\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / ".gitconfig"))

    assert names(fetch(tmp_path, request(served))) == ["data/rows.jsonl", "mine.yaml"]
    assert not (tmp_path / "executed").exists()
    assert [path.name for path in (tmp_path / "sources" / "0").iterdir()] == ["files"]


def test_a_file_in_lfs_is_an_error_and_not_a_task(served: Served, tmp_path: Path) -> None:
    cause, message = refusal(tmp_path, request(served, path="lfs"))

    assert (cause, "big.yaml is kept in Git LFS" in message) == ("bad_spec", True)


@pytest.mark.parametrize("change", [{"ref": "nowhere"}, {"ref": "2" * 40}, {"path": "nowhere"}, {"path": "README"}])
def test_what_is_not_there_is_named(served: Served, tmp_path: Path, change: dict[str, str]) -> None:
    cause, message = refusal(tmp_path, request(served, **change))

    assert cause == "bad_spec"
    assert next(iter(change.values())) in message


def test_a_host_takes_the_administrators_list_and_online_access(served: Served, tmp_path: Path) -> None:
    asked = request(served)

    for denied in (replace(asked, git_hosts=["localhost"]), replace(asked, allow_online=False)):
        assert refusal(tmp_path, denied)[0] == "online_denied"


def test_nobody_is_asked_before_the_host_is_checked(served: Served, tmp_path: Path) -> None:
    before = len(served.server.requests)
    refusal(tmp_path, replace(request(served), git_hosts=[]))

    assert len(served.server.requests) == before


def test_a_redirect_is_not_followed(served: Served, tmp_path: Path) -> None:
    moved = f"https://{served.server.host}/moved/tasks.git"

    cause, message = refusal(tmp_path, request(served, url=moved))

    assert (cause, "302" in message) == ("endpoint", True)


def test_a_certificate_that_nobody_vouches_for_is_refused(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("GIT_SSL_NO_VERIFY", "1")
    cause, message = refusal(tmp_path, request(served))

    assert (cause, "certificate" in message) == ("endpoint", True)


def test_without_git_the_error_says_so(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    cause, message = refusal(tmp_path, request(served))

    assert (cause, "git is not installed where the evaluation runs" in message) == ("bad_spec", True)


@pytest.mark.parametrize("url", ["http://localhost/x.git", "https://me@localhost/x.git", "ext::sh -c id", "/x.git"])
def test_the_driver_checks_the_url_itself(served: Served, tmp_path: Path, url: str) -> None:
    assert refusal(tmp_path, replace(request(served, url=url), git_hosts=["localhost", "None"]))[0] == "bad_spec"


def test_gits_environment_is_built_and_not_inherited(tmp_path: Path) -> None:
    hostile = {
        "GIT_SSH_COMMAND": "id",
        "GIT_DIR": "/x",
        "GIT_PROXY_COMMAND": "id",
        "GITHUB_TOKEN": "t",
        "LD_PRELOAD": "x",
    }
    built = git_environment(hostile | {"PATH": "/bin", "HTTPS_PROXY": "http://proxy:3128"}, tmp_path)

    assert not built.keys() & hostile.keys()
    assert (built["PATH"], built["HTTPS_PROXY"], built["HOME"]) == ("/bin", "http://proxy:3128", str(tmp_path))
