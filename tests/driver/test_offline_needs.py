"""What metrics fetch, held against lm-eval's own tasks."""

from __future__ import annotations

import functools
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_lmeval.driver.worker.needs import NLTK_TASKS, check_metrics, metrics_loaded
from airflow_provider_lmeval.errors import RunFailedError

pytestmark = pytest.mark.driver


def scores_with(function: Any) -> SimpleNamespace:
    return SimpleNamespace(_aggregation_list={"m": function}, config=SimpleNamespace(process_results=None))


def lm_eval_tasks() -> Path:
    found = find_spec("lm_eval")
    assert found
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "tasks"


def test_every_task_of_lm_eval_that_downloads_nltk_data_is_known() -> None:
    places = lm_eval_tasks()
    found = {
        path.parent.relative_to(places).as_posix()
        for path in places.rglob("*.py")
        if "nltk.download(" in path.read_text(encoding="utf-8")
    }
    assert found == NLTK_TASKS


@pytest.mark.parametrize(
    ("module", "function", "metric"),
    [
        ("squadv2.task", "_squad_agg", {"squad_v2"}),  # by another function of its module
        ("noticia.utils", "rouge1_agg", {"rouge"}),
        ("noticia.utils", "rouge1", set()),
    ],
)
def test_metrics_are_read_from_the_functions_that_load_them(module, function, metric) -> None:
    found = getattr(import_module(f"lm_eval.tasks.{module}"), function)
    assert metrics_loaded(scores_with(functools.partial(found))) == metric


def test_a_metric_that_is_not_there_is_refused_by_name(tmp_path) -> None:
    found = import_module("lm_eval.tasks.noticia.utils").rouge1_agg
    with pytest.raises(RunFailedError, match=r"task 'summaries': .*'rouge' of the `evaluate` library") as caught:
        check_metrics({"summaries": scores_with(found)})
    assert caught.value.cause == "online_denied"
