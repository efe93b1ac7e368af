"""The model to evaluate, as a union told apart by ``type``: lm-eval's own model types with lm-eval's own argument names.

Those that lm-eval loads are in :mod:`.model_weights`, those that it asks over HTTP in :mod:`.model_served`.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from airflow_provider_lmeval.spec.model_base import ModelBase
from airflow_provider_lmeval.spec.model_served import (
    LocalChatCompletionsModel,
    LocalCompletionsModel,
    OpenAIChatCompletionsModel,
    OpenAICompletionsModel,
    TextSynthModel,
    WatsonxModel,
)
from airflow_provider_lmeval.spec.model_weights import HFModel, VLLMModel


class OtherModel(ModelBase):
    """Any other lm-eval model type, described by `args` alone."""

    type: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", examples=["sglang", "gguf"])]
    """lm-eval's model type, what `lm-eval run --model` takes."""

    @model_validator(mode="after")
    def _not_a_typed_one(self) -> Self:
        if self.type in TYPED_MODELS:
            raise ValueError(f"model: use {TYPED_MODELS[self.type].__name__} for type {self.type}")
        return self


TYPED_MODELS: dict[str, type[ModelBase]] = {
    "hf": HFModel,
    "vllm": VLLMModel,
    "local-completions": LocalCompletionsModel,
    "local-chat-completions": LocalChatCompletionsModel,
    "openai-completions": OpenAICompletionsModel,
    "openai-chat-completions": OpenAIChatCompletionsModel,
    "watsonx_llm": WatsonxModel,
    "textsynth": TextSynthModel,
}
"""The model types with fields of their own."""


def _tag(value: Any) -> str | None:
    found = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    if found is None:
        return None
    return found if found in TYPED_MODELS else "other"


Model = Annotated[
    Annotated[HFModel, Tag("hf")]
    | Annotated[VLLMModel, Tag("vllm")]
    | Annotated[LocalCompletionsModel, Tag("local-completions")]
    | Annotated[LocalChatCompletionsModel, Tag("local-chat-completions")]
    | Annotated[OpenAICompletionsModel, Tag("openai-completions")]
    | Annotated[OpenAIChatCompletionsModel, Tag("openai-chat-completions")]
    | Annotated[WatsonxModel, Tag("watsonx_llm")]
    | Annotated[TextSynthModel, Tag("textsynth")]
    | Annotated[OtherModel, Tag("other")],
    Discriminator(
        _tag,
        custom_error_type="model_type_missing",
        custom_error_message="'type' is missing: give lm-eval's model type, such as hf or local-completions",
    ),
]
"""The model to evaluate; told apart by ``type``, an unknown type is an :class:`OtherModel`."""
