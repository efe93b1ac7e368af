"""Loads a served model, which is its tokenizer, and readies lm-eval's object for asking the server.

Beside the checks of its answers that is what lm-eval leaves out: the CA file, which it hands to its tokenizer probes only,
and a limit to waiting for a server that is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_lmeval.driver.worker import echo, model
from airflow_provider_lmeval.driver.worker.endpoint import COMPLETION_SERVERS, endpoint_url, needs_loglikelihood
from airflow_provider_lmeval.driver.worker.endpoint_client import Client
from airflow_provider_lmeval.driver.worker.patience import Patience, trust
from airflow_provider_lmeval.driver.worker.settings import Settings
from airflow_provider_lmeval.wire import Request


def load(request: Request, settings: Settings, tasks: Mapping[str, Any]) -> Any:
    """Return lm-eval's model object; if the model is served, its server's answers have been found fit for the tasks.

    :param tasks: lm-eval task objects by name.
    :raises RunFailedError: ``bad_spec`` or ``endpoint``; other exceptions are the libraries'.
    """
    lm = make(request, settings)
    if endpoint_url(request.model, request.model_args) is not None and request.model in COMPLETION_SERVERS:
        ready(lm, request, tasks)
    return lm


def make(request: Request, settings: Settings) -> Any:
    """Return lm-eval's model object; of a served model that is its tokenizer, and the way to its server."""
    if endpoint_url(request.model, request.model_args) is None or request.model not in COMPLETION_SERVERS:
        return model.load_model(request, settings)
    try:
        lm = model.load_model(request, settings)
    except (OSError, ValueError) as error:
        error.add_note("model.tokenizer: give the served model's own by Hub id (owner/name) or directory")
        raise
    trust(lm, request.model_args)
    return lm


def ready(lm: Any, request: Request, tasks: Mapping[str, Any]) -> None:
    """Find out whether the server's answers are fit for the tasks, and see to it that nobody waits for it for ever.

    :param lm: made by :func:`make`. :param tasks: lm-eval task objects by name.
    :raises RunFailedError: ``bad_spec`` or ``endpoint``.
    """
    if "chat" not in request.model:
        url = endpoint_url(request.model, request.model_args)
        client, needing = Client(str(url), request.model_args), needs_loglikelihood(tasks)
        echo.check_answers(lm, client, request.model_args, loglikelihood=bool(needing))
        echo.guard(lm)
    Patience.of(lm).follow(lm)
