"""Kubernetes' API as a dictionary: what is at which address, without a server. The product's own calls go through it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_lmeval.backends.kubernetes.api import Answer, Api, Call
from airflow_provider_lmeval.backends.kubernetes.clock import ServerClock
from airflow_provider_lmeval.errors import ClusterError


@dataclass(eq=False)
class ScriptedApi(Api):
    """Answers GET from what it holds, and forgets what is deleted.

    :param objects: by path: JSON data, bytes, or the error to raise. :param calls: every request, oldest first.
    """

    objects: dict[str, Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    clock: ServerClock = field(default_factory=ServerClock)

    def patient(self, seconds: float) -> ScriptedApi:
        return self

    async def send(self, call: Call) -> Answer:
        self.calls.append(call)
        found = self.objects.get(call.path, ClusterError(f"404: there is no {call.path}", 404))
        if isinstance(found, ClusterError):
            raise found
        if call.method == "DELETE":
            del self.objects[call.path]
        return Answer(200, {}, found if isinstance(found, bytes) else json.dumps(found).encode())

    @property
    def deleted(self) -> list[str]:
        """Paths of what was deleted."""
        return [call.path for call in self.calls if call.method == "DELETE"]
