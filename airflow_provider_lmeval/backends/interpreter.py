"""What the driver's Python has: asked in a subprocess, once per interpreter, without importing what is looked for."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from functools import lru_cache

from airflow_provider_lmeval.errors import BackendError, MissingExtraError

_PROBE = """
import importlib.metadata, importlib.util, json, sys
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
names = json.loads(sys.argv[1])
print(json.dumps({name: version(name) for name in names}))
"""

NEEDED: dict[str, tuple[str, ...]] = {
    "hf": ("torch", "transformers"),
    "vllm": ("vllm",),
    "sglang": ("sglang",),
    "watsonx_llm": ("ibm-watsonx-ai",),
    "gguf": ("requests",),
    "litellm": ("litellm",),
    "openai-completions": ("tiktoken",),
    "anthropic-completions": ("anthropic",),
    "mamba_ssm": ("mamba-ssm",),
}
"""Distributions a model type cannot do without; types not named here are left to the run."""
EXTRAS = {
    "hf": "lm-eval[hf]",
    "vllm": "lm-eval[vllm]",
    "sglang": "sglang",
    "watsonx_llm": "lm-eval[ibm_watsonx_ai]",
    "gguf": "lm-eval[gguf]",
    "litellm": "lm-eval[litellm]",
    "openai-completions": "lm-eval[api] tiktoken",
    "anthropic-completions": "lm-eval[anthropic]",
    "mamba_ssm": "lm-eval[mamba]",
}
"""What to install for a model type; the names are lm-eval's extras."""


@dataclass(frozen=True)
class Interpreter:
    """What one Python has installed.

    :param lm_eval: version of lm-eval; ``installed``: distributions of ``NEEDED`` that are there.
    """

    lm_eval: str
    installed: frozenset[str]


@lru_cache(maxsize=8)
def probe(python: str) -> Interpreter:
    """Ask an interpreter what it has.

    :param python: path or command name.
    :raises BackendError: it cannot be started.
    :raises MissingExtraError: it has no lm-eval.
    """
    wanted = sorted({"lm_eval", *(name for names in NEEDED.values() for name in names)})
    argv = [python, "-I", "-c", _PROBE, json.dumps(wanted)]
    environ = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LD_LIBRARY_PATH")}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True, env=environ)
        versions = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        detail = (getattr(error, "stderr", None) or str(error)).strip()
        raise BackendError(
            f"{python!r} is no Python that can run evaluations: {detail}. Set [lmeval] driver_python"
        ) from error
    if versions["lm_eval"] is None:
        raise MissingExtraError(
            f"lm-eval is not installed in {python}; run: {python} -m pip install 'airflow-provider-lmeval[driver]', "
            "or name another interpreter in [lmeval] driver_python"
        )
    return Interpreter(versions["lm_eval"], frozenset(name for name, version in versions.items() if version))


def check(python: str, model_type: str) -> None:
    """Refuse a model type whose packages an interpreter lacks.

    :raises MissingExtraError: with the command that installs them.
    """
    missing = [name for name in NEEDED.get(model_type, ()) if name not in probe(python).installed]
    if missing:
        raise MissingExtraError(
            f"model type {model_type} needs {', '.join(missing)}, not installed in {python}; "
            f"run: {python} -m pip install '{EXTRAS[model_type]}'"
        )
