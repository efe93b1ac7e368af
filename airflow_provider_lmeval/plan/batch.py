"""How large a batch may be: what the administrator allows, and what is left after one did not fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.spec import EvalSpec, OtherModel

FIRST_LIMIT = 64
"""Where the halving of an automatic batch size, or one that the device decides, starts when the spec names no largest."""


@dataclass(frozen=True)
class BatchRules:
    """The administrator's batch sizes, for all backends.

    :param default: for specs that say nothing; None leaves it to the device.
    :param maximum: the largest; None is none.
    :param policy: what becomes of a larger one: ``cap`` takes the largest, ``error`` refuses.
    """

    default: int | None = None
    maximum: int | None = None
    policy: Literal["cap", "error"] = "cap"


OPERATOR = BatchRules(default=8, maximum=24)
"""The batch sizes that TrustyAI's operator ships with (``lmes-default-batch-size``, ``lmes-max-batch-size``)."""


def allowed_batch(spec: EvalSpec, rules: BatchRules) -> tuple[EvalSpec, list[str]]:
    """Return the spec with the batch sizes it gets, and a line for the log about each change.

    :raises SpecError: the batch is above the maximum and the policy is ``error``.
    """
    told = []
    changes: dict[str, Any] = {}
    if rules.default and "batch_size" not in spec.model_fields_set:
        changes["batch_size"] = min(rules.default, spec.max_batch_size or rules.default)
        told.append(f"batch_size: not given, so {changes['batch_size']} is taken ([lmeval] default_batch_size)")
    asked, most = changes.get("batch_size", spec.batch_size), rules.maximum
    if most and isinstance(asked, int) and asked > most:
        changes["batch_size"] = most
        told.append(_above("batch_size", asked, rules))
    largest = spec.max_batch_size
    if most and ((not isinstance(asked, int) and not largest) or (largest or 0) > most):
        changes["max_batch_size"] = most
        told.append(
            _above("max_batch_size", largest, rules)
            if largest
            else f"batch_size: {asked or 'what fits the device'}, {most} at most ([lmeval] max_batch_size)"
        )
    return (spec.model_copy(update=changes) if changes else spec), told


def administered(spec: EvalSpec, rules: BatchRules, *, detect_device: bool = True) -> tuple[EvalSpec, list[str]]:
    """Return the spec as it runs here, and a line for the log about each change.

    :param detect_device: look for the best device there is. If not, a model whose spec names none takes ``cuda``, as lm-eval
        does, and a pod whose GPU is broken fails instead of evaluating on its CPU for days.
    :raises SpecError: see :func:`allowed_batch`.
    """
    found, told = allowed_batch(spec, rules)
    if detect_device or spec.device or spec.model.api or isinstance(spec.model, OtherModel):
        return found, told
    return found.model_copy(update={"device": "cuda"}), [
        *told,
        "device: not given, so cuda ([lmeval] detect_device is off)",
    ]


def _above(field: str, asked: int, rules: BatchRules) -> str:
    text = f"{field}: {asked} is above [lmeval] max_batch_size {rules.maximum}"
    if rules.policy == "error":
        raise SpecError(f"{text}, and batch_size_policy is error; ask for {rules.maximum} or less")
    return f"{text}; capped to {rules.maximum} (batch_size_policy is cap)"


def smaller_batch(evaluate: dict[str, Any], out_of_memory: int) -> dict[str, Any]:
    """Return evaluation settings whose batch is halved once for every try that ran out of memory.

    :param evaluate: ``Request.evaluate``; its ``batch_size`` is a number, ``auto`` or ``auto:N``.
    :param out_of_memory: number of such tries.
    """
    if not out_of_memory:
        return evaluate
    size, largest = evaluate.get("batch_size"), evaluate.get("max_batch_size")
    if size is None or (isinstance(size, str) and not size.isdecimal()):
        return evaluate | {"max_batch_size": _halved(largest or FIRST_LIMIT, out_of_memory)}
    return evaluate | {"batch_size": _halved(int(size), out_of_memory)}


def _halved(size: int, times: int) -> int:
    return max(1, size >> times)
