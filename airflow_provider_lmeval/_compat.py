"""The only place that knows Airflow versions (3.1 and newer).

Names are looked up on first use: importing this file must not import more of Airflow than a DAG file has loaded anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
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
    return _state_of(response.task_states.get(instance.run_id, {}), instance.task_id, instance.map_index)


def task_states(owners: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str | None]:
    """Return the states of task instances, in a task or at a command line; None where there is no such task instance.

    :param owners: dag id, DAG run id, task id and map index, each as text.
    """
    from airflow.sdk.execution_time import task_runner

    look_up = _state_by_supervisor if getattr(task_runner, "SUPERVISOR_COMMS", None) else _state_in_database
    return {owner: look_up(*owner) for owner in owners}


def _state_by_supervisor(dag_id: str, run_id: str, task_id: str, map_index: str) -> str | None:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    found = RuntimeTaskInstance.get_task_states(
        dag_id=dag_id, task_ids=[task_id], run_ids=[run_id], map_index=int(map_index)
    )
    return _state_of(found.get(run_id, {}), task_id, int(map_index))


def _state_in_database(dag_id: str, run_id: str, task_id: str, map_index: str) -> str | None:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    chosen = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": int(map_index)}
    with create_session() as session:
        found = session.query(TaskInstance.state).filter_by(**chosen).one_or_none()
    return None if found is None else str(getattr(found[0], "value", found[0]) or "none")


def _state_of(states: Mapping[str, Any], task_id: str, map_index: int) -> str | None:
    """Return a state from an answer about one task instance, whose key has the map index if it has one."""
    for key in (task_id, f"{task_id}_{map_index}"):
        if key in states:
            return str(getattr(states[key], "value", states[key]) or "none")
    return None


async def connection(conn_id: str) -> tuple[dict[str, Any], str | None]:
    """Return a connection's extras and password inside an event loop, where the synchronous look-up may find nothing.

    :param conn_id: the connection.
    :raises AirflowNotFoundException: there is no such connection.
    """
    from airflow.providers.common.compat.connection import get_async_connection

    with contextlib.suppress(ImportError):  # Airflow 3.1 looks up asynchronously only inside the triggerer
        found = await get_async_connection(conn_id)
        return dict(found.extra_dejson), found.password
    return await asyncio.to_thread(_connection, conn_id)


def not_found_exception() -> type[Exception]:
    """Return ``AirflowNotFoundException``: no connection of that name."""
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    return AirflowNotFoundException


@contextlib.contextmanager
def looking_up(conn_id: str) -> Iterator[None]:
    """Let a connection that is not there be told in one way.

    Airflow 3.1 asks the supervisor of the task for what environment and secrets backends do not have, and fails to import it
    where there is no task.

    :raises AirflowNotFoundException: there is no such connection.
    """
    try:
        yield
    except ImportError as error:
        if "SUPERVISOR_COMMS" not in str(error):
            raise
        raise not_found_exception()(f"The conn_id `{conn_id}` isn't defined") from error


def _connection(conn_id: str) -> tuple[dict[str, Any], str | None]:
    from airflow.sdk import BaseHook

    with looking_up(conn_id):
        found = BaseHook.get_connection(conn_id)
    return dict(found.extra_dejson), found.password


async def push_xcom(trigger: BaseTrigger, key: str, value: Any) -> bool:
    """Set an XCom of the task that a trigger works for, while it is deferred.

    :returns: whether this Airflow can: before 3.3, and in ``dag.test()``, a trigger cannot.
    """
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.xcom import XCom

    instance, comms = trigger.task_instance, getattr(task_runner, "SUPERVISOR_COMMS", None)
    if instance is None or not hasattr(XCom, "aset") or not inspect.iscoroutinefunction(getattr(comms, "asend", None)):
        return False
    where = {"dag_id": instance.dag_id, "task_id": instance.task_id, "run_id": instance.run_id}
    await XCom.aset(key=key, value=value, **where, map_index=instance.map_index)
    return True


def approval_timeout(wait: timedelta | None) -> dict[str, timedelta]:
    """Return the argument of ``ApprovalOperator`` that limits how long it waits for an answer.

    Older releases of the standard provider use the task's ``execution_timeout``, newer ones warn of that.
    """
    if wait is None:
        return {}
    from airflow.providers.standard.operators.hitl import HITLOperator

    known = inspect.signature(HITLOperator.__init__).parameters
    return {"response_timeout" if "response_timeout" in known else "execution_timeout": wait}


def base_url() -> str:
    """Return the API server's address without a slash at its end; nothing where it is not configured."""
    return str(conf().get("api", "base_url", fallback="") or "").rstrip("/")


def pages_know_the_user() -> bool:
    """Whether a page that a plugin serves learns from the browser who is signed in.

    Airflow 3.1.0 takes a token from the ``Authorization`` header only, which browsers do not send when they follow a link.
    """
    from airflow import __version__
    from packaging.version import Version

    return Version(__version__) >= Version("3.2")


def airflow_home() -> Path:
    """Return Airflow's home directory."""
    return Path(os.path.expandvars(os.environ.get("AIRFLOW_HOME", "~/airflow"))).expanduser()
