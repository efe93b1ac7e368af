"""A triggerer's side of the conversation about task states."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection, GetTaskStates, TaskStatesResult

from tests.support.context import TaskInstance


@dataclass
class Supervisor:
    """Answers a trigger's question about its task, as Airflow's supervisor does; it knows no connections.

    :param state: the state it tells; ``delay``: seconds before it answers.
    """

    state: str | None
    delay: float = 0.0

    async def asend(self, message: GetTaskStates | GetConnection) -> TaskStatesResult | ErrorResponse:
        await asyncio.sleep(self.delay)
        if isinstance(message, GetConnection):
            return ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND)
        assert message.task_ids
        return TaskStatesResult(task_states={message.run_ids[0]: {message.task_ids[0]: self.state}})


@pytest.fixture
def task_states() -> Iterator[Callable[..., TaskInstance]]:
    """Put a supervisor in place that tells a state, and return a task instance for the trigger."""
    before: Any = getattr(task_runner, "SUPERVISOR_COMMS", None)

    def tell(state: str | None, delay: float = 0.0) -> TaskInstance:
        task_runner.SUPERVISOR_COMMS = Supervisor(state, delay)  # type: ignore[assignment]
        return TaskInstance()

    yield tell
    if before is None:
        if hasattr(task_runner, "SUPERVISOR_COMMS"):
            del task_runner.SUPERVISOR_COMMS
    else:
        task_runner.SUPERVISOR_COMMS = before
