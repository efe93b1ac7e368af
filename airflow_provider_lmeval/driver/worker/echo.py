"""Holds a server's answers against what lm-eval takes from them, before any document is scored.

For a log-likelihood lm-eval asks for the prompt's own tokens with their log-probabilities (``echo``, ``logprobs``) and cuts
the continuation out by position. A server that ignores ``echo``, or counts tokens otherwise than the tokenizer here, gives
wrong numbers with status 200: scores of guessing, silently (lm_eval/models/openai_completions.py, 0.4.13). So one pair of
texts is sent as lm-eval would send it, and every assumption about the answer is checked. Later answers are checked too, as
far as that costs nothing: behind one address there may be several servers.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_lmeval.driver.worker.endpoint import check_status
from airflow_provider_lmeval.driver.worker.endpoint_client import Client, unusable
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause

PROBE = ("Question: Which of the 12 colours is the sky?\nAnswer:", " blue, unless it rains; then gray.")
"""A context and its continuation: plain characters, so that no tokenizer spells them in bytes."""
_MARKS = re.compile(r"[\s\u2581\u0120\u010a]")
"""White space, and the signs by which tokenizers show it (SentencePiece, byte-level BPE)."""
_ELSEWHERE = "Serve the model with vLLM, or choose tasks that generate (local-chat-completions can do those)."
_TOKENIZER = (
    "Set model.tokenizer to the served model's own: its Hub id (owner/name) or a directory, at the right revision."
)

_log = logging.getLogger(__name__)


def check_answers(lm: Any, client: Client, model_args: Mapping[str, Any], *, loglikelihood: bool) -> None:
    """Find out whether the server's answers are what lm-eval takes them for.

    :param lm: lm-eval's model object. :param client: asks its server.
    :param loglikelihood: the tasks need log-likelihoods; otherwise only the tokenizer is looked at.
    :raises RunFailedError: ``bad_spec``: they are not, with what to do; ``endpoint``: there was no answer.
    """
    if loglikelihood:
        _check_loglikelihood(lm, client, model_args)
    elif lm.tokenizer_backend in ("huggingface", "tiktoken") and lm.tokenized_requests:
        _check_count(lm, client, model_args)


def _check_loglikelihood(lm: Any, client: Client, model_args: Mapping[str, Any]) -> None:
    context, continuation = lm._encode_pair(*PROBE)
    tokens = [*context, *continuation]
    payload = lm._create_payload(lm.create_message([tokens]), generate=False, seed=lm._seed, eos=lm.eos_string)
    answer = client.post(payload)
    if answer.status in (400, 422):
        what = f"it refuses a prompt with echo and logprobs (HTTP {answer.status}: {answer.words})"
        raise unusable(client.url, what, f"{_ELSEWHERE} If it is about the tokens: {_TOKENIZER}")
    check_status(client.url, answer, model_args)
    choices = _choices(answer.json())
    if not choices:
        raise unusable(
            client.url, f"it answered without choices: {answer.words}", "Is this an OpenAI-compatible server?"
        )
    if problem := misfit(choices[0], len(tokens), len(context), exact=True):
        raise unusable(client.url, *problem)
    if not any(choices[0]["logprobs"]["token_logprobs"][1:-1]):
        raise unusable(client.url, "it calls every token of the prompt certain (log-probability 0)", _ELSEWHERE)
    if lm.tokenizer_backend != "remote" and (problem := _other_words(lm, choices[0], tokens)):
        raise unusable(client.url, *problem)
    _log.info("the endpoint echoes prompts with log-probabilities, and its tokens are the tokenizer's")


def misfit(choice: Any, tokens: int, context: int, *, exact: bool) -> tuple[str, str] | None:
    """Return what is wrong with an echoed prompt, and a remedy; None if lm-eval can read it.

    :param tokens: of the whole prompt. :param context: of these, the first so many are context.
    :param exact: the server got exactly these tokens, or is asked whether it counts as many.
    """
    found = choice.get("logprobs") if isinstance(choice, Mapping) else None
    logprobs = found if isinstance(found, Mapping) else {}
    values = logprobs.get("token_logprobs")
    if not isinstance(values, list):
        return "it returned no log-probabilities (logprobs)", _ELSEWHERE
    if len(values) <= 1:
        return "it ignores echo: the prompt's own log-probabilities are not in its answer", _ELSEWHERE
    if exact and len(values) == tokens:
        return "its answer has no generated token after the prompt, where lm-eval cuts one off", _ELSEWHERE
    if exact and len(values) != tokens + 1:
        counted = f"it counts {len(values) - 1} tokens in a prompt that has {tokens} by model.tokenizer"
        return counted, f"{_TOKENIZER} Do not turn off tokenized_requests for a server that adds special tokens."
    return _without_numbers(values[context:-1], logprobs.get("top_logprobs"), slice(context, len(values) - 1))


def _without_numbers(values: Sequence[Any], top: Any, where: slice) -> tuple[str, str] | None:
    if not values or not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        return "its log-probabilities of the prompt's tokens are missing or no numbers", _ELSEWHERE
    best = top[where] if isinstance(top, list) else []
    if len(best) != len(values) or not all(isinstance(each, Mapping) and each for each in best):
        return "its answer lacks top_logprobs, by which lm-eval tells the likeliest token", _ELSEWHERE
    return None


def _other_words(lm: Any, choice: Mapping[str, Any], tokens: Sequence[int]) -> tuple[str, str] | None:
    """Return that the server reads other words in the tokens than the tokenizer does."""
    served = choice["logprobs"].get("tokens")
    if not isinstance(served, list) or not all(isinstance(token, str) for token in served):
        served = [str(choice.get("text", ""))]
        ours = _plain("".join(lm.decode_batch([list(tokens)])))
        same = _plain(served[0]).startswith(ours)
    elif all(token.startswith("token_id:") for token in served):
        same = served[: len(tokens)] == [f"token_id:{token}" for token in tokens]
    else:
        expected = [_plain(text) for text in lm.decode_batch([[token] for token in tokens])]
        found = [_plain(text) for text in served[: len(tokens)]]
        same = expected == found or (lm.tokenized_requests and "".join(expected) == "".join(found))
    if same:
        return None
    shown = "".join(served)[:80]
    return f"its tokens are not the tokenizer's: of the prompt {PROBE[0][:30]!r}… it made {shown!r}", _TOKENIZER


def _check_count(lm: Any, client: Client, model_args: Mapping[str, Any]) -> None:
    """Compare the number of tokens of a text, with and without special tokens: whether the server adds them varies."""
    text = "".join(PROBE)
    answer = client.post({"model": lm.model, "prompt": text, "max_tokens": 1, "temperature": 0})
    check_status(client.url, answer, model_args, passing=(400, 422))
    document = answer.json()
    document = answer.json()
    usage = document.get("usage") if isinstance(document, dict) else None
    counted = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
    if not isinstance(counted, int):
        _log.info("the endpoint does not count a prompt's tokens; the tokenizer cannot be held against it")
        return
    expected = {len(lm.tok_encode(text)), len(lm.tok_encode(text, add_special_tokens=True))}
    if counted not in expected:
        ours = " or ".join(map(str, sorted(expected)))
        raise unusable(
            client.url, f"it counts {counted} tokens in a text that has {ours} by model.tokenizer", _TOKENIZER
        )


def guard(lm: Any) -> None:
    """Check every later answer before lm-eval cuts numbers out of it.

    :param lm: lm-eval's model object.
    """
    lm.parse_logprobs = _guarded(lm.parse_logprobs, exact=bool(lm.tokenized_requests))


def _guarded(parse: Callable[..., Any], *, exact: bool) -> Callable[..., Any]:
    def checked(outputs: Any, tokens: Any = None, ctxlens: Any = None, **kwargs: Any) -> Any:
        choices = [
            choice for output in (outputs if isinstance(outputs, list) else [outputs]) for choice in _choices(output)
        ]
        if len(choices) != len(tokens):
            raise _changed(f"{len(choices)} answers to {len(tokens)} prompts")
        for choice, prompt, context in zip(choices, tokens, ctxlens, strict=True):
            if problem := misfit(choice, len(prompt), context, exact=exact):
                raise _changed(problem[0])
        return parse(outputs=outputs, tokens=tokens, ctxlens=ctxlens, **kwargs)

    return checked


def _changed(what: str) -> RunFailedError:
    return RunFailedError(
        f"the endpoint's answers are no longer fit: {what}, although it answered well when asked first. Are several servers "
        "of different kinds behind one address?",
        Cause.ENDPOINT,
    )


def _choices(output: Any) -> list[Any]:
    """Return a document's choices in the order of the prompts."""
    choices = output.get("choices") if isinstance(output, Mapping) else None
    if not isinstance(choices, list):
        return []
    return sorted(choices, key=lambda choice: choice.get("index", 0) if isinstance(choice, Mapping) else 0)


def _plain(text: str) -> str:
    return _MARKS.sub("", text)
