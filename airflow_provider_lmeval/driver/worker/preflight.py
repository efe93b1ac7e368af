"""Everything of an evaluation that needs no GPU, done once without one, so that no GPU waits for a mistake.

The steps are the evaluation's own, in its own code: tasks are found and built, data loaded, the tokenizer made, prompts put
into the chat template, the server asked. Weights are not read and no device is touched. Where the evaluation stops at
the first error, this goes on to the next check, so that one report has all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sized
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.worker import checkpoint, devices, endpoint, memory, model, permissions, served
from airflow_provider_lmeval.driver.worker.bare import BY_TOKENIZER, tokenizer_only
from airflow_provider_lmeval.driver.worker.causes import classify
from airflow_provider_lmeval.driver.worker.job import EVALUATION, Job
from airflow_provider_lmeval.driver.worker.plain import plain
from airflow_provider_lmeval.driver.worker.precheck import check_cache
from airflow_provider_lmeval.driver.worker.warm_up import without_scores
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Phase, dump, write_atomic
from airflow_provider_lmeval.wire_preflight import Check, Finding, Report

NO_DEVICES = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
"""A pod without a GPU may stand on a node with some, which its runtime shows to everybody."""
_BY_TYPE = {"vllm": "vllm", "vllm-vlm": "vllm", "sglang": "sglang", "trtllm": "tensorrt_llm"}
_BY_ARGUMENT = {
    "peft": "peft", "load_in_4bit": "bitsandbytes", "load_in_8bit": "bitsandbytes", "gptqmodel": "gptqmodel",
    "autogptq": "auto_gptq",
}  # fmt: skip
"""Packages that lm-eval imports when it loads a model, by model type and by model argument; its ``hf`` is always there."""
_OF_DATA = frozenset({Cause.DATASET, Cause.ONLINE_DENIED, Cause.STORAGE})
"""Causes with which loading tasks fails when the tasks themselves are right."""
_PLACES = ("model-files", "cache-files")
_SHOWN = 8
_PLAIN = "Which colour is the sky?"

Look = tuple[str, Phase, Callable[[], str], tuple[str, ...]]
"""Id, phase by which errors are told apart, the check, and the checks without which it is not made."""


class NotMade(Exception):  # noqa: N818 - nothing has gone wrong
    """A check has nothing to look at; its text says why."""


class Preflight(Job):
    """Looks whether a request can be evaluated; see :class:`Job`."""

    def run(self) -> None:
        """Make all checks; when this returns, the report is on disk and says that nothing is wrong.

        :raises RunFailedError: something is; the message has all of it.
        """
        os.environ.update(NO_DEVICES)
        self._begin(Phase.PREFLIGHT)
        self._made: dict[str, Check] = {}
        for name, phase, look, needed in self._looks():
            self._made[name] = check = self._make(name, phase, look, needed)
            print(self._redactor.text(str(check)), flush=True)  # noqa: T201 - the run's log
        report = Report(checks=[check.to_json() for check in self._made.values()])
        self._begin(Phase.SAVING)
        self._write_report(report)
        if report.cause:
            raise RunFailedError(report.message, report.cause)
        self._events.finished()

    def _looks(self) -> Iterator[Look]:
        loads, asks, reads = Phase.LOADING_MODEL, Phase.CHECKING_ENDPOINT, Phase.LOADING_TASKS
        yield "packages", loads, self._packages, ()
        yield "model-files", loads, self._model_files, ()
        yield "cache-files", Phase.PREPARING, self._cache_files, ()
        yield "tasks-load", reads, self._tasks, ("cache-files",)
        yield "datasets-load", reads, self._datasets, ("cache-files", "tasks-load")
        yield "tokenizer-load", loads, self._tokenizer, _PLACES
        yield "chat-template", Phase.EVALUATING, self._chat, (*_PLACES, "tokenizer-load")
        yield "endpoint-answers", asks, self._endpoint, ()
        yield "gpu-share", Phase.PREPARING, self._share, ()
        yield "gpu-memory", loads, self._memory, _PLACES

    def _make(self, name: str, phase: Phase, look: Callable[[], str], needed: tuple[str, ...]) -> Check:
        """Make one check; whatever it raises is what it has found, unless the run is being stopped."""
        stands = [each for each in needed if each in self._made and self._made[each].finding is Finding.FAILED]
        if stands:
            return Check(id=name, finding=Finding.SKIPPED, found=f"not looked at, since {' and '.join(stands)} failed.")
        try:
            return Check(id=name, finding=Finding.OK, found=f"{look()}.")
        except NotMade as reason:
            return Check(id=name, finding=Finding.SKIPPED, found=f"{reason}.")
        except Exception as error:
            cause, message = classify(error, phase)
            if cause is Cause.CANCELLED:
                raise
            found = f"{message.rstrip().removesuffix('.')}."
            return Check(id=name, finding=Finding.FAILED, found=found, cause=cause)

    # -- the checks, in order

    def _packages(self) -> str:
        asked = self._request
        wanted = {_BY_ARGUMENT[name]: name for name in _BY_ARGUMENT if asked.model_args.get(name)}
        wanted |= {_BY_TYPE[asked.model]: f"model type {asked.model}"} if asked.model in _BY_TYPE else {}
        if missing := [f"{why} needs {name!r}" for name, why in wanted.items() if find_spec(name) is None]:
            raise RunFailedError(f"{', '.join(missing)}, which the evaluation's Python does not have", Cause.MODEL_LOAD)
        return f"{', '.join(wanted)} found" if wanted else "nothing beyond lm-eval's own is needed"

    def _model_files(self) -> str:
        permissions.check_model_code(self._request)
        model.check_files(self._request)
        if not self._on_devices:
            raise NotMade("the model is served")
        if self._checkpoint is None:
            raise NotMade(f"what a model of type {self._request.model} consists of is not known here")
        name = self._request.model_args["pretrained"]
        if self._checkpoint.stored is None and Path(name).is_dir() and not (self._request.offline or {}).get("source"):
            raise RunFailedError(f"pretrained: {name!r} has no weights", Cause.MODEL_LOAD)
        return f"{name} is there"

    def _cache_files(self) -> str:
        check_cache(self._request)
        if self._request.allow_online:
            raise NotMade("the run may download what it lacks")
        if self._request.offline is None:
            raise NotMade("the spec names no cache")
        return "what the run needs was fetched, as far as the cache tells"

    def _tasks(self) -> str:
        if isinstance(self._trouble, Exception):
            if classify(self._trouble, Phase.LOADING_TASKS)[0] in _OF_DATA:
                raise NotMade("data stood in the way")
            raise self._trouble
        return _some(list(self._loaded.tasks))

    def _datasets(self) -> str:
        if isinstance(self._trouble, Exception):
            raise self._trouble
        return _some([f"{name} has {len(task.eval_docs)} documents" for name, task in self._loaded.tasks.items()])

    def _tokenizer(self) -> str:
        if self._lm is None:
            raise NotMade(f"model type {self._request.model} has a tokenizer of its own, or none")
        if (tokenizer := self._lm.tokenizer) is None:
            raise NotMade("the server has it")
        if self._on_devices and not tokenizer.encode(_PLAIN, add_special_tokens=False):
            raise RunFailedError(  # transformers makes an empty one where it finds no files, and says nothing
                f"{self._tokenizer_place()}: the tokenizer makes no token of a plain sentence; its files are missing",
                Cause.MODEL_LOAD,
            )
        size = f", {len(tokenizer)} entries" if isinstance(tokenizer, Sized) else ""
        return f"{type(tokenizer).__name__}{size}"

    def _chat(self) -> str:
        chosen = self._settings.apply_chat_template
        if not chosen:
            raise NotMade("the spec does not ask for it")
        if self._lm is None:
            raise NotMade("there is no tokenizer to look at")
        if not self._on_devices and not getattr(self._lm, "tokenized_requests", True):
            raise NotMade("the server applies its own")
        if not self._lm.chat_template(chosen):
            raise RunFailedError(f"{self._tokenizer_place()}: the tokenizer has no chat template", Cause.BAD_SPEC)
        tried = [self._prompt(name, task) for name, task in self._known().items() if _takes_chat(task)]
        return f"a prompt of {_some(tried)}" if tried else "there is one"

    def _prompt(self, name: str, task: Any) -> str:
        """Put the first document of a task into the template, in lm-eval's own words (``Task.build_all_requests``)."""
        document = task.eval_docs[0]
        try:
            task.fewshot_context(
                document,
                num_fewshot=task.config.num_fewshot or 0,
                system_instruction=self._settings.system_instruction,
                apply_chat_template=True,
                fewshot_as_multiturn=bool(self._settings.fewshot_as_multiturn),
                chat_template=self._lm.apply_chat_template,
                gen_prefix=task.doc_to_prefix(document),
            )
        except Exception as error:
            error.add_note(f"while putting a prompt of task {name!r} into the chat template")
            raise
        return name

    def _endpoint(self) -> str:
        asked = self._request
        if self._on_devices:
            raise NotMade("the model is loaded, not served")
        endpoint.check_endpoint(asked.model, asked.model_args, online=asked.allow_online, tasks=self._known())
        known = self._made["tokenizer-load"].finding is Finding.OK
        if known and asked.model in endpoint.COMPLETION_SERVERS:
            served.ready(self._lm, asked, self._known())
        return f"{endpoint.endpoint_url(asked.model, asked.model_args)} answers"

    def _share(self) -> str:
        parallel, processes = self._request.parallel or {}, int(self._asked["processes"])
        if int(parallel.get("count") or 1) == 1:
            raise NotMade("one device has nothing to share")
        devices.check_launcher(self._request)
        devices.check_heads(self._request)
        if processes > 1:
            devices.check_documents(self._known(), self._settings, processes)
        return f"{parallel['count']} devices by strategy {parallel['strategy']}"

    def _memory(self) -> str:
        parallel, device, size = self._request.parallel or {}, self._asked["device"], self._asked["memory"]
        found = self._checkpoint and memory.estimate(
            self._request.model,
            {**self._request.model_args, **(parallel.get("model_args") or {})},
            self._checkpoint,
            batch=self._settings.batch_size,
            strategy=parallel.get("strategy"),
            count=int(parallel.get("count") or 1),
        )
        if not found:
            raise NotMade("the model is served" if not self._on_devices else "the size of the weights is not known")
        if size is None:
            raise NotMade(
                f"{memory.describe(found)}; not compared: the memory of {device} is not known, set gpu.memory"
            )
        if words := memory.too_large(found, device, size):
            raise RunFailedError(words, Cause.BAD_SPEC)
        return f"{memory.describe(found)}{memory.doubts(found, device, size)}"

    # -- what they look at, made once

    @property
    def _asked(self) -> dict[str, Any]:
        return self._request.preflight or {}

    @cached_property
    def _checkpoint(self) -> checkpoint.Checkpoint | None:
        readable = self._on_devices and self._request.model.partition("-")[0] in ("hf", "huggingface", "vllm", "sglang")
        return checkpoint.read_checkpoint(self._request) if readable else None

    @cached_property
    def _trouble(self) -> Exception | None:
        """What building the tasks has raised, if it has."""
        try:
            self._fetch_sources()
            _ = self._loaded
        except Exception as error:  # noqa: BLE001 - two checks tell what it means
            return error
        return None

    def _known(self) -> dict[str, Any]:
        """Return the tasks, or none if they cannot be built, which another check has told."""
        return self._loaded.tasks if self._made["datasets-load"].finding is Finding.OK else {}

    @cached_property
    def _lm(self) -> Any:
        if self._request.model in endpoint.COMPLETION_SERVERS and not self._on_devices:
            return served.make(self._request, self._settings)
        return tokenizer_only(self._request) if self._on_devices and self._request.model in BY_TOKENIZER else None

    def _tokenizer_place(self) -> str:
        given = self._request.model_args
        return str(given.get("tokenizer") or given.get("pretrained") or given.get("model"))

    def _write_report(self, report: Report) -> None:
        tasks = {name: without_scores(task) for name, task in self._known().items()}
        found = {"preflight": report.to_json(), "tasks": tasks, "versions": self._versions}
        self._run.scratch.mkdir(parents=True, exist_ok=True)
        write_atomic(self._run.scratch / EVALUATION, dump(self._redactor.data(plain(found))))


def _takes_chat(task: Any) -> bool:
    """Tell whether lm-eval puts a task's prompts into a chat template: not those whose documents are scored as they are."""
    return getattr(task, "OUTPUT_TYPE", None) != "loglikelihood_rolling" and hasattr(task, "config")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
