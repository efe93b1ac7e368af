"""From an ``LMEvalJob`` to a spec, and to everything beside it.

A manifest is held against the CRD first, so that what follows can rely on types. Then each part is translated, and the
checks of :class:`~airflow_provider_lmeval.spec.EvalSpec` speak last; what they say about a field of ours is told about the
field of the manifest it came from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.plan.batch import OPERATOR, BatchRules
from airflow_provider_lmeval.plan.lmevaljob.findings import Finding, Findings, Path
from airflow_provider_lmeval.plan.lmevaljob.metadata import read_metadata
from airflow_provider_lmeval.plan.lmevaljob.pods import pod_settings, read_pod
from airflow_provider_lmeval.plan.lmevaljob.recipes import modernised, read_tasks
from airflow_provider_lmeval.plan.lmevaljob.schema import API_VERSION, KIND, MOST_TOLD, check_plain, check_schema
from airflow_provider_lmeval.plan.lmevaljob.sources import GIT, read_git
from airflow_provider_lmeval.plan.lmevaljob.storage import read_bucket
from airflow_provider_lmeval.plan.lmevaljob.values import read_value, text_fields, typed_fields
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobSettings
from airflow_provider_lmeval.spec.models import TYPED_MODELS, OtherModel
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.spec.text import Locate

_SPEC: Path = ("spec",)
_ELSEWHERE = ("batch_size", "device")
"""Model arguments that a spec has a field of its own for."""
_PLAIN = {
    "numFewShot": "num_fewshot",
    "logSamples": "log_samples",
    "allowOnline": "allow_online",
    "allowCodeExecution": "allow_code_execution",
}
_NAMES = {
    "limit": "limit",
    "batchSize": "batch_size",
    "genArgs": "gen_kwargs",
    "modelArgs": "model",
    "systemInstruction": "system_instruction",
    "chatTemplate": "apply_chat_template",
    "taskList": "tasks",
    "offline": "offline",
}
_LONGEST_NUMBER = 32
_BESIDE = {
    "name": "metadata.name",
    "generate_name": "metadata.generateName",
    "namespace": "metadata.namespace",
    "labels": "metadata.labels",
    "annotations": "metadata.annotations",
    "suspend": "spec.suspend",
    "env_secrets": "spec.pod.container.env",
    "git_tasks": "spec.taskList.customTasks",
    "outputs": "spec.outputs",
    "offline": "spec.offline",
    "pod": "spec.pod",
}
"""Where the settings' fields stand in a manifest."""


@dataclass(frozen=True)
class Translation:
    """What an ``LMEvalJob`` says, in our words.

    :param spec: what to evaluate.
    :param job: the rest, for the backend ``lmevaljob`` and for writing the manifest again.
    :param pod: what our own pods can take over of it, for the backend ``kubernetes``.
    :param warnings: fields without an equal, each named.
    :param locate: tells the line of a path, if the text is known.
    """

    spec: EvalSpec
    job: LMEvalJobSettings
    pod: PodSettings
    warnings: tuple[Finding, ...] = field(default=())
    locate: Locate | None = field(default=None, compare=False, repr=False)

    @property
    def beside_the_spec(self) -> tuple[Finding, ...]:
        """The fields that only ``job`` holds: who takes the spec alone goes without them."""
        return tuple(self._beside(name) for name in self.job.to_data() if name in _BESIDE)

    def _beside(self, name: str) -> Finding:
        path = _BESIDE[name]
        line = self.locate(tuple(path.split("."))) if self.locate else None
        if name == "offline" and self.spec.offline:
            return Finding(path, "its claim and Secrets are no part of a spec; they are in the job's settings", line)
        return Finding(path, "is no part of a spec; it is in the job's settings", line)


