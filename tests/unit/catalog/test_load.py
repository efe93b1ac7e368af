import subprocess
import sys

from airflow_provider_lmeval.catalog import CATALOG_VERSION, GroupInfo, MetricInfo, TagInfo, catalog

HEAVY = ("kubernetes", "torch", "lm_eval", "transformers", "scipy", "numpy", "yaml", "pydantic", "airflow.models")


def test_the_shipped_catalogue_is_of_the_stated_version():
    assert catalog().lm_eval_version == CATALOG_VERSION


def test_a_misspelt_name_is_recognised():
    assert catalog().near("helaswag")[0] == "hellaswag"


def test_importing_reads_nothing_and_loads_nothing_heavy():
    code = (
        "import sys; from airflow_provider_lmeval.catalog import catalog; "
        f"print(catalog.cache_info().currsize, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == ["0", "[]\n"]


def test_a_task_is_described_as_lm_eval_defines_it():
    task = catalog().find("arc_challenge")
    assert task.output_type == "multiple_choice"
    assert task.metrics == (MetricInfo("acc", True), MetricInfo("acc_norm", True))
    assert (task.filters, task.num_fewshot, task.family) == (("none",), None, "arc")
    assert (task.dataset_path, task.dataset_name) == ("allenai/ai2_arc", "ARC-Challenge")


def test_filters_few_shot_and_direction_are_known():
    gsm8k = catalog().find("gsm8k")
    assert (gsm8k.filters, gsm8k.num_fewshot) == (("strict-match", "flexible-extract"), 5)
    assert MetricInfo("word_perplexity", False) in catalog().find("wikitext").metrics


def test_tasks_that_run_generated_code_are_marked():
    unsafe = {task.name for task in catalog().tasks() if task.unsafe_code}
    assert {"humaneval", "mbpp", "cruxeval_input"} <= unsafe
    assert not {"gsm8k", "hellaswag"} & unsafe


def test_groups_and_tags_hold_what_lm_eval_evaluates():
    assert len(catalog().expand(["mmlu"])) == 57
    assert len(catalog().expand(["leaderboard"])) == 39
    assert isinstance(catalog().find("glue"), TagInfo)
    assert isinstance(catalog().find("mmlu"), GroupInfo)
    assert catalog().find("mmlu").aggregates


def test_every_group_and_tag_expands():
    named = [*catalog().groups(), *catalog().tags()]
    assert all(catalog().expand([each.name]) for each in named)


def test_the_groups_that_lm_eval_gets_wrong_are_known():
    assert "only the last task of mmlu" in catalog().find("openllm").defect
    assert [group.name for group in catalog().defects(["mmlu", "leaderboard", "glue"])] == []


def test_suggestions_are_sensible():
    near = {name: catalog().near(name)[0] for name in ("mmlu_astronmy", "MMLU-Pro", "gsm", "wikitxt", "commonsenseqa")}
    assert near == {
        "mmlu_astronmy": "mmlu_astronomy",
        "MMLU-Pro": "mmlu_pro",
        "gsm": "gsm8k",
        "wikitxt": "wikitext",
        "commonsenseqa": "commonsense_qa",
    }
    assert {"arc_easy", "arc_challenge"} <= set(catalog().near("arc"))
