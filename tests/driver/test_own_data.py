"""Data of one's own are evaluated by lm-eval as an ordinary task, and refused by line before a model is loaded."""

import csv
import io
import json
import random
import re
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from airflow_provider_lmeval.plan import Grants, Placement, plan_request
from airflow_provider_lmeval.spec import EvalSpec
from tests.support.tiny import COLOURS, FACTS, tiny_model
from tests.support.translated import run_here
from tests.support.worker import ROOT, environment, evaluate

pytestmark = pytest.mark.driver

THINGS = list(FACTS)[:20]
SHOTS = list(FACTS)[20:26]
PROMPT = "Q: What colour is the {question}?\nA:"
CHOOSES = {"columns": {"question": "thing", "choices": list(COLOURS), "answer": "colour"}, "answer_is": "text"}
LIMITS = {
    "model": {"type": "hf", "pretrained": str(tiny_model()), "dtype": "float32"},
    "device": "cpu",
    "batch_size": 8,
}


def table(things):
    """Return the content of a CSV file: a thing, its colour, and each colour as a column of choices."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["thing", "colour", *COLOURS])
    writer.writerows([thing, FACTS[thing], *COLOURS] for thing in things)
    return stream.getvalue()


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def own(name="colours", **fields):
    return {"name": name, "prompt": PROMPT, **CHOOSES, **fields}


def run(place, *data, online=False, env=None, **fields):
    """Evaluate as a run does: from the spec over the wire to the worker; files of the test's directory may be read."""
    spec = EvalSpec.parse({**LIMITS, "data": data, "allow_online": online, **fields})
    grants = Grants(online=online, data_roots=(str(place),))
    return evaluate(place / "run", plan_request(spec, "run-1", grants, Placement()), **(env or {}))


def refusal(place, *data, **fields):
    worker = run(place, *data, **fields)
    assert "loading model" not in [event.get("phase") for event in worker.events]
    return worker.failure


