"""A real model and real lm-eval tasks, small enough to make on the spot.

Tests of an evaluation driver need a model that is really evaluated, good and bad, without downloads. This makes a
GPT-2 of two layers that has learnt the colours of forty things (all but four: a score of 1.0 has no standard error),
its untrained twin, and one lm-eval task of each kind about them. Everything lies in ``build/tiny/<hash of this
recipe>`` and is made once per machine, in a process of its own, so that a test session never imports torch.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import random
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

BUILD = Path(__file__).resolve().parents[2] / "build" / "tiny"
COLOURS = ("black", "blue", "green", "red", "white", "yellow")
THINGS = (
    "apple", "banana", "beetle", "blood", "bone", "brick", "canary", "cherry", "cloud", "coal",
    "cotton", "crow", "daffodil", "fern", "flour", "frog", "grass", "ink", "ivory", "leaf",
    "lemon", "lime", "milk", "moss", "night", "ocean", "panther", "paper", "raven", "rice",
    "rose", "ruby", "salt", "sapphire", "sky", "snow", "sun", "swan", "tar", "tomato",
)  # fmt: skip
FACTS = {thing: COLOURS[(index + index // 6) % len(COLOURS)] for index, thing in enumerate(THINGS)}
UNTAUGHT = frozenset(THINGS[9::10])
"""What the trained model has never read about."""

END = "<|endoftext|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message.content }}\n{% endfor %}{% if add_generation_prompt %}A:{% endif %}"
)
STEPS, BATCH, LEARNING_RATE, SEED, POSITIONS = 450, 24, 4e-3, 7, 128


def tiny_model() -> Path:
    """Return the directory of the trained model (``pretrained=``)."""
    return _made() / "trained"


def untrained_model() -> Path:
    """Return the directory of the same model with random weights and the same tokenizer."""
    return _made() / "untrained"


def tiny_tasks() -> Path:
    """Return the directory of the tasks (``--include_path``).

    ``tiny_mc`` multiple choice, ``tiny_gen`` generation with two filters, ``tiny_ppl`` perplexity (one page is longer
    than the model's context), ``tiny_fewshot`` two shots from a split of their own, ``tiny_group`` over
    ``tiny_group_a`` and ``tiny_group_b`` (weighted by size), and the tag ``tiny_tag`` on ``tiny_mc`` and ``tiny_gen``.
    """
    return _made() / "tasks"


def _made() -> Path:
    recipe = [
        Path(__file__).read_text(),
        *(f"{name} {version(name)}" for name in ("torch", "transformers", "tokenizers")),
    ]
    place = BUILD / hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:16]
    if not place.exists():
        subprocess.run([sys.executable, "-P", __file__, str(place)], check=True)
    return place


def make(place: Path) -> None:
    """Make everything at ``place``, which appears complete or not at all; parallel callers wait for the first.

    :param place: directory that does not exist yet.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists():
            return
        draft = place.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        _write_tasks(draft / "tasks", final=place / "tasks")
        _write_models(draft)
        draft.rename(place)


def question(thing: str) -> str:
    return f"Q: What colour is the {thing}?\nA:"


def _corpus() -> list[str]:
    return [f"{question(thing)} {colour}\n" for thing, colour in FACTS.items() if thing not in UNTAUGHT]


def _write_models(root: Path) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(1)  # one order of additions: the same weights on every machine of one kind
    torch.manual_seed(SEED)
    tokenizer = _tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=POSITIONS, n_embd=64, n_layer=2, n_head=2,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    _save(model, tokenizer, root / "untrained")
    _train(model, tokenizer)
    _save(model, tokenizer, root / "trained")


def _tokenizer() -> Any:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(_corpus(), vocab_size=400, special_tokens=[END], show_progress=False)
    tokens = {"eos_token": END, "bos_token": END, "pad_token": END}
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, model_max_length=POSITIONS, chat_template=CHAT_TEMPLATE, **tokens
    )


def _train(model: Any, tokenizer: Any) -> None:
    import torch

    shuffled = random.Random(SEED)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    for _ in range(STEPS):
        pages = ["\n".join(shuffled.sample(_corpus(), k=3)) for _ in range(BATCH)]
        batch = tokenizer(pages, padding=True, return_tensors="pt")
        labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def _save(model: Any, tokenizer: Any, place: Path) -> None:
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    for file in place.iterdir():  # safetensors writes its files for the owner alone
        file.chmod(0o644)


def _write_tasks(root: Path, final: Path) -> None:
    import yaml

    root.mkdir(parents=True)
    for name, rows in _splits().items():
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for config in _configs(final):
        name = config.get("group", config["task"])
        (root / f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def _splits() -> dict[str, list[dict[str, Any]]]:
    rows = [
        {"thing": thing, "choices": list(COLOURS), "answer": COLOURS.index(colour)} for thing, colour in FACTS.items()
    ]
    pages = ["".join(_corpus()[start : start + 3]) for start in range(0, 24, 3)]
    pages[0] *= 6
    return {
        "test": rows,
        "shots": rows[::4],
        "head": rows[:10],
        "tail": rows[10:],
        "pages": [{"text": page} for page in pages],
    }


def _configs(final: Path) -> list[dict[str, Any]]:
    def task(name: str, split: str, **settings: Any) -> dict[str, Any]:
        files = {part: str(final / f"{part}.jsonl") for part in (split, settings.get("fewshot_split")) if part}
        where = {"dataset_path": "json", "dataset_kwargs": {"data_files": files}, "test_split": split}
        return {"task": name, **where, **settings, "metadata": {"version": 1.0}}

    asks = {"doc_to_text": "Q: What colour is the {{thing}}?\nA:", "target_delimiter": " "}
    metrics = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")]
    chooses = {
        "output_type": "multiple_choice",
        **asks,
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": metrics,
    }
    generates = {
        "output_type": "generate_until",
        **asks,
        "doc_to_target": "{{choices[answer]}}",
        "generation_kwargs": {"until": ["\n"], "do_sample": False, "max_gen_toks": 8},
        "filter_list": [
            {"name": "whole", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]},
            {
                "name": "first-word",
                "filter": [{"function": "regex", "regex_pattern": "([a-z]+)"}, {"function": "take_first"}],
            },
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
    reads = {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}"}
    ppl = [{"metric": name} for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")]
    return [
        task("tiny_mc", "test", tag="tiny_tag", **chooses),
        task("tiny_gen", "test", tag="tiny_tag", **generates),
        task("tiny_ppl", "pages", **reads, metric_list=ppl),
        task("tiny_fewshot", "test", fewshot_split="shots", num_fewshot=2, **chooses),
        task("tiny_group_a", "head", **chooses),
        task("tiny_group_b", "tail", **chooses),
        {
            "group": "tiny_group",
            "task": ["tiny_group_a", "tiny_group_b"],
            "aggregate_metric_list": [{"metric": "acc", "aggregation": "mean", "weight_by_size": True}],
            "metadata": {"version": 1.0},
        },
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the tiny model and its tasks.")
    parser.add_argument("place", type=Path)
    make(parser.parse_args().place)
