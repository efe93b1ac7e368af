"""An MLflow tracking server on loopback: the part of its REST API 2.0 that logging a run needs, with its limits.

https://mlflow.org/docs/latest/rest-api.html. It refuses what the real one refuses: names with other characters, batches
that are too large, and another value for a parameter that a run has already.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.support.loopback import Answer, Asked, Loopback

_NAME = re.compile(r"[\w\-. /]{1,250}", re.ASCII)
_WANTED = re.compile(r"tags\.`([^`]+)` = '([^']*)'")


class Tracking(Loopback):
    """A tracking server.

    :param authorization: value of the header ``Authorization`` that it wants. :param artifacts: whether it takes artifacts.
    """

    def __init__(self, authorization: str | None = None, *, artifacts: bool = True) -> None:
        super().__init__(self._respond)
        self._authorization, self._takes_artifacts = authorization, artifacts
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.artifacts: dict[str, bytes] = {}

    def add_run(self, experiment_id: str = "7", **tags: str) -> str:
        """Create a run and return its id."""
        run_id = f"{len(self.runs):032x}"
        scheme = "mlflow-artifacts:" if self._takes_artifacts else "s3:/"
        place = f"{scheme}/{experiment_id}/{run_id}/artifacts"
        info = {"run_id": run_id, "experiment_id": experiment_id, "artifact_uri": place, "status": "RUNNING"}
        self.runs[run_id] = {"info": info, "metrics": {}, "params": {}, "tags": dict(tags)}
        return run_id

    def _respond(self, asked: Asked) -> Answer:
        if self._authorization and asked.headers.get("authorization") != self._authorization:
            return Answer(401, b"You are not authenticated.")
        if asked.path.startswith("/api/2.0/mlflow-artifacts/artifacts/"):
            self.artifacts[asked.path.removeprefix("/api/2.0/mlflow-artifacts/artifacts/")] = asked.body
            return Answer.json({})
        name = asked.path.removeprefix("/api/2.0/mlflow/")
        answer = getattr(self, "_" + re.sub(r"[/-]", "_", name), None)
        return answer(asked) if answer else Answer.json({"error_code": "ENDPOINT_NOT_FOUND"}, 404)

    def _experiments_get_by_name(self, asked: Asked) -> Answer:
        found = self.experiments.get(asked.query["experiment_name"])
        return Answer.json({"experiment": {"experiment_id": found}}) if found else _unknown()

    def _experiments_create(self, asked: Asked) -> Answer:
        identity = str(len(self.experiments) + 1)
        self.experiments[_data(asked)["name"]] = identity
        return Answer.json({"experiment_id": identity})

    def _runs_get(self, asked: Asked) -> Answer:
        run = self.runs.get(asked.query["run_id"])
        return Answer.json({"run": {"info": run["info"]}}) if run else _unknown()

    def _runs_search(self, asked: Asked) -> Answer:
        data = _data(asked)
        key, value = _WANTED.fullmatch(data["filter"]).groups()
        found = [
            {"info": run["info"]}
            for run in self.runs.values()
            if run["tags"].get(key) == value and run["info"]["experiment_id"] in data["experiment_ids"]
        ]
        return Answer.json({"runs": found} if found else {})

    def _runs_create(self, asked: Asked) -> Answer:
        data = _data(asked)
        run_id = self.add_run(data["experiment_id"], **{tag["key"]: tag["value"] for tag in data["tags"]})
        self.runs[run_id]["info"]["run_name"] = data["run_name"]
        return Answer.json({"run": {"info": self.runs[run_id]["info"]}})

    def _runs_update(self, asked: Asked) -> Answer:
        data = _data(asked)
        self.runs[data["run_id"]]["info"] |= {"status": data["status"], "end_time": data["end_time"]}
        return Answer.json({})

    def _runs_log_batch(self, asked: Asked) -> Answer:
        data = _data(asked)
        run = self.runs[data["run_id"]]
        for kind, most in (("metrics", 1000), ("params", 100), ("tags", 100)):
            entries = data.get(kind, [])
            if len(entries) > most or any(not _NAME.fullmatch(entry["key"]) for entry in entries):
                return Answer.json({"error_code": "INVALID_PARAMETER_VALUE"}, 400)
            for entry in entries:
                if kind == "params" and run[kind].get(entry["key"], entry["value"]) != entry["value"]:
                    return Answer.json({"error_code": "INVALID_PARAMETER_VALUE", "message": "changing param"}, 400)
                run[kind][entry["key"]] = entry["value"]
        return Answer.json({})


def _data(asked: Asked) -> dict[str, Any]:
    return json.loads(asked.body)


def _unknown() -> Answer:
    return Answer.json({"error_code": "RESOURCE_DOES_NOT_EXIST"}, 404)
