"""Which trigger waits for a run: one that knows the backend's own way of telling, or the one that asks."""

from __future__ import annotations

from typing import Any

from airflow_provider_lmeval.backends import Handle
from airflow_provider_lmeval.triggers.lmeval import LMEvalTrigger
from airflow_provider_lmeval.triggers.lmevaljob import LMEvalJobTrigger
from airflow_provider_lmeval.triggers.pod import EvalPodTrigger

_BY_BACKEND: dict[str, type[LMEvalTrigger]] = {"kubernetes": EvalPodTrigger, "lmevaljob": LMEvalJobTrigger}


def make_trigger(handle: Handle, *arguments: Any, **options: Any) -> LMEvalTrigger:
    """Return the trigger for a run; the arguments after the handle are those of ``LMEvalTrigger``."""
    return _BY_BACKEND.get(handle.backend, LMEvalTrigger)(handle.to_json(), *arguments, **options)
