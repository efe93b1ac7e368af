"""Models that answer over HTTP: no weights and no GPU are needed where the evaluation runs, only a way to them.

Sources: the constructors in ``lm_eval/models/`` (``api_models.py``, ``openai_completions.py``, ``ibm_watsonx_ai.py``,
``textsynth.py``) of lm-eval 0.4.13.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, NonNegativeInt, PositiveInt, model_validator

from airflow_provider_lmeval.spec.base import EnvRef, check_no_literal_secret
from airflow_provider_lmeval.spec.model_base import ModelBase


class _API(ModelBase):
    """Models that answer over an OpenAI-compatible HTTP API."""

    api: ClassVar[bool] = True

    model: Annotated[str, Field(min_length=1, examples=["mistral-24b-quantized"])]
    """Name under which the server knows the model."""
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    """Digest of the served weights, declared by you: no server tells it. Without one, results are no reusable baseline."""
    base_url: str | None = None
    """Full URL of the endpoint, path included: lm-eval uses it as it is and appends nothing."""
    tokenizer: str | None = None
    """Hub id or directory of the tokenizer: the model's own, not the served name."""
    tokenizer_backend: Literal["huggingface", "tiktoken", "remote", "none"] | None = None
    """Who tokenises: transformers, tiktoken, the server, or nobody."""
    tokenized_requests: bool | None = None
    """Send token ids instead of text; lm-eval's default is yes for completions."""
    num_concurrent: PositiveInt | None = None
    """Requests in flight at once; lm-eval's default is 1."""
    max_retries: NonNegativeInt | None = None
    """Attempts per request; lm-eval's default is 3."""
    timeout: PositiveInt | None = None
    """Seconds to wait for one request; lm-eval's default is 300."""
    max_length: PositiveInt | None = None
    """Longest context in tokens; lm-eval's default is 2048."""
    max_gen_toks: PositiveInt | None = None
    """Longest answer in tokens; lm-eval's default is 256."""
    header: dict[str, str | EnvRef] | None = None
    """HTTP headers of every request; credentials as `{"env": "NAME"}`."""
    verify_certificate: bool = True
    """Check the server's TLS certificate."""
    ca_cert_path: str | None = None
    """File of CA certificates to trust."""
    revision: str | None = None
    """Revision of the tokenizer."""
    trust_remote_code: bool = False
    """Run code that comes with the tokenizer; needs code execution allowed on both sides."""

    @model_validator(mode="after")
    def _check_header(self) -> Self:
        check_no_literal_secret({k: v for k, v in (self.header or {}).items() if isinstance(v, str)}, "model.header")
        return self


def _check_url(url: str, path: str, other: str, hint: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"model.base_url: {url!r} is not an http(s) URL; give one such as http://host:8000/v1{path} [base-url]"
        )
    if parts.username or parts.password:
        raise ValueError("model.base_url: contains a user name or password; send it in model.header as {'env': 'NAME'}")
    ours = parts.path.rstrip("/").endswith(path)
    if other and parts.path.rstrip("/").endswith(other) and not (ours and len(path) > len(other)):
        raise ValueError(f"model.base_url: {url!r} ends in {other}; {hint} [base-url]")
    if not ours:
        raise ValueError(
            f"model.base_url: {url!r} lacks the endpoint path; lm-eval sends requests to the URL as it is, "
            f"so end it in {path}, for example {url.rstrip('/').removesuffix('/v1')}/v1{path} [base-url]"
        )


class LocalCompletionsModel(_API):
    """A served model behind `/v1/completions` (vLLM, an InferenceService …): the one that can do log-likelihoods."""

    type: Literal["local-completions"] = "local-completions"
    """lm-eval's model type."""
    base_url: Annotated[str, Field(examples=["http://predictor.models.svc:8080/v1/completions"])]
    """Full URL ending in `/v1/completions`: lm-eval uses it as it is and appends nothing."""

    @model_validator(mode="after")
    def _check_base_url(self) -> Self:
        hint = "that is the chat endpoint: use type local-chat-completions, or end it in /v1/completions"
        _check_url(self.base_url, "/completions", "/chat/completions", hint)
        return self


class LocalChatCompletionsModel(_API):
    """A served model behind `/v1/chat/completions`; answers questions, cannot give log-likelihoods."""

    supports_loglikelihood: ClassVar[bool] = False

    type: Literal["local-chat-completions"] = "local-chat-completions"
    """lm-eval's model type."""
    base_url: Annotated[str, Field(examples=["http://predictor.models.svc:8080/v1/chat/completions"])]
    """Full URL ending in `/v1/chat/completions`: lm-eval uses it as it is and appends nothing."""

    @model_validator(mode="after")
    def _check_base_url(self) -> Self:
        hint = "that is the completions endpoint: use type local-completions, or end it in /v1/chat/completions"
        _check_url(self.base_url, "/chat/completions", "/completions", hint)
        return self


class OpenAICompletionsModel(_API):
    """OpenAI's completions API; log-likelihoods only with babbage-002 and davinci-002. Key in `OPENAI_API_KEY`."""

    type: Literal["openai-completions"] = "openai-completions"
    """lm-eval's model type."""

    @model_validator(mode="after")
    def _check_base_url(self) -> Self:
        if self.base_url:
            _check_url(self.base_url, "/completions", "/chat/completions", "use type openai-chat-completions for it")
        return self


class OpenAIChatCompletionsModel(_API):
    """OpenAI's chat API; cannot give log-likelihoods. Key in `OPENAI_API_KEY`."""

    supports_loglikelihood: ClassVar[bool] = False

    type: Literal["openai-chat-completions"] = "openai-chat-completions"
    """lm-eval's model type."""

    @model_validator(mode="after")
    def _check_base_url(self) -> Self:
        if self.base_url:
            _check_url(self.base_url, "/chat/completions", "/completions", "use type openai-completions for it")
        return self


class WatsonxModel(ModelBase):
    """A model on IBM watsonx.ai (lm-eval `watsonx_llm`); credentials in `WATSONX_*` environment variables."""

    api: ClassVar[bool] = True

    type: Literal["watsonx_llm"] = "watsonx_llm"
    """lm-eval's model type."""
    model_id: str | None = None
    """Id of a foundation model."""
    deployment_id: str | None = None
    """Id of a deployment, instead of `model_id`."""
    generate_params: dict[str, JsonValue] | None = None
    """Generation parameters of watsonx.ai."""

    @model_validator(mode="after")
    def _one_id(self) -> Self:
        if (self.model_id is None) == (self.deployment_id is None):
            raise ValueError("model: watsonx_llm needs either model_id or deployment_id")
        return self


class TextSynthModel(ModelBase):
    """A model behind the TextSynth API; key in `TEXTSYNTH_API_SECRET_KEY`."""

    api: ClassVar[bool] = True

    type: Literal["textsynth"] = "textsynth"
    """lm-eval's model type."""
    engine: Annotated[str, Field(min_length=1)]
    """TextSynth engine, such as `gptj_6B`."""
    truncate: bool = False
    """Cut inputs that are too long instead of failing."""
