"""What every model of a spec has: lm-eval's name for its type, and whatever else lm-eval's class for it accepts.

Typed fields exist for what people use and get wrong; everything else goes into ``args``, whose values may be any JSON: they
reach lm-eval as a mapping, so commas, ``=``, braces and quotes arrive as written.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import JsonValue, model_validator

from airflow_provider_lmeval.spec.base import SpecModel, check_no_literal_secret


class ModelBase(SpecModel):
    """What all model types share."""

    api: ClassVar[bool] = False
    """Whether the model answers over HTTP, so that no GPU is needed where the evaluation runs."""
    supports_loglikelihood: ClassVar[bool] = True
    """Whether lm-eval can ask it for log-likelihoods (multiple choice, perplexity)."""

    type: str
    """lm-eval's model type, what `lm-eval run --model` takes."""
    args: dict[str, JsonValue] = {}
    """Any further argument of the lm-eval model class, by its name there. `{"env": "NAME"}` stands for a secret."""

    @model_validator(mode="after")
    def _check_args(self) -> Self:
        check_no_literal_secret(self.args, "model.args")
        for name in self.args:
            if name in type(self).model_fields or name in ("batch_size", "max_batch_size", "device"):
                where = f"model.{name}" if name in type(self).model_fields else name
                raise ValueError(f"model.args.{name}: has a field of its own; set {where} instead")
        return self

    def lm_eval_args(self) -> dict[str, Any]:
        """Return lm-eval's ``model_args``: the fields that are set, and ``args``."""
        own = self.model_dump(mode="json", exclude={"type", "args", "digest"}, exclude_defaults=True)
        return own | self.args

    @property
    def name(self) -> str:
        """What people call the model: its path, hub id or served name."""
        for key in ("pretrained", "model", "model_id", "deployment_id", "engine"):
            if value := self.lm_eval_args().get(key):
                return str(value)
        return self.type