def cached(rows, cache):
    """Put rows into the cache of ``datasets`` as the Hub's ``org/quiz``."""
    child = ROOT / "tests" / "support" / "children" / "caches_dataset.py"
    subprocess.run([sys.executable, child, rows, cache, "org/quiz"], env=environment(), check=True, capture_output=True)
    return {"HF_DATASETS_CACHE": str(cache)}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """One run over the same twenty questions as CSV, shuffled as JSON lines and dataset; with examples; as generation."""
    place = tmp_path_factory.mktemp("own")
    shuffled = random.Random(3).sample(THINGS, len(THINGS))
    lines = [{"thing": t, "choices": list(COLOURS), "colour": COLOURS.index(FACTS[t])} for t in shuffled]
    as_csv = write(place / "colours.csv", table(THINGS))
    as_json = write(place / "colours.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    shots = {"path": write(place / "shots.csv", table(SHOTS))}
    said = {"columns": {"question": "thing", "answer": "colour"}, "output_type": "generate_until", "max_gen_toks": 8}
    return run(
        place,
        own(path=as_csv, metrics=["acc", "acc_norm", "brier_score", "mcc"]),
        {"name": "lines", "path": as_json, "prompt": PROMPT, "columns": {"question": "thing", "answer": "colour"}},
        own("shots", path=as_csv, num_fewshot=2, fewshot=shots),
        {"name": "said", "path": as_csv, "prompt": PROMPT, **said, "metrics": ["exact_match", "chrf"]},
        {"name": "hub", "dataset": "org/quiz", "prompt": PROMPT, "columns": {"question": "thing", "answer": "colour"}},
        log_samples=True,
        env=cached(as_json, place / "cache"),
    )


def test_a_csv_file_is_scored_with_errors_and_directions(evaluated):
    metrics = evaluated.evaluation["tasks"]["colours"]["metrics"]

    assert 0.85 <= metrics["acc,none"]["value"] < 1  # the model has never read about two of the twenty things
    assert metrics["acc,none"]["stderr"] > 0
    assert metrics["acc,none"]["n"] == 20
    assert {name: entry["higher_is_better"] for name, entry in metrics.items()} == {
        "acc,none": True, "acc_norm,none": True, "brier_score,none": False, "mcc,none": True,
    }  # fmt: skip


def test_answers_that_the_model_writes_are_compared_without_surrounding_space(evaluated):
    metrics = evaluated.evaluation["tasks"]["said"]["metrics"]

    assert metrics["exact_match,none"]["value"] >= 0.85
    assert metrics["chrf,none"]["value"] > 85


def test_the_same_questions_in_another_order_and_format_are_the_same_data(evaluated):
    tasks = evaluated.evaluation["fingerprint"]["tasks"]
    colours, lines, hub = (tasks[name] for name in ("colours", "lines", "hub"))

    assert colours["version"] == lines["version"] == hub["version"]
    assert hub["dataset"]["path"] == "org/quiz"
    assert colours["dataset"]["fingerprint"] == lines["dataset"]["fingerprint"]
    assert colours["dataset"]["fingerprint"].startswith(f"sha256:{colours['version']}")
    assert (colours["documents"], colours["targets"]) == (lines["documents"], lines["targets"])
    assert colours["dataset"]["path"].endswith("colours.csv")


def test_examples_come_from_their_own_file_and_are_part_of_the_version(evaluated):
    tasks = evaluated.evaluation["fingerprint"]["tasks"]
    prompts = [row["arguments"]["gen_args_0"]["arg_0"] for row in evaluated.rows("shots", "samples")]

    assert all(prompt.count("Q: What colour is the ") == 3 for prompt in prompts)
    assert all(any(f"the {thing}?\nA: {FACTS[thing]}" in prompt for thing in SHOTS) for prompt in prompts)
    assert tasks["shots"]["version"] != tasks["colours"]["version"]
    assert (tasks["shots"]["num_fewshot"], tasks["colours"]["num_fewshot"]) == (2, 0)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """One run over questions with two right answers, nested in JSON lines and Parquet, as columns in CSV."""
    from pyarrow import Table, parquet

    place = tmp_path_factory.mktemp("several")
    nested = [{"item": {"thing": t}, "gold": {"text": [f"no {FACTS[t]}", FACTS[t]]}} for t in [*THINGS, *SHOTS]]
    tested, shots = nested[: len(THINGS)], nested[len(THINGS) :]
    parquet.write_table(Table.from_pylist(tested), place / "rows.parquet")
    as_json = write(place / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in tested))
    as_csv = write(place / "rows.csv", "thing,a,b\n" + "".join(f"{t},no {FACTS[t]},{FACTS[t]}\n" for t in THINGS))
    examples = {"path": write(place / "shots.jsonl", "".join(json.dumps(row) + "\n" for row in shots))}
    said = {"output_type": "generate_until", "max_gen_toks": 8, "prompt": PROMPT}
    said |= {"columns": {"question": "item.thing", "answers": "gold.text"}}
    flat = said | {"columns": {"question": "thing", "answers": ["a", "b"]}}
    return run(
        place,
        said | {"name": "lines", "path": as_json},
        said | {"name": "parquet", "path": str(place / "rows.parquet")},
        flat | {"name": "csv", "path": as_csv},
        said | {"name": "shots", "path": as_json, "num_fewshot": 1, "fewshot": examples},
        log_samples=True,
    )


def test_any_of_several_answers_counts_whatever_the_format(several):
    tasks = several.evaluation["tasks"]
    scores = {name: tasks[name]["metrics"]["exact_match,none"] for name in ("lines", "parquet", "csv")}

    assert scores["lines"]["value"] >= 0.85
    assert scores["lines"] == scores["parquet"] == scores["csv"]
    assert len({several.evaluation["fingerprint"]["tasks"][name]["version"] for name in scores}) == 1


