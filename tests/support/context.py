"""A task context without a scheduler: an XCom store, and the fields that a run's name is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass
class TaskInstance:
    """What operators ask of Airflow's task instance.

    :param xcoms: everything pushed, by key, in order.
    """

    dag_id: str = "dag"
    run_id: str = "manual__1"
    task_id: str = "evaluate"
    map_index: int = -1
    max_tries: int = 0
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value

    def xcom_pull(self, task_ids: str | None = None, key: str = "return_value") -> Any:
        return self.xcoms.get(key)


def context(**fields: Any) -> dict[str, Any]:
    """Return a context with a fresh task instance."""
    return {"ti": TaskInstance(**fields)}
