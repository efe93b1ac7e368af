"""Loads the model with lm-eval's own classes, after looking at what would make that fail in a confusing way.

``from_pretrained`` takes a directory that is not there for a name on the Hub, and a file that may not be read for a
broken one; lm-eval takes ``device: null`` for an error. These are looked at first. Everything else is lm-eval's: the
object that evaluates is what ``lm-eval run`` would have made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.worker import devices, identity
from airflow_provider_lmeval.driver.worker.devices import Devices
from airflow_provider_lmeval.driver.worker.settings import Settings
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Request

NAMED_BY = ("peft", "delta", "pretrained", "model", "path", "engine")
"""Model arguments that name the model, in lm-eval's order (``GeneralConfigTracker._get_model_name``)."""
_LOADED_HERE = ("pretrained", "peft", "delta", "tokenizer")


def check_files(request: Request) -> None:
    """Look at what the model arguments name on this machine.

    :raises RunFailedError: ``model_load``: not there, not a model directory, or not readable for this user.
    """
    for role in _LOADED_HERE:
        value = request.model_args.get(role)
        if not isinstance(value, str):
            continue
        path = Path(value)
        if not os.path.exists(path):  # noqa: PTH110 - False for what may not be looked at, too
            if value.startswith(("/", "./", "../", "~")):
                raise _unusable(role, value, "does not exist where the evaluation runs, or may not be seen from there")
        elif path.is_dir():
            _check_directory(role, path)
        elif path.suffix in (".pt", ".pth", ".safetensors", ".ckpt") and request.model in (
            "hf",
            "hf-auto",
            "huggingface",
        ):
            raise _unusable(role, value, "is a single file; give the directory that save_pretrained() wrote")


def _check_directory(role: str, path: Path) -> None:
    if not os.access(path, os.R_OK | os.X_OK):
        raise _unusable(
            role, path, f"may not be read by this process (user {os.getuid()}); repair it with chmod or chown"
        )
    for file in path.iterdir():
        if file.is_file() and not os.access(file, os.R_OK):
            raise _unusable(
                role,
                file,
                f"may not be read by this process (user {os.getuid()}, mode {file.stat().st_mode & 0o777:04o}); "
                "safetensors writes files for their owner alone: repair it with chmod a+r",
            )


def load_model(request: Request, settings: Settings) -> Any:
    """Return lm-eval's model object.

    :raises RunFailedError: ``bad_spec`` for a model type lm-eval does not have; other exceptions are the libraries'.
    """
    from lm_eval.api.registry import get_model

    try:
        kind = get_model(request.model)
    except (KeyError, ValueError) as error:
        raise RunFailedError(f"model type {request.model!r}: {error}", Cause.BAD_SPEC) from error
    except ModuleNotFoundError as error:
        raise RunFailedError(
            f"model type {request.model!r} needs the package {error.name!r}, which the evaluation's Python does not have. "
            f'Install it there, for example with `pip install "lm-eval[{request.model.partition("-")[0]}]"`.',
            Cause.MODEL_LOAD,
        ) from error
    model_args = {**request.model_args, **((request.parallel or {}).get("model_args") or {})}
    if settings.trust_remote_code:
        _trust_remote_code(model_args)
    overrides = {
        "batch_size": settings.batch_size,
        "max_batch_size": settings.max_batch_size,
        "device": settings.device or _device(kind),
    }
    given = {name: value for name, value in overrides.items() if value is not None and name not in model_args}
    if overrides["device"] == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"  # without it accelerate takes ranks without GPUs for single processes
    return _shared(kind.create_from_arg_obj(model_args, given))


def _shared(lm: Any) -> Any:
    """Make lm-eval share the documents among the ranks: of itself it does only if it counts several GPUs (``HFLM``)."""
    accelerator: Any = getattr(lm, "accelerator", None)
    if accelerator is not None and accelerator.num_processes > 1 and lm.world_size == 1:
        lm._rank, lm._world_size = accelerator.process_index, accelerator.num_processes
    return lm


def with_batch(settings: Settings, request: Request, found: Devices) -> Settings:
    """Return the settings with a batch size; see :func:`devices.with_batch`."""
    known = request.model.partition("-")[0] in ("hf", "huggingface", "steered")
    return devices.with_batch(settings, request, found, torch_model=known)


def _trust_remote_code(model_args: dict[str, Any]) -> None:
    """Do what ``EvaluatorConfig._set_trust_remote_code`` does."""
    import datasets

    datasets.config.HF_DATASETS_TRUST_REMOTE_CODE = True
    model_args["trust_remote_code"] = True


def _device(kind: type) -> str | None:
    """Return the best device there is, for model types that run on torch; lm-eval's own default is CUDA or an error."""
    if not any(base.__module__ == "lm_eval.models.huggingface" for base in kind.__mro__):
        return None
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def cached(lm: Any, settings: Settings, key: str) -> Any:
    """Return the model behind lm-eval's response cache, if the settings ask for one.

    :param key: what identifies model and arguments; lm-eval's own key leaves it out, so that a cache answers for
        another model (lm-evaluation-harness issue 4063).
    """
    if not settings.use_cache:
        return lm
    from lm_eval.api.model import CachingLM

    return CachingLM(lm, f"{settings.use_cache}-{key[:16]}_rank{os.environ.get('RANK', '0')}.db")


def describe(request: Request, lm: Any, local: Mapping[str, str]) -> dict[str, Any]:
    """Return the result document's ``model`` part, without the arguments.

    :param local: digests of local weights by role.
    """
    info = lm.get_model_info() if hasattr(lm, "get_model_info") else {}
    parameters, dtype = info.get("model_num_parameters"), info.get("model_dtype")
    device = getattr(lm, "device", None)
    return {
        "type": request.model,
        "name": next((str(request.model_args[key]) for key in NAMED_BY if request.model_args.get(key)), None),
        "identity": identity.identity_of(lm, local, request.model_args) or request.model_digest,
        "parameters": parameters if isinstance(parameters, int) and parameters >= 0 else None,
        "dtype": str(dtype).removeprefix("torch.") if dtype else None,
        "device": str(device) if device is not None else None,
    }


def _unusable(role: str, what: object, problem: str) -> RunFailedError:
    return RunFailedError(f"{role}: {str(what)!r} {problem}", Cause.MODEL_LOAD)
