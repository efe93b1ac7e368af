"""Tells Airflow's API server about our page.

Airflow imports plugins in many processes that serve no pages, task processes among them. So what is registered is a small
ASGI application that builds the real one, and imports what that needs, on its first request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_lmeval.operators.links import PREFIX

ASGI = Callable[..., Awaitable[None]]


class LazyApp:
    """An ASGI application that is built when it is first asked for something."""

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        """Answer a request."""
        await self._app(scope, receive, send)

    @cached_property
    def _app(self) -> ASGI:
        from airflow_provider_lmeval.plugin.app import make_app

        return make_app()


class LMEvalPlugin(AirflowPlugin):
    """Serves reports below ``/lmeval`` of the API server."""

    name = "lmeval"
    fastapi_apps = [{"app": LazyApp(), "url_prefix": PREFIX, "name": "LM Eval reports"}]
