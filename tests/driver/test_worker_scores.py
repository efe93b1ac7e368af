"""The worker's scores against those of lm-eval's own command: equal, not close."""

import pytest

from tests.support.worker import evaluate, lm_eval_run, tiny_request

pytestmark = pytest.mark.driver

TASKS = ("tiny_mc", "tiny_gen", "tiny_ppl", "tiny_fewshot", "tiny_group")
LEAVES = ("tiny_mc", "tiny_gen", "tiny_ppl", "tiny_fewshot", "tiny_group_a", "tiny_group_b")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return lm_eval_run(tmp_path_factory.mktemp("reference"), tasks=",".join(TASKS))


@pytest.fixture(scope="module")
def one_call(tmp_path_factory):
    request = tiny_request(*TASKS, checkpoint="none", evaluate={"log_samples": True})
    return evaluate(tmp_path_factory.mktemp("one_call"), request)


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    return evaluate(tmp_path_factory.mktemp("one_by_one"), tiny_request(*TASKS))


@pytest.fixture(scope="module", params=["one_call", "one_by_one"])
def worker(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("task", [*LEAVES, "tiny_group"])
def test_metrics_and_standard_errors_equal_lm_evals(worker, reference, task):
    theirs = reference[0]["results"][task]

    ours = worker.evaluation["tasks"][task]["metrics"]

    expected = {key for key in theirs if "," in key and "_stderr" not in key}
    assert set(ours) == expected
    for key in expected:
        stderr = theirs[key.replace(",", "_stderr,")]
        assert ours[key]["value"] == theirs[key]
        assert ours[key]["stderr"] == (None if stderr == "N/A" else stderr)
        assert ours[key]["higher_is_better"] == reference[0]["higher_is_better"][task][key.partition(",")[0]]


@pytest.mark.parametrize("task", LEAVES)
def test_every_document_has_lm_evals_score(worker, reference, task):
    def key(row):
        return row["doc_id"], row["filter"]

    theirs = {key(row): row for row in reference[1][task]}

    ours = {key(row): row for row in worker.rows(task)}

    assert set(ours) == set(theirs)
    for place, row in ours.items():
        assert row["metrics"] == {name: theirs[place][name] for name in theirs[place]["metrics"]}
        assert all(row[name] == theirs[place][name] for name in ("doc_hash", "prompt_hash", "target_hash"))


@pytest.mark.parametrize("task", ["tiny_mc", "tiny_ppl", "tiny_fewshot"])
def test_in_one_call_loglikelihoods_equal_lm_evals_to_the_last_bit(one_call, reference, task):
    theirs = {row["doc_id"]: row["resps"] for row in reference[1][task]}

    ours = {row["doc_id"]: row["loglikelihoods"] for row in one_call.rows(task)}

    def first(response):
        return float(response[0] if isinstance(response, list) else response)

    assert ours == {doc: [first(responses[0]) for responses in requests] for doc, requests in theirs.items()}


def test_what_describes_the_tasks_equals_lm_evals(worker, reference):
    results, _ = reference

    tasks = worker.evaluation["tasks"]

    assert {name: tasks[name]["task_hash"] for name in LEAVES} == results["task_hashes"]
    assert {name: task["num_fewshot"] for name, task in tasks.items()} == results["n-shot"]
    assert {name: tasks[name]["n_samples"] for name in LEAVES} == results["n-samples"]
    assert {name: tasks[name]["version"] for name in LEAVES} == {name: results["versions"][name] for name in LEAVES}
    assert tasks["tiny_group"]["subtasks"] == results["group_subtasks"]["tiny_group"]


@pytest.mark.parametrize("task", LEAVES)
def test_samples_are_lm_evals_rows(one_call, reference, task):
    def by_document(rows):
        return sorted(rows, key=lambda row: (row["doc_id"], row["filter"]))

    assert by_document(one_call.rows(task, "samples")) == by_document(reference[1][task])


def test_without_log_samples_no_text_is_kept(one_by_one):
    allowed = {
        "doc_id",
        "doc_hash",
        "prompt_hash",
        "target_hash",
        "filter",
        "metrics",
        "response_hash",
        "loglikelihoods",
    }

    rows = [row for task in LEAVES for row in one_by_one.rows(task)]

    assert all(set(row) <= allowed for row in rows)
    assert not any((one_by_one.run.task(task) / "samples.jsonl.gz").exists() for task in LEAVES)


def test_the_trained_model_is_good_but_not_perfect(one_by_one):
    """Tests of gates rely on it: a score of 1.0 would have no standard error."""
    tasks = one_by_one.evaluation["tasks"]

    assert tasks["tiny_mc"]["metrics"]["acc,none"]["value"] == pytest.approx(0.9)
    assert tasks["tiny_gen"]["metrics"]["exact_match,whole"]["value"] == pytest.approx(0.9)


OPTIONS = {
    "num_fewshot": 1,
    "limit": 0.3,
    "gen_kwargs": {"max_gen_toks": 3, "do_sample": False},
    "system_instruction": "Answer with a colour; or else, $(nothing).",
    "apply_chat_template": True,
    "random_seed": 5,
    "numpy_seed": 6,
    "torch_seed": 7,
    "fewshot_seed": 8,
    "log_samples": True,
}


def test_options_mean_what_they_mean_to_lm_eval(tmp_path):
    """One task of each kind: then a call per task sends lm-eval's own batches, and every bit is the same."""
    arguments = ["--num_fewshot", "1", "--limit", "0.3", "--apply_chat_template", "--seed", "5,6,7,8"]
    arguments += [
        "--gen_kwargs",
        "max_gen_toks=3,do_sample=False",
        "--system_instruction",
        OPTIONS["system_instruction"],
    ]
    reference, samples = lm_eval_run(tmp_path / "reference", *arguments, tasks="tiny_gen,tiny_fewshot")

    worker = evaluate(tmp_path / "run", tiny_request("tiny_gen", "tiny_fewshot", evaluate=OPTIONS))

    evaluation = worker.evaluation
    assert set(evaluation["tasks"]) == {"tiny_gen", "tiny_fewshot"}
    for name, task in evaluation["tasks"].items():
        assert {key: metric["value"] for key, metric in task["metrics"].items()} == {
            key: value for key, value in reference["results"][name].items() if key in task["metrics"]
        }
        assert task["n_samples"] == {"original": 40, "effective": 12}
        assert worker.rows(name, "samples") == samples[name]
    assert evaluation["fingerprint"]["chat_template"] == reference["chat_template_sha"]
    assert evaluation["fingerprint"]["system_instruction"] == reference["system_instruction_sha"]
    assert evaluation["config"]["fewshot_as_multiturn"] == reference["fewshot_as_multiturn"]
