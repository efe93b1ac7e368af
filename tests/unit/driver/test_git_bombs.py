"""Repositories and servers that mean harm by their size: each is stopped early, by name, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_provider_lmeval.driver.worker.git_repository import LISTING_BYTES, Limits, Repository
from airflow_provider_lmeval.driver.worker.git_source import MOST_BYTES, MOST_FILES, fetch_sources
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Request
from tests.support.git_server import GitServer, commit_tree, make_bare, write_blob, write_tree

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

FILE, DIRECTORY = "100644", "40000"
LIMIT = 64 * 1024
Tree = Callable[[Path], str]


@dataclass
class Served:
    server: GitServer
    root: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("git")
    with GitServer(root) as server:
        yield Served(server, root)


@pytest.fixture(autouse=True)
def trusted(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(served.server.certificate))


def offered(served: Served, name: str, tree: Tree) -> str:
    """Make a repository of one directory and return its address."""
    repository = make_bare(served.root, name)
    commit_tree(repository, tree(repository))
    return f"https://{served.server.host}/{name}"


def request(served: Served, url: str, path: str = "", most: int = LIMIT) -> Request:
    source = {"url": url, "ref": "main", "path": path}
    return Request(
        run_id="r", spec_hash="s", model="hf", model_args={}, git_sources=[source], git_hosts=[served.server.host],
        git_max_bytes=most, allow_online=True,
    )  # fmt: skip


def refusal(place: Path, asked: Request) -> tuple[str, str]:
    """Return cause and message, and see to it that nothing of the repository stays."""
    with pytest.raises(RunFailedError) as refused:
        fetch_sources(asked, place / "sources")
    left = [path for path in (place / "sources").rglob("*") if path.is_file()]
    assert left == []
    return refused.value.cause, str(refused.value)


def a_large_file(repository: Path) -> str:
    return write_tree(repository, {"a.bin": (FILE, write_blob(repository, os.urandom(8 * LIMIT)))})


def large_files_elsewhere(repository: Path) -> str:
    blobs = {f"{n}.bin": (FILE, write_blob(repository, os.urandom(LIMIT // 2))) for n in range(8)}
    task = write_tree(repository, {"a.yaml": (FILE, write_blob(repository, b"task: a\n"))})
    return write_tree(repository, {"eval": (DIRECTORY, task), "weights": (DIRECTORY, write_tree(repository, blobs))})


@pytest.mark.parametrize("tree", [a_large_file, large_files_elsewhere])
def test_a_fetch_ends_at_the_limit_and_says_who_raises_it(served: Served, tmp_path: Path, tree: Tree) -> None:
    url = offered(served, f"{tree.__name__}.git", tree)

    cause, message = refusal(tmp_path, request(served, url, "eval"))

    assert cause == "bad_spec"
    assert f"has more than {LIMIT:,} bytes" in message
    assert "[lmeval] max_git_bytes" in message
    if tree is large_files_elsewhere:
        (found,) = fetch_sources(request(served, url, "eval", most=16 * LIMIT), tmp_path / "again")
        assert [path.name for path in found.directory.iterdir()] == ["a.yaml"]


def test_a_small_pack_that_unpacks_to_a_large_file_is_not_unpacked(served: Served, tmp_path: Path) -> None:
    size = MOST_BYTES + 1
    url = offered(served, "zeros.git", lambda at: write_tree(at, {"z": (FILE, write_blob(at, bytes(size)))}))

    cause, message = refusal(tmp_path, request(served, url, most=LIMIT * 4))

    assert (cause, f"has 1 files with {size:,} bytes" in message) == ("bad_spec", True)


def test_very_many_files_are_counted_before_one_is_written(served: Served, tmp_path: Path) -> None:
    def tree(repository: Path) -> str:
        blob = write_blob(repository, b"task: a\n")
        return write_tree(repository, {f"{n}.yaml": (FILE, blob) for n in range(MOST_FILES + 1)})

    cause, message = refusal(tmp_path, request(served, offered(served, "many.git", tree)))

    assert (cause, f"at most {MOST_FILES:,} files" in message) == ("bad_spec", True)


def test_directories_that_hold_each_other_many_times_are_not_listed_to_the_end(served: Served, tmp_path: Path) -> None:
    def tree(repository: Path) -> str:
        found = (FILE, write_blob(repository, b"task: a\n"))
        for _ in range(10):  # ten thousand million files in a few kilobytes
            found = (DIRECTORY, write_tree(repository, {f"d{n}": found for n in range(10)}))
        return found[1]

    started = time.monotonic()
    cause, message = refusal(tmp_path, request(served, offered(served, "bomb.git", tree)))

    assert (cause, f"more than {LISTING_BYTES:,} bytes" in message) == ("bad_spec", True)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("name", ["..", ".git", ".GIT", "a/b", "a" * 300, b"\xff"])
def test_a_name_that_is_no_name_of_a_file_is_refused(served: Served, tmp_path: Path, name: str | bytes) -> None:
    def tree(repository: Path) -> str:
        return write_tree(repository, {name: (FILE, write_blob(repository, b"task: a\n"))})

    url = offered(served, f"name-{hash(name):x}.git", tree)

    assert refusal(tmp_path, request(served, url))[0] == "bad_spec"


def test_git_has_no_more_memory_than_it_is_given(served: Served, tmp_path: Path) -> None:
    def fetch(name: str, memory_bytes: int) -> None:
        (tmp_path / name).mkdir()
        repository = Repository(tmp_path / name / "repository.git", Limits(16 * LIMIT, LIMIT, 60, memory_bytes))
        repository.fetch(url, "main")

    url = offered(served, "small.git", lambda at: write_tree(at, {"a": (FILE, write_blob(at, b"a"))}))
    fetch("enough", 2 * 1024**3)
    with pytest.raises(RunFailedError):
        fetch("too little", 8 * 1024**2)


def test_a_server_with_very_much_to_say_is_quoted_briefly_and_without_control_characters(
    served: Served, tmp_path: Path
) -> None:
    cause, message = refusal(tmp_path, request(served, f"https://{served.server.host}/wordy/x.git"))

    assert (cause, "no " in message) == ("endpoint", True)
    assert len(message) < 2_500
    assert message.isprintable()


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        repository = Repository(tmp_path / "repository.git", Limits(LIMIT, LIMIT, seconds=1))
        with pytest.raises(RunFailedError, match="git fetch took more than 1 s") as refused:
            repository.fetch(f"https://127.0.0.1:{silent.getsockname()[1]}/x.git", "main")

    assert refused.value.cause == "endpoint"
