"""From where data may be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_lmeval.driver.worker.data_files import FileDeniedError, Roots
from airflow_provider_lmeval.driver.worker.dataset_guard import check_dataset
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Request

PLAIN = Request(run_id="r", spec_hash="s", model="hf", model_args={})
CODE = Request(run_id="r", spec_hash="s", model="hf", model_args={}, allow_code_execution=True)


def denied(roots: Roots, path: object) -> bool:
    try:
        roots.check(str(path))
    except FileDeniedError:
        return True
    return False


def test_a_root_covers_what_is_below_it_and_nothing_beside(tmp_path: Path) -> None:
    for roots in (Roots(granted=(tmp_path / "a",)), Roots(named=(tmp_path / "a",))):
        assert not denied(roots, tmp_path / "a" / "b" / "c.csv")
        assert denied(roots, tmp_path / "ab.csv")
        assert denied(roots, tmp_path / "a" / ".." / "b.csv")


def test_what_the_spec_names_does_not_open_places_of_secrets() -> None:
    for place in ("/etc", "/proc", "/run/secrets", "/home/me/.ssh"):
        assert denied(Roots(named=(Path(place),)), f"{place}/x")


def test_hidden_files_stay_closed_in_granted_directories_whose_own_path_may_be_hidden(tmp_path: Path) -> None:
    roots = Roots(granted=(tmp_path / ".airflow" / "runs",))

    assert not denied(roots, tmp_path / ".airflow" / "runs" / "x.csv")
    assert denied(roots, tmp_path / ".airflow" / "runs" / ".netrc")


def test_files_of_a_mounted_configmap_are_links_into_a_directory_of_two_dots(tmp_path: Path) -> None:
    (tmp_path / "..2026_11_21").mkdir()
    (tmp_path / "..2026_11_21" / "x.jsonl").touch()
    (tmp_path / "..data").symlink_to("..2026_11_21")
    (tmp_path / "x.jsonl").symlink_to("..data/x.jsonl")

    assert not denied(Roots(named=(tmp_path,)), tmp_path / "x.jsonl")


def test_links_within_a_directory_are_judged_too(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x.csv").symlink_to("/etc/passwd")

    assert denied(Roots(granted=(tmp_path,)), tmp_path / "d")


def test_the_roots_of_a_run(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    asked = Request(
        run_id="r", spec_hash="s", model="hf", model_args={"pretrained": str(model)},
        include_paths=["/tasks", "/"], data_roots=["/data"],
    )  # fmt: skip

    assert Roots.of(asked, tmp_path) == Roots(granted=(tmp_path, Path("/data")), named=(model, Path("/tasks")))


@pytest.mark.parametrize(
    "arguments",
    [
        {"path": "text", "data_files": "/proc/self/environ"},
        {"path": "text", "data_files": {"test": ["/proc/self/environ"]}},
        {"path": "json", "data_dir": "/home/else"},
        {"path": "/home/else"},
        {"path": "json", "data_files": "rows.jsonl"},
        {"path": "org/name", "data_files": "../../x"},
        {"path": "pandas", "data_files": "/x.pkl"},
        {"path": "csv", "data_files": "file:///etc/passwd"},
        {"path": "csv", "data_files": "zip://x::https://h/x.zip"},
    ],
)
def test_a_task_reads_no_file_that_the_run_may_not_read(arguments: dict[str, object]) -> None:
    with pytest.raises(RunFailedError) as refused:
        check_dataset("mine", arguments, PLAIN, Roots())

    assert refused.value.cause == "code_denied"
    assert "'mine'" in str(refused.value)
    check_dataset("mine", arguments, CODE, Roots())


@pytest.mark.parametrize("arguments", [{"path": "csv", "data_files": "https://h/x.csv"}, {"path": "hf://datasets/a/b"}])
def test_a_url_takes_online_access_whatever_else_is_allowed(arguments: dict[str, object]) -> None:
    with pytest.raises(RunFailedError) as refused:
        check_dataset("mine", arguments, CODE, Roots())

    assert refused.value.cause == "online_denied"


def test_a_dataset_of_the_hub_is_no_file() -> None:
    check_dataset("mine", {"path": "org/name", "data_files": "test/*.parquet"}, PLAIN, Roots())
