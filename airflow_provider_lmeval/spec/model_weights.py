"""Models whose weights are loaded where the evaluation runs.

Sources: the constructors in ``lm_eval/models/huggingface.py`` and ``vllm_causallms.py`` of lm-eval 0.4.13.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, PositiveInt, model_validator

from airflow_provider_lmeval.spec.model_base import ModelBase

_RAW_CHECKPOINTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")


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
