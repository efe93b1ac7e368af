"""The model to evaluate, as a union told apart by ``type``: lm-eval's own model types with lm-eval's own argument names.

Typed fields exist for what people use and get wrong; everything else an lm-eval model class accepts goes into ``args``,
whose values may be any JSON: they reach lm-eval as a mapping, so commas, ``=``, braces and quotes arrive as written.
Sources: the constructors in ``lm_eval/models/`` of lm-eval 0.4.13.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, JsonValue, NonNegativeInt, PositiveInt, Tag, model_validator

from airflow_provider_lmeval.spec.base import EnvRef, SpecModel, check_no_literal_secret

_RAW_CHECKPOINTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")


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


class _Weights(ModelBase):
    """Models whose weights are loaded where the evaluation runs."""

    pretrained: Annotated[str, Field(min_length=1, examples=["/models/candidate", "EleutherAI/pythia-160m"])]
    """Directory of a Hugging Face checkpoint, or a Hub id (needs online access)."""
    revision: str | None = None
    """Branch, tag or commit of a Hub id; a commit makes results reusable as a baseline."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] | None = None
    """Precision of the weights; lm-eval's default is `auto` (as stored)."""
    tokenizer: str | None = None
    """Directory or Hub id of another tokenizer than the model's own."""
    trust_remote_code: bool = False
    """Run code that comes with the model or dataset; needs code execution allowed on both sides."""
    add_bos_token: bool | None = None
    """Put the beginning-of-sequence token before every prompt."""
    max_length: PositiveInt | None = None
    """Longest context in tokens; default: the model's own."""
    enable_thinking: bool | None = None
    """Ask the chat template for reasoning output, where it knows the switch."""
    think_end_token: str | int | None = None
    """What ends the reasoning part; only what follows is scored."""

    @model_validator(mode="after")
    def _not_a_raw_checkpoint(self) -> Self:
        if self.pretrained.lower().endswith(_RAW_CHECKPOINTS):
            raise ValueError(
                f"model.pretrained: {self.pretrained!r} is a single weights file; lm-eval loads a Hugging Face directory "
                "(config.json, weights, tokenizer). Export one with save_pretrained(), or torchtune's checkpointer with "
                "an HF output, and give its directory"
            )
        return self


class HFModel(_Weights):
    """A model loaded with Hugging Face transformers (lm-eval `hf`)."""

    type: Literal["hf"] = "hf"
    """lm-eval's model type."""
    subfolder: str | None = None
    """Folder inside the Hub repository."""
    backend: Literal["default", "causal", "seq2seq"] | None = None
    """Decoder-only or encoder-decoder; detected by default."""
    peft: str | None = None
    """Directory or Hub id of a PEFT (LoRA) adapter put on `pretrained`."""
    delta: str | None = None
    """Directory or Hub id of delta weights added to `pretrained`."""
    load_in_4bit: bool = False
    """Quantise to 4 bits with bitsandbytes while loading."""
    load_in_8bit: bool = False
    """Quantise to 8 bits with bitsandbytes while loading."""
    autogptq: bool | str = False
    """Load GPTQ weights with AutoGPTQ; a string names the weights file."""
    gptqmodel: bool = False
    """Load GPTQ weights with GPTQModel."""
    gguf_file: str | None = None
    """File name of GGUF weights inside `pretrained`."""
    parallelize: bool = False
    """Spread the layers over all visible GPUs: for models that do not fit into one, it does not make them faster."""
    use_fast_tokenizer: bool | None = None
    """Use the Rust tokenizer; lm-eval's default is yes."""
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] | None = None
    """Attention kernel of transformers."""
    chat_template_args: dict[str, JsonValue] | None = None
    """Keyword arguments handed to the chat template."""

    @model_validator(mode="after")
    def _one_quantisation(self) -> Self:
        chosen = [n for n in ("load_in_4bit", "load_in_8bit", "autogptq", "gptqmodel", "gguf_file") if getattr(self, n)]
        if len(chosen) > 1:
            raise ValueError(f"model: {' and '.join(chosen)} exclude each other; keep one")
        if self.peft and self.delta:
            raise ValueError("model: peft and delta exclude each other; keep one")
        return self


class VLLMModel(_Weights):
    """A model run by vLLM inside the evaluation (lm-eval `vllm`); needs a GPU."""

    type: Literal["vllm"] = "vllm"
    """lm-eval's model type."""
    tensor_parallel_size: PositiveInt = 1
    """GPUs over which each layer is split; must divide the number of attention heads."""
    data_parallel_size: PositiveInt = 1
    """Copies of the model that share the work."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of GPU memory vLLM may take; vLLM's default is 0.9."""
    max_model_len: PositiveInt | None = None
    """Longest context in tokens vLLM reserves memory for."""
    quantization: str | None = None
    """vLLM's quantisation method (`awq`, `gptq`, `fp8` …)."""
    lora_local_path: str | None = None
    """Directory of a LoRA adapter."""
    enforce_eager: bool = False
    """Skip CUDA graphs: slower, starts faster, needs less memory."""


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
