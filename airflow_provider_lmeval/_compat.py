"""The only place that knows Airflow versions (3.1 and newer).

Names are looked up on first use: importing this file must not import more of Airflow than a DAG file has loaded anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger


def conf() -> Any:
    """Return Airflow's configuration, as tasks and triggers may see it."""
    from airflow.providers.common.compat.sdk import conf as configuration

    return configuration


def fail_exception() -> type[Exception]:
    """Return ``AirflowFailException``: fail without another try."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    return AirflowFailException


def skip_exception() -> type[Exception]:
    """Return ``AirflowSkipException``: mark the task skipped."""
    from airflow.providers.common.compat.sdk import AirflowSkipException

    return AirflowSkipException


def airflow_exception() -> type[Exception]:
    """Return ``AirflowException``: fail this try."""
    from airflow.providers.common.compat.sdk import AirflowException

    return AirflowException


def deferral_settles_s() -> float:
    """Return how many seconds a trigger has to wait after a deferral before it may fire.

    The supervisor of a task's process may see its end only at its next heartbeat. If the trigger has fired by then, the
    scheduler meets a task that is queued again and, from the executor, the news that it has ended: it takes the task for
    one that was killed and fails it (Airflow 3.3: ``SchedulerJobRunner.process_executor_events``).
    """
    return 1.4 * float(conf().get("workers", "min_heartbeat_interval", fallback=5))


def triggers_have_on_kill() -> bool:
    """Whether this Airflow calls a trigger's ``on_kill`` when a user acts on a deferred task (from 3.3).

    Before, only ``cleanup`` runs, on every exit of a trigger, restarts of the triggerer included.
    """
    from airflow.triggers.base import BaseTrigger

    return hasattr(BaseTrigger, "on_kill")


async def task_state(trigger: BaseTrigger) -> str | None:
    """Return the state Airflow has for the task of a trigger (``none`` right after a clear), or None if it cannot be read.

    :param trigger: a trigger running in the triggerer. In ``dag.test()`` it has no task instance.
    """
    instance = trigger.task_instance
    if instance is None:
        return None
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetTaskStates

    comms = getattr(task_runner, "SUPERVISOR_COMMS", None)
    if not inspect.iscoroutinefunction(getattr(comms, "asend", None)):
        return None
    request = GetTaskStates(
        dag_id=instance.dag_id, task_ids=[instance.task_id], run_ids=[instance.run_id], map_index=instance.map_index
    )
    response = await comms.asend(request)  # type: ignore[union-attr]
    states = response.task_states.get(instance.run_id, {})
    for key in (instance.task_id, f"{instance.task_id}_{instance.map_index}"):
        if key in states:
            return str(getattr(states[key], "value", states[key]) or "none")
    return None


async def connection_extras(conn_id: str) -> dict[str, Any]:
    """Return a connection's extras inside an event loop, where the synchronous look-up may find nothing.

    :param conn_id: the connection.
    """
    from airflow.sdk import BaseHook

    if hasattr(BaseHook, "aget_connection"):
        with contextlib.suppress(ImportError):  # Airflow 3.1 looks up asynchronously only inside the triggerer
            return dict((await BaseHook.aget_connection(conn_id)).extra_dejson)
    return await asyncio.to_thread(lambda: dict(BaseHook.get_connection(conn_id).extra_dejson))


def airflow_home() -> Path:
    """Return Airflow's home directory."""
    return Path(os.path.expandvars(os.environ.get("AIRFLOW_HOME", "~/airflow"))).expanduser()
