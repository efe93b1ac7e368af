"""A result as an MLflow run, through the REST API 2.0 that every tracking server has.

https://mlflow.org/docs/latest/rest-api.html. MLflow's own client would bring thirty packages, some of them bounded below
what Airflow installs, and takes its login from the environment of the whole process; these are six requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from airflow_provider_lmeval.errors import OutputError
from airflow_provider_lmeval.outputs.credentials import Credentials
from airflow_provider_lmeval.outputs.http import ask, client
from airflow_provider_lmeval.outputs.stored import StoredRun
from airflow_provider_lmeval.spec.outputs import MlflowRun

RUN_TAG = "lmeval.run_id"
"""Tag by which a run is found again when a result is published a second time."""
_BATCH = {"metrics": 1000, "params": 100, "tags": 100}
"""Most entries that a server takes at once."""
_LONGEST_VALUE = 500
_NOT_IN_NAMES = re.compile(r"[^\w\-. /]", re.ASCII)
_PROXY = "mlflow-artifacts:/"


def log(run: StoredRun, output: MlflowRun, account: Credentials) -> str:
    """Log a run and return its address on the tracking server. Logging it again changes the same run.

    :raises OutputError: the server refuses or cannot be reached.
    """
    base = account.url()
    if not base:
        raise OutputError(
            f"connection {account.name!r}: host must be the tracking URI, such as https://mlflow.example.com"
        )
    headers = {} if account.login or not account.password else {"Authorization": f"Bearer {account.password}"}
    auth = (account.login, account.password) if account.login else None
    with client(auth=auth, ca_bundle=account.extra.get("ca_bundle")) as http:
        http.headers.update(headers)
        return _Tracking(http, base, run, output).log()


class _Tracking:
    def __init__(self, http: Any, base: str, run: StoredRun, output: MlflowRun) -> None:
        self._http, self._base, self._run, self._output = http, base, run, output

    def log(self) -> str:
        info = self._existing(self._output.run_id) if self._output.run_id else self._own()
        run_id = info["run_id"]
        for batch in batches(self._run, self._output):
            self._post("runs/log-batch", {"run_id": run_id} | batch)
        self._artifact(info)
        if not self._output.run_id:
            self._post("runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": _ended(self._run)})
        return f"{self._base}/#/experiments/{info['experiment_id']}/runs/{run_id}"

    def _post(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        answer = ask(self._http, "POST", f"{self._base}/api/2.0/mlflow/{name}", json=data)
        return _json(answer)

    def _existing(self, run_id: str) -> dict[str, Any]:
        url = f"{self._base}/api/2.0/mlflow/runs/get"
        return dict(_json(ask(self._http, "GET", url, params={"run_id": run_id}))["run"]["info"])

    def _own(self) -> dict[str, Any]:
        experiment = self._experiment()
        wanted = f"tags.`{RUN_TAG}` = '{self._run.run_id}'"
        found = self._post("runs/search", {"experiment_ids": [experiment], "filter": wanted, "max_results": 1})
        if found.get("runs"):
            return dict(found["runs"][0]["info"])
        tags = [{"key": RUN_TAG, "value": self._run.run_id}]
        started = int(1000 * (self._run.result.timings.started or 0))
        asked = {"experiment_id": experiment, "start_time": started, "run_name": self._run.run_id, "tags": tags}
        return dict(self._post("runs/create", asked)["run"]["info"])

    def _experiment(self) -> str:
        url = f"{self._base}/api/2.0/mlflow/experiments/get-by-name"
        asked = {"experiment_name": self._output.experiment}
        answer = ask(self._http, "GET", url, ok=(200, 404), params=asked)
        if answer.status_code == 200:
            return str(_json(answer)["experiment"]["experiment_id"])
        return str(self._post("experiments/create", {"name": self._output.experiment})["experiment_id"])

    def _artifact(self, info: dict[str, Any]) -> None:
        """Upload the document where the server takes artifacts itself; elsewhere a tag says where it is stored."""
        place = str(info.get("artifact_uri", ""))
        if not place.startswith(_PROXY):
            return
        path = quote(place.removeprefix(_PROXY).lstrip("/"))
        url = f"{self._base}/api/2.0/mlflow-artifacts/artifacts/{path}/lmeval/{self._run.document.name}"
        ask(self._http, "PUT", url, content=self._run.document.content)


def batches(run: StoredRun, output: MlflowRun) -> Iterator[dict[str, Any]]:
    """Yield the bodies of ``runs/log-batch``, each within the server's limits."""
    for kind, entries in (("metrics", _metrics(run)), ("params", _params(run)), ("tags", _tags(run, output))):
        size = _BATCH[kind]
        for start in range(0, len(entries), size):
            yield {kind: entries[start : start + size]}


def _metrics(run: StoredRun) -> list[dict[str, Any]]:
    found: dict[str, float] = {}
    for task, metric, chosen, score in run.metrics():
        name = f"{task}/{metric}" if chosen == "none" else f"{task}/{metric}/{chosen}"
        found[name] = float(score.value or 0.0)
        if score.stderr is not None:
            found[f"{name}/stderr"] = score.stderr
    when = _ended(run)
    return [{"key": _name(name), "value": value, "timestamp": when, "step": 0} for name, value in found.items()]


def _params(run: StoredRun) -> list[dict[str, str]]:
    """Return settings that stay the same for a run; another value for the same name would be refused."""
    model = run.result.model
    settings: dict[str, Any] = {"model": model.name, "model_identity": model.identity, "dtype": model.dtype}
    settings |= {name: run.result.config.get(name) for name in ("num_fewshot", "limit", "batch_size")}
    return [
        {"key": f"lmeval.{name}", "value": str(value)[:_LONGEST_VALUE]}
        for name, value in settings.items()
        if value is not None
    ]


def _tags(run: StoredRun, output: MlflowRun) -> list[dict[str, str]]:
    own = {RUN_TAG: run.run_id, "lmeval.result_uri": run.uri}
    versions = run.result.versions
    own |= {f"lmeval.{name}_version": str(versions[name]) for name in ("lm_eval", "unitxt") if versions.get(name)}
    return [{"key": _name(name), "value": value} for name, value in {**output.tags, **own}.items()]


def _name(text: str) -> str:
    """Return a name with MLflow's characters only."""
    return _NOT_IN_NAMES.sub("_", text)[:250]


def _ended(run: StoredRun) -> int:
    return int(1000 * (run.result.timings.ended or 0))


def _json(answer: Any) -> dict[str, Any]:
    try:
        return dict(answer.json())
    except ValueError:
        raise OutputError(
            f"{answer.request.url.host} does not answer like an MLflow server; is the host its tracking URI?"
        ) from None