def test_an_example_shows_the_first_of_its_answers(several):
    prompts = [row["arguments"]["gen_args_0"]["arg_0"] for row in several.rows("shots", "samples")]

    assert all(any(f"the {thing}?\nA: no {FACTS[thing]}\n" in prompt for thing in SHOTS) for prompt in prompts)


def test_bad_rows_are_named_by_line_before_the_model_is_loaded(tmp_path):
    rows = table(THINGS).replace("apple,", "apple,mauve ", 1).splitlines()
    rows += [rows[4], "too,few"]
    place = tmp_path / "broken.csv"
    place.write_bytes("\n".join(rows).encode() + b"\ncaf\xe9,black,black,blue,green,red,white,yellow\n")

    cause, message = refusal(tmp_path, own(path=str(place)))

    assert cause == "dataset"
    assert "line 2: column 'colour' is 'mauve " in message
    assert "line 22: the same question as in line 5" in message
    assert "line 23: 2 cells, but the header names 8 columns" in message
    assert "line 24: byte 0xe9 at position 4 is not UTF-8" in message


def test_a_file_on_another_machine_is_fetched_if_online_access_is_allowed(tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    write(served / "colours.csv", table(THINGS))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(served))) as server:
        Thread(target=server.serve_forever).start()
        try:
            worker = run(tmp_path, own(uri=f"http://127.0.0.1:{server.server_port}/colours.csv"), online=True, limit=2)
        finally:
            server.shutdown()

    assert worker.evaluation["tasks"]["colours"]["n_samples"] == {"original": 20, "effective": 2}


def test_files_in_object_storage_are_read_with_the_keys_of_env(tmp_path, monkeypatch):
    pytest.importorskip("s3fs", reason="needs s3fs")
    from tests.support.s3 import Bucket

    (tmp_path / "bucket").mkdir()
    write(tmp_path / "bucket" / "colours.csv", table(THINGS))
    write(tmp_path / "bucket" / "shots.csv", table(SHOTS))
    monkeypatch.setenv("S3_KEY", "AKIAEXAMPLE")
    monkeypatch.setenv("S3_SECRET", "very-secret-words")
    with Bucket(
        tmp_path / "bucket", name="evaluation", key="AKIAEXAMPLE", secret="very-secret-words", region="eu-1"
    ) as s3:
        shots = {"uri": "s3://evaluation/shots.csv"}
        env = {"AWS_ACCESS_KEY_ID": {"env": "S3_KEY"}, "AWS_SECRET_ACCESS_KEY": {"env": "S3_SECRET"}}
        env |= {"AWS_ENDPOINT_URL": s3.url, "AWS_DEFAULT_REGION": "eu-1"}
        data = own(uri="s3://evaluation/colours.csv", num_fewshot=1, fewshot=shots)
        result = run_here(EvalSpec.parse({**LIMITS, "data": [data], "allow_online": True, "env": env}), tmp_path)

    assert sorted(s3.got) == ["colours.csv", "shots.csv"]
    assert result.metric("colours", "acc").n == 20
    assert [path for path in tmp_path.rglob("*") if path.is_file() and b"very-secret-words" in path.read_bytes()] == []


def test_the_example_of_the_documentation_runs(tmp_path):
    page = (ROOT / "docs" / "data.md").read_text()
    (console,) = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    script = re.sub(r"^\$ ", "", console, flags=re.MULTILINE).replace("EleutherAI/pythia-70m", str(tiny_model()))
    tool = f'airflow-lmeval() {{ {sys.executable} -m airflow_provider_lmeval "$@"; }}\n'
    config = {"AIRFLOW_HOME": str(tmp_path / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "COLUMNS": "200"}
    done = subprocess.run(
        ["bash", "-euc", tool + script], cwd=tmp_path, env=environment(**config, AIRFLOW__LMEVAL__ALLOW_ONLINE="True"),
        capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid, content hash" in done.stdout
    assert re.search(r"capitals .* acc\b", done.stdout), done.stdout
