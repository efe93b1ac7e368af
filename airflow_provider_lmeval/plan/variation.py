"""Makes specs of specs: the same evaluation of another model, or of the same model in another way.

A baseline has to be evaluated as the candidate was, and an A/A test evaluates one model twice, differently in what should
not matter. Neither should be written by hand a second time: what is not the same by accident cannot be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.models import TYPED_MODELS

FEWSHOT = 3
"""Position of the few-shot seed among the seeds."""
FIXED_BATCH = 8
"""What replaces a batch size that is found automatically."""


def of_model(spec: EvalSpec, kind: str, args: Mapping[str, Any], identity: str | None = None) -> EvalSpec:
    """Return the same evaluation of another model.

    :param kind: lm-eval's model type. :param args: its arguments, secrets as references: as a result's ``model`` has them.
    :param identity: the result's; a served model has it from a declaration about its address, which goes on holding.
    :raises SpecError: that cannot be evaluated so.
    """
    fields = TYPED_MODELS[kind].model_fields if kind in TYPED_MODELS else {}
    own = {name: value for name, value in args.items() if name in fields and value is not None}
    other = {name: value for name, value in args.items() if name not in fields}
    if identity and "digest" in fields:
        own["digest"] = identity
    model = {"type": kind, **own} | ({"args": other} if other else {})
    return EvalSpec.parse({**spec.to_data(), "model": model})


def varied(spec: EvalSpec, *, fewshot_seed: int | None = None, batch_size: int | None = None) -> EvalSpec:
    """Return the same evaluation with other few-shot examples and another batch size, which should change nothing.

    :param fewshot_seed: default: the spec's own plus one.
    :param batch_size: default: half the spec's own, 2 instead of 1, and 8 instead of one that the device decides.
    """
    seeds = list(spec.seeds)
    seeds[FEWSHOT] = (seeds[FEWSHOT] or 0) + 1 if fewshot_seed is None else fewshot_seed
    size = _other(spec.batch_size) if batch_size is None else batch_size
    return EvalSpec.parse({**spec.to_data(), "seed": seeds, "batch_size": size})


def _other(size: int | str | None) -> int:
    if not isinstance(size, int):
        return FIXED_BATCH
    return size // 2 if size > 1 else 2