def read_lmevaljob(
    manifest: Mapping[str, Any], *, batch: BatchRules = OPERATOR, locate: Locate | None = None
) -> Translation:
    """Translate a manifest.

    :param manifest: the resource as YAML or JSON gives it.
    :param batch: the batch sizes of the cluster's operator, which a job without ``batchSize`` gets.
    :param locate: tells the line of a path, for messages.
    :raises ManifestError: one line per problem: the field's path, its line, what was found, what to do.
    """
    findings = Findings(locate)
    checked = _checked(manifest, findings)
    places: dict[str, Path] = {}
    data, job = _Reader(checked["spec"], batch, findings, places).read()
    job |= read_metadata(checked, findings)
    findings.check()
    try:
        spec, settings = EvalSpec.parse(data), LMEvalJobSettings.parse(job)
    except SpecError as error:
        _blame(error, places, findings)
        findings.check()
        raise
    pod = pod_settings(checked, findings)
    return Translation(spec, settings, pod, tuple(findings.warnings), locate)


def _checked(manifest: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    check_plain(manifest, findings)
    findings.check()
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        kind = manifest.get("kind") if isinstance(manifest, dict) else type(manifest).__name__
        findings.error(("kind",), f"must be {KIND}, found {kind!r}")
    elif manifest.get("apiVersion") != API_VERSION:
        findings.error(("apiVersion",), f"must be {API_VERSION}, found {manifest.get('apiVersion')!r}")
    findings.check()
    plain: dict[str, Any] = modernised(_without_nulls(manifest), findings)
    if "spec" not in plain:
        findings.error(_SPEC, "is missing")
    check_schema(plain, findings)
    findings.check()
    return plain


def _without_nulls(value: Any) -> Any:
    """Leave out fields that are null: the API server does not keep them either."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


class _Reader:
    def __init__(self, spec: Mapping[str, Any], batch: BatchRules, findings: Findings, places: dict[str, Path]) -> None:
        self._spec, self._batch, self._findings, self._places = spec, batch, findings, places
        self._moved: dict[str, tuple[Path, str]] = {}
        places["task_sources"] = GIT

    def read(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the data of a spec, and those of the settings but for their metadata."""
        spec = self._spec
        self._places |= {ours: ("spec", name) for name, ours in (_PLAIN | _NAMES).items()}
        env, secrets, pod = read_pod(spec.get("pod", {}), self._findings, self._places)
        data = {ours: spec[name] for name, ours in _PLAIN.items() if name in spec}
        data |= {"model": self._model(), **read_tasks(spec["taskList"], self._findings, self._places), "env": env}
        data |= self._limit() | self._batch_size() | self._generation() | self._chat()
        if "device" in self._moved:
            data["device"] = self._moved["device"][1]
        sources, git = read_git(spec["taskList"], self._findings)
        data |= sources | read_bucket(spec, self._findings)
        return data, {"suspend": spec.get("suspend", False), "env_secrets": secrets, "pod": pod} | git | self._storage()

    def _model(self) -> dict[str, Any]:
        cls = TYPED_MODELS.get(self._spec["model"], OtherModel)
        found: dict[str, Any] = {"type": self._spec["model"], "args": {}}
        seen: set[str] = set()
        for index, item in enumerate(self._spec.get("modelArgs", [])):
            path, name, text = (*_SPEC, "modelArgs", index), item["name"], item.get("value", "")
            if name in seen:
                self._findings.error(
                    (*path, "name"), f"{name!r} is there twice; lm-eval takes the last, so drop the other"
                )
            seen.add(name)
            if name in _ELSEWHERE:
                self._moved[name] = (path, text)
                self._places[name] = path
                continue
            typed = name in cls.model_fields and name not in ("type", "args")
            self._places[f"model.{name}" if typed else f"model.args.{name}"] = path
            value = self._value(text, path, text_only=name in text_fields(cls))
            if typed and name in typed_fields(cls) and isinstance(value, str):
                self._findings.error((*path, "value"), f"lm-eval reads {text!r} as text, which {name} cannot be")
            (found if typed else found["args"])[name] = value
        return found

    def _value(self, text: str, path: Path, *, text_only: bool = False) -> Any:
        if text_only:
            return None if text == "None" else text
        try:
            return read_value(text)
        except ValueError as error:
            self._findings.error((*path, "value"), str(error))
            return None

    def _limit(self) -> dict[str, Any]:
        text = self._spec.get("limit", "")
        if len(text) > _LONGEST_NUMBER:
            self._findings.error(("spec", "limit"), f"found a number of {len(text)} digits")
        if not text or len(text) > _LONGEST_NUMBER:
            return {}
        number = float(text)
        if 0 < number < 1:
            return {"limit": number}
        if number != int(number):
            self._findings.warn(("spec", "limit"), f"lm-eval takes {int(number)} for {text}")
        return {"limit": int(number)}

    def _batch_size(self) -> dict[str, Any]:
        path: Path = ("spec", "batchSize")
        text = self._spec.get("batchSize", "")
        if "batch_size" in self._moved:
            moved, value = self._moved["batch_size"]
            if text:
                self._findings.error(moved, "batch_size is given twice; keep spec.batchSize")
            self._findings.warn(moved, "read as spec.batchSize, which lm-eval is given too")
            path, text = moved, value
        if re.fullmatch(r"auto(:[1-9][0-9]{0,3})?", text):
            return {"batch_size": text, "max_batch_size": self._batch.maximum}
        if not re.fullmatch(r"[1-9][0-9]{0,8}", text or "1"):
            self._findings.error(path, f"found {text!r}; allowed are a number from 1, 'auto' and 'auto:N'")
            return {}
        size = int(text) if text else self._batch.default or 1
        if self._batch.maximum and size > self._batch.maximum:
            self._findings.warn(
                path, f"{size} is above the operator's maximum; like there, {self._batch.maximum} is taken"
            )
            size = self._batch.maximum
        return {"batch_size": size, "max_batch_size": self._batch.maximum}

    def _generation(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for index, item in enumerate(self._spec.get("genArgs", [])):
            path, name = (*_SPEC, "genArgs", index), item["name"]
            self._places[f"gen_kwargs.{name}"] = path
            if name in found:
                self._findings.error(
                    (*path, "name"), f"{name!r} is there twice; lm-eval takes the last, so drop the other"
                )
            found[name] = self._value(item.get("value", ""), path)
        return {"gen_kwargs": found}

    def _chat(self) -> dict[str, Any]:
        chat = self._spec.get("chatTemplate", {})
        enabled, name = chat.get("enabled", False), chat.get("name")
        if name and not enabled:
            self._findings.warn(("spec", "chatTemplate", "name"), "has no effect, since chatTemplate.enabled is false")
        found: dict[str, Any] = {"apply_chat_template": (name or True) if enabled else False}
        return found | (
            {"system_instruction": self._spec["systemInstruction"]} if self._spec.get("systemInstruction") else {}
        )

    def _storage(self) -> dict[str, Any]:
        spec = self._spec
        found = {name: snake(spec[name]) for name in ("offline", "outputs") if name in spec}
        if "storage" in found.get("offline", {}):
            found["offline"] = found["offline"]["storage"]
        return found


def snake(value: Any) -> Any:
    """Return JSON data with Kubernetes' field names in our spelling (``pvcName`` → ``pvc_name``)."""
    if isinstance(value, dict):
        return {re.sub(r"(?<=[a-z0-9])[A-Z]+", lambda m: f"_{m[0].lower()}", k): snake(v) for k, v in value.items()}
    return [snake(item) for item in value] if isinstance(value, list) else value


def _blame(error: SpecError, places: Mapping[str, Path], findings: Findings) -> None:
    """Turn what a spec's checks say into findings about the manifest."""
    for line in str(error).splitlines()[:MOST_TOLD]:
        text = re.sub(r"^(\w+)\[(\d+)\]", r"\1.\2", line)
        place = max((name for name in places if text.startswith(name)), key=len, default="")
        findings.error(places.get(place, _SPEC), line)
