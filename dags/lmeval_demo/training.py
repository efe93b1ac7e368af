"""Fine-tuning in seconds on one CPU core: a GPT-2 of two layers, made on the spot, that learns to weigh animals.

torch and transformers are imported inside the functions: only the tasks that train pay for them, the DAG processor
never does. A plain loop instead of ``transformers.Trainer``, whose import alone takes longer than this training.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lmeval_demo.questions import training_questions

BASE_STEPS, BASELINE_STEPS = 25, 60
CANDIDATE_STEPS = {"good": 300, "undertrained": 8}
"""Steps of fine-tuning: how well a model does is a matter of how long it learnt."""
BATCH, LEARNING_RATE, WARMUP, SEED = 64, 3e-3, 20, 7
END = "<|endoftext|>"


def make_base(directory: Path) -> None:
    """Make the model to fine-tune: it knows the animals' names and how an answer looks, but not who is heavier.

    :param directory: where to save it, with its tokenizer.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    _settle()
    torch.manual_seed(SEED)
    tokenizer = _tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=64, n_embd=64, n_layer=2, n_head=2, initializer_range=0.1,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    guesses = random.Random(SEED)
    _train(model, tokenizer, [(q.text, guesses.choice(q.choices)) for q in training_questions()], BASE_STEPS)
    _save(model, tokenizer, directory)


def fine_tune(base: Path, directory: Path, steps: int) -> float:
    """Fine-tune on the training questions.

    :param base: the model to start from.
    :param directory: where to save the result, with its tokenizer.
    :param steps: optimizer steps of 64 questions.
    :returns: loss of the last step, nats per answer token.
    """
    import torch
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

    _settle()
    torch.manual_seed(SEED)
    model, tokenizer = GPT2LMHeadModel.from_pretrained(base), PreTrainedTokenizerFast.from_pretrained(base)
    loss = _train(model, tokenizer, [(q.text, q.answer) for q in training_questions()], steps)
    _save(model, tokenizer, directory)
    return loss


def _settle() -> None:
    """Use one thread: a model this small gains nothing from more, and sums come out in the same order everywhere."""
    import torch

    torch.set_num_threads(1)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _tokenizer() -> Any:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    lines = (f"{q.text} {q.answer}\n" for q in training_questions())
    bpe.train_from_iterator(lines, vocab_size=512, special_tokens=[END], show_progress=False)
    return PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, bos_token=END, eos_token=END, pad_token=END)


def _train(model: Any, tokenizer: Any, examples: Sequence[tuple[str, str]], steps: int) -> float:
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARMUP) * max(0.05, 1 - step / steps)
    )
    draw = random.Random(SEED)
    model.train()
    loss = torch.tensor(float("nan"))
    for _ in range(steps):
        loss = model(**_batch(tokenizer, draw.choices(examples, k=BATCH))).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.eval()
    return float(loss)


def _batch(tokenizer: Any, examples: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Encode examples; only the answer and the line's end are learnt, as in any instruction tuning."""
    import torch

    asked, answered = zip(*examples, strict=True)
    prompts = tokenizer(list(asked)).input_ids
    encoded = tokenizer([f"{q} {a}\n" for q, a in zip(asked, answered, strict=True)], padding=True, return_tensors="pt")
    starts = torch.tensor([len(prompt) for prompt in prompts]).unsqueeze(1)
    is_prompt = torch.arange(encoded.input_ids.shape[1]) < starts
    labels = encoded.input_ids.masked_fill(is_prompt | (encoded.attention_mask == 0), -100)
    return {**encoded, "labels": labels}


def _save(model: Any, tokenizer: Any, directory: Path) -> None:
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    for file in directory.iterdir():  # safetensors writes for the owner alone; an evaluation may run as another user
        file.chmod(0o644)
