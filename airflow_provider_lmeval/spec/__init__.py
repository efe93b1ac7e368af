"""The typed description of an evaluation: what to run, never where.

The same :class:`EvalSpec` drives every backend, is validated when a DAG file is parsed (constant specs) or after rendering
(templated ones), is what the trigger form shows, and is hashed into every result. Only checks that need no knowledge of
lm-eval's catalogue live here; the others are in ``plan/``.
"""

from airflow_provider_lmeval.spec.base import EnvRef
from airflow_provider_lmeval.spec.evaluation import EvalSpec
from airflow_provider_lmeval.spec.model_served import (
    LocalChatCompletionsModel,
    LocalCompletionsModel,
    OpenAIChatCompletionsModel,
    OpenAICompletionsModel,
    TextSynthModel,
    WatsonxModel,
)
from airflow_provider_lmeval.spec.model_weights import HFModel, VLLMModel
from airflow_provider_lmeval.spec.models import Model, OtherModel
from airflow_provider_lmeval.spec.offline import Offline, S3Assets
from airflow_provider_lmeval.spec.unitxt import UnitxtArtifacts, UnitxtRecipe

__all__ = [
    "EnvRef",
    "EvalSpec",
    "HFModel",
    "LocalChatCompletionsModel",
    "LocalCompletionsModel",
    "Model",
    "Offline",
    "OpenAIChatCompletionsModel",
    "OpenAICompletionsModel",
    "OtherModel",
    "S3Assets",
    "TextSynthModel",
    "UnitxtArtifacts",
    "UnitxtRecipe",
    "VLLMModel",
    "WatsonxModel",
]
