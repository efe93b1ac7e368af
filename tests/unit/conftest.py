"""Connections that lead to scripted runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.scripts import connection


@pytest.fixture
def scripted() -> Iterator[Callable[..., str]]:
    """Define a connection for a script and return its id."""
    made: list[str] = []

    def define(script: dict[str, Any], **extra: Any) -> str:
        name = f"AIRFLOW_CONN_SCRIPTED_{len(made)}"
        os.environ[name] = connection(script, **extra)
        made.append(name)
        return name.removeprefix("AIRFLOW_CONN_").lower()

    yield define
    for name in made:
        del os.environ[name]
