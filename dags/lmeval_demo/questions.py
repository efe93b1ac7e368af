"""Questions that can only be answered by having learnt something general.

A model asked "Heavier, cat or horse?" about a pair it has never seen must have learnt from other pairs how heavy cats
and horses are. So the pairs are split once: a quarter is held out and evaluated, training sees the rest. Standard
library only.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WEIGHTS = {
    "ant": 5e-6, "bee": 1e-4, "beetle": 2e-3, "snail": 0.01, "mouse": 0.02, "sparrow": 0.03, "mole": 0.1,
    "hamster": 0.13, "rat": 0.3, "crow": 0.5, "hedgehog": 0.8, "duck": 1.2, "rabbit": 2, "cat": 4.5, "fox": 7,
    "lynx": 20, "dog": 30, "wolf": 42, "cheetah": 50, "goat": 60, "sheep": 80, "panda": 110, "lion": 190, "tiger": 220,
    "bear": 350, "horse": 500, "cow": 650, "bison": 900, "giraffe": 1100, "hippo": 1600, "rhino": 2300,
    "elephant": 5500, "whale": 1e5,
}  # fmt: skip
"""Typical weight of an adult, kilograms."""

HELD_OUT = 150
"""Pairs that are evaluated and never trained on."""
TASKS = ("demo_heavier", "demo_lighter")
"""The lm-eval tasks: a multiple choice and a free answer."""
_SPLIT_SEED = 1

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Question:
    """One question about two animals.

    :param text: what the model reads.
    :param choices: the two animals in the order of the text.
    :param answer: the right one.
    """

    text: str
    choices: Pair
    answer: str


def ask(word: str, pair: Pair) -> Question:
    """Put a question.

    :param word: ``Heavier`` or ``Lighter``.
    :param pair: two animals, in the order to name them.
    """
    pick = max if word == "Heavier" else min
    return Question(f"{word}, {pair[0]} or {pair[1]}?", pair, pick(pair, key=WEIGHTS.__getitem__))


def split() -> tuple[list[Pair], list[Pair]]:
    """Return the pairs to train on and the held-out ones; no two animals are together in both."""
    pairs = list(itertools.combinations(WEIGHTS, 2))
    random.Random(_SPLIT_SEED).shuffle(pairs)
    return pairs[HELD_OUT:], pairs[:HELD_OUT]


def training_questions() -> list[Question]:
    """Every training pair in both orders and with both words."""
    return [ask(word, order) for pair in split()[0] for order in (pair, pair[::-1]) for word in ("Heavier", "Lighter")]


def held_out(word: str) -> Iterator[Question]:
    """Yield the evaluation questions; which animal comes first changes from one to the next."""
    for index, pair in enumerate(split()[1]):
        yield ask(word, pair if index % 2 else pair[::-1])


def write_tasks(directory: Path) -> None:
    """Write the lm-eval tasks and their documents.

    :param directory: created if missing; give it to the spec as ``include_paths``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name, word in zip(TASKS, ("Heavier", "Lighter"), strict=True):
        documents = [
            {"question": q.text, "choices": [f" {c}" for c in q.choices], "answer": q.choices.index(q.answer)}
            for q in held_out(word)
        ]
        data = directory / f"{name}.jsonl"
        data.write_text("".join(json.dumps(document) + "\n" for document in documents))
        config = _common(name, data) | (_CHOOSES if word == "Heavier" else _GENERATES)
        (directory / f"{name}.yaml").write_text(json.dumps(config, indent=2))  # JSON is YAML


def _common(name: str, data: Path) -> dict[str, object]:
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data.absolute())}},
        "test_split": "test",
        "doc_to_text": "{{question}}",
        "target_delimiter": "",
        "metadata": {"version": 1.0},
    }


_CHOOSES: dict[str, object] = {
    "output_type": "multiple_choice",
    "doc_to_choice": "choices",
    "doc_to_target": "answer",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
_GENERATES: dict[str, object] = {
    "output_type": "generate_until",
    "doc_to_target": "{{choices[answer].strip()}}",
    "generation_kwargs": {"until": ["\n"], "do_sample": False, "max_gen_toks": 4},
    "filter_list": [{"name": "none", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]}],
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
