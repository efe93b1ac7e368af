"""Named suites: the collections of tasks, with their settings, that people mean by "the leaderboard".

A published score is comparable only with the same tasks, number of examples and metric, and lm-eval fixes those
for few collections: its ``openllm`` group even evaluates one MMLU subject instead of 57 (see :mod:`.groups`).
So they are fixed here, and each suite says where it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from airflow_provider_lmeval.catalog.spelling import nearest
from airflow_provider_lmeval.errors import UnknownTaskError


@dataclass(frozen=True, slots=True)
class SuiteTask:
    """One member of a suite.

    :param task: a task, group or tag.
    :param num_fewshot: examples in the prompt; None keeps the task's own number.
    :param metric: the score that the suite reports for it, None where it has no single one.
    :param filter: the answer filter of that score.
    """

    task: str
    num_fewshot: int | None = None
    metric: str | None = None
    filter: str = "none"


@dataclass(frozen=True, slots=True)
class Suite:
    """A named collection.

    :param source: URL of the leaderboard or paper that the selection follows.
    :param extras: extras of ``lm-eval`` that its tasks need, as in ``pip install "lm-eval[math]"``.
    """

    name: str
    title: str
    description: str
    tasks: tuple[SuiteTask, ...]
    source: str
    extras: tuple[str, ...] = ()


_ALL = (
    Suite(
        "open-llm-leaderboard-v1",
        "Open LLM Leaderboard v1",
        "Hugging Face's leaderboard of 2023-2024: six benchmarks with the original numbers of examples.",
        (
            SuiteTask("arc_challenge", 25, "acc_norm"),
            SuiteTask("hellaswag", 10, "acc_norm"),
            SuiteTask("mmlu", 5, "acc"),
            SuiteTask("truthfulqa_mc2", 0, "acc"),
            SuiteTask("winogrande", 5, "acc"),
            SuiteTask("gsm8k", 5, "exact_match", "strict-match"),
        ),
        "https://huggingface.co/docs/leaderboards/open_llm_leaderboard/archive",
    ),
    Suite(
        "open-llm-leaderboard-v2",
        "Open LLM Leaderboard v2",
        "Hugging Face's leaderboard of 2024-2025. Its IFEval score also averages in inst_level_strict_acc.",
        (
            SuiteTask("leaderboard_ifeval", None, "prompt_level_strict_acc"),
            SuiteTask("leaderboard_bbh", None, "acc_norm"),
            SuiteTask("leaderboard_math_hard", None, "exact_match"),
            SuiteTask("leaderboard_gpqa", None, "acc_norm"),
            SuiteTask("leaderboard_musr", None, "acc_norm"),
            SuiteTask("leaderboard_mmlu_pro", None, "acc"),
        ),
        "https://huggingface.co/docs/leaderboards/open_llm_leaderboard/about",
        ("ifeval", "math"),
    ),
    Suite(
        "mmlu",
        "MMLU",
        "Multiple-choice questions on 57 subjects with five examples.",
        (SuiteTask("mmlu", 5, "acc"),),
        "https://arxiv.org/abs/2009.03300",
    ),
    Suite(
        "mmlu-pro",
        "MMLU-Pro",
        "Harder MMLU with ten choices, answered by reasoning step by step.",
        (SuiteTask("mmlu_pro", None, "exact_match", "custom-extract"),),
        "https://arxiv.org/abs/2406.01574",
    ),
    Suite(
        "bbh",
        "BIG-Bench Hard",
        "The 27 tasks of BIG-Bench on which early models fell short of people, with three worked examples.",
        (SuiteTask("bbh_cot_fewshot", 3, "exact_match", "get-answer"),),
        "https://arxiv.org/abs/2210.09261",
    ),
    Suite(
        "glue",
        "GLUE",
        "Sentence understanding in English, zero-shot; without STS-B, which lm-eval does not have in this form.",
        (
            SuiteTask("cola", 0, "mcc"),
            SuiteTask("sst2", 0, "acc"),
            SuiteTask("mrpc", 0, "f1"),
            SuiteTask("qqp", 0, "f1"),
            SuiteTask("mnli", 0, "acc"),
            SuiteTask("mnli_mismatch", 0, "acc"),
            SuiteTask("qnli", 0, "acc"),
            SuiteTask("rte", 0, "acc"),
            SuiteTask("wnli", 0, "acc"),
        ),
        "https://arxiv.org/abs/1804.07461",
    ),
    Suite(
        "super-glue",
        "SuperGLUE",
        "The harder successor of GLUE, zero-shot.",
        (
            SuiteTask("boolq", 0, "acc"),
            SuiteTask("cb", 0, "acc"),
            SuiteTask("copa", 0, "acc"),
            SuiteTask("multirc", 0, "acc"),
            SuiteTask("record", 0, "f1"),
            SuiteTask("sglue_rte", 0, "acc"),
            SuiteTask("wic", 0, "acc"),
            SuiteTask("wsc", 0, "acc"),
        ),
        "https://arxiv.org/abs/1905.00537",
    ),
    Suite(
        "ai2-arc",
        "AI2 Reasoning Challenge",
        "Grade-school science questions, easy and hard, zero-shot.",
        (SuiteTask("arc_easy", 0, "acc_norm"), SuiteTask("arc_challenge", 0, "acc_norm")),
        "https://arxiv.org/abs/1803.05457",
    ),
    Suite(
        "commonsense",
        "Commonsense reasoning",
        "The eight zero-shot tasks that reports on base models have shared since LLaMA.",
        (
            SuiteTask("boolq", 0, "acc"),
            SuiteTask("piqa", 0, "acc_norm"),
            SuiteTask("social_iqa", 0, "acc"),
            SuiteTask("hellaswag", 0, "acc_norm"),
            SuiteTask("winogrande", 0, "acc"),
            SuiteTask("arc_easy", 0, "acc_norm"),
            SuiteTask("arc_challenge", 0, "acc_norm"),
            SuiteTask("openbookqa", 0, "acc_norm"),
        ),
        "https://arxiv.org/abs/2302.13971",
    ),
    Suite(
        "truthfulqa",
        "TruthfulQA",
        "Whether a model prefers true answers to common misconceptions, by its two multiple-choice scores.",
        (SuiteTask("truthfulqa_mc1", 0, "acc"), SuiteTask("truthfulqa_mc2", 0, "acc")),
        "https://arxiv.org/abs/2109.07958",
    ),
    Suite(
        "code",
        "Code generation",
        "Python functions written from a description and judged by running their tests: needs code execution.",
        (SuiteTask("humaneval", 0, "pass@1", "create_test"), SuiteTask("mbpp", 3, "pass_at_1")),
        "https://arxiv.org/abs/2107.03374",
    ),
    Suite(
        "math",
        "Mathematics",
        "Word problems of grade school and problems of competitions, with worked examples.",
        (
            SuiteTask("gsm8k", 5, "exact_match", "flexible-extract"),
            SuiteTask("minerva_math", 4, "math_verify"),
            SuiteTask("mathqa", 0, "acc_norm"),
        ),
        "https://arxiv.org/abs/2206.14858",
        ("math",),
    ),
    Suite(
        "perplexity",
        "Language modelling",
        "How well the model predicts text: encyclopedia articles, and the last word of passages from novels.",
        (SuiteTask("wikitext", 0, "word_perplexity"), SuiteTask("lambada_openai", 0, "perplexity")),
        "https://arxiv.org/abs/1606.06031",
    ),
    Suite(
        "multilingual",
        "Multilingual understanding",
        "Inference, cause and effect, story endings and pronouns in six to fifteen languages, zero-shot.",
        (
            SuiteTask("xnli", 0, "acc"),
            SuiteTask("xcopa", 0, "acc"),
            SuiteTask("xstorycloze", 0, "acc"),
            SuiteTask("xwinograd", 0, "acc"),
        ),
        "https://arxiv.org/abs/2112.10668",
    ),
    Suite(
        "instruction-following",
        "Instruction following",
        "Instructions whose fulfilment a program can check, such as a number of words.",
        (SuiteTask("ifeval", 0, "prompt_level_strict_acc"),),
        "https://arxiv.org/abs/2311.07911",
        ("ifeval",),
    ),
)

SUITES: Mapping[str, Suite] = MappingProxyType({each.name: each for each in _ALL})
ALIASES: Mapping[str, str] = MappingProxyType({"open-llm-leaderboard": "open-llm-leaderboard-v2"})


def suite(name: str) -> Suite:
    """Return a suite; ``open-llm-leaderboard`` is the latest version of it.

    :raises UnknownTaskError: no suite has this name.
    """
    found = SUITES.get(ALIASES.get(name, name))
    if found is None:
        near = nearest(name, SUITES, 3) or sorted(SUITES)
        raise UnknownTaskError(f"There is no suite {name!r}; there are, among others, {', '.join(near)}.")
    return found
