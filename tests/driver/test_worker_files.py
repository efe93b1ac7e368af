"""What a worker writes: strict JSON, no secret anywhere, and nothing of it needs Airflow or pydantic."""

import json

import pytest

from tests.support.worker import NOT_CATALOGUED, ROOT, evaluate, own_task, tiny_request

pytestmark = pytest.mark.driver

SECRET = 'tok"en\\with é 7f3a9c'

CODE = """
def nan(items): return float("nan")
def undefined(items): raise KeyError("never called")
def results(doc, answers): return {"acc": 1.0, "broken": float("nan"), "pair": (1, 0.5), "text": ("a", "b")}
"""
METRICS = """
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: broken, aggregation: !function code.nan, higher_is_better: true}
  - {metric: pair, aggregation: !function code.nan, higher_is_better: false}
  - {metric: text, aggregation: !function code.nan, higher_is_better: true}
process_results: !function code.results
"""
BLOCK = "raise ImportError('the worker must not need this package')\n"


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A run with a secret, scores that are no numbers, a cache, and neither Airflow nor pydantic to import."""
    place = tmp_path_factory.mktemp("odd")
    tasks = place / "tasks"
    tasks.mkdir()
    (tasks / "code.py").write_text(CODE)
    config = own_task(task="odd")
    (tasks / "odd.yaml").write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in config.items()) + METRICS)
    blocked = place / "blocked"
    blocked.mkdir()
    for package in ("airflow", "pydantic"):
        (blocked / f"{package}.py").write_text(BLOCK)
    request = tiny_request(
        "odd",
        **{**NOT_CATALOGUED, "include_paths": [str(tasks)], "allow_code_execution": True},
        model_args={"token": SECRET},
        evaluate={"log_samples": True, "limit": 3, "use_cache": str(place / "run" / "cache" / "answers")},
    )
    return evaluate(place / "run", request, [SECRET], PYTHONPATH=f"{blocked}:{ROOT}")


def test_a_metric_that_is_nan_is_null(odd):
    metrics = odd.evaluation["tasks"]["odd"]["metrics"]

    assert metrics["broken,none"]["value"] is None
    assert metrics["acc,none"]["value"] == 1.0


def test_scores_hold_numbers_lists_of_numbers_or_null(odd):
    rows = odd.rows("odd")

    assert [row["metrics"] for row in rows] == [{"acc": 1.0, "broken": None, "pair": [1, 0.5], "text": None}] * 3


def test_samples_are_strict_json_too(odd):
    assert [row["broken"] for row in odd.rows("odd", "samples")] == [None] * 3


def test_a_secret_is_in_no_file(odd):
    assert odd.status == 0, odd.output
    spelled = {SECRET, json.dumps(SECRET)[1:-1], json.dumps(SECRET, ensure_ascii=False)[1:-1]}

    files = [path for path in odd.run.root.rglob("*") if path.is_file() and path.name != "output.txt"]

    assert odd.evaluation["model"]["args"]["token"] == "***"
    assert json.loads((odd.run.task("odd") / "result.json").read_bytes())["config"]["metadata"]["token"] == "***"
    texts = {path: path.read_bytes() for path in files}
    texts.update({odd.run.task("odd") / table: str(odd.rows("odd", table)).encode() for table in ("scores", "samples")})
    assert not [path for path, text in texts.items() for secret in spelled if secret.encode() in text]


def test_the_response_cache_is_named_after_the_model(odd):
    assert [path.name for path in (odd.run.root / "cache").iterdir()] != ["answers_rank0.db"]


def test_fingerprint_and_model_say_what_was_evaluated(odd):
    evaluation = odd.evaluation

    assert evaluation["model"]["identity"].startswith("sha256:")
    assert evaluation["model"]["dtype"] == "float32"
    assert evaluation["model"]["parameters"] > 100_000
    assert evaluation["fingerprint"]["model"]["identity"] == evaluation["model"]["identity"]
    assert evaluation["fingerprint"]["limit"] == 3
