"""A cluster as these tests use it: through our own connection to it, in one namespace, under names that nobody else has.

It may be anybody's: nothing cluster-wide is read or written, other people's pods are not looked at, everything made here
bears a label of this session and is removed at its end.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from kubernetes.client import models as k8s

from airflow_provider_lmeval.backends.kubernetes.api import Call
from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from tests.cluster import cargo
from tests.cluster.options import NEW, Options
from tests.cluster.run import LOOK_S, REMOVAL_S, START_S, Run
from tests.kube_backend.conftest import context, defer

Json = dict[str, Any]
T = TypeVar("T")

SESSION = "lmeval-test/session"
ENDED = ("Succeeded", "Failed")


class Site:
    """A cluster to test with.

    :param home: for the results that Airflow's side keeps.
    """

    def __init__(self, options: Options, home: Path) -> None:
        self.options, self.home = options, home
        self.token = secrets.token_hex(4)
        self.labels = {SESSION: self.token}
        self._volumes: dict[str, tuple[Json, str]] = {}
        self._claims: list[str] = []
        self._connect()

    @property
    def _place(self) -> str:
        """Where pods store results."""
        return f"{cargo.RESULTS}/{self.token}"

    @property
    def namespace(self) -> str:
        return self.options.namespace

    @property
    def backend(self) -> KubernetesBackend:
        return cast("KubernetesBackend", LMEvalHook("eval").get_conn())

    def _connect(self) -> None:
        """Define Airflow's connections ``kube`` and ``eval`` in this process's environment."""
        extra = {"kube_config_path": self.options.kubeconfig, "namespace": self.namespace}
        if self.options.context:
            extra["cluster_context"] = self.options.context
        kube = {"conn_type": "kubernetes", "extra": extra}
        settings = {"backend": "kubernetes", "kubernetes_conn_id": "kube", "results_uri": str(self.home / "results")}
        evaluation = {"conn_type": "lmeval", "password": secrets.token_hex(16), "extra": settings}
        os.environ |= {"AIRFLOW_CONN_KUBE": json.dumps(kube), "AIRFLOW_CONN_EVAL": json.dumps(evaluation)}
        os.environ.pop("KUBECONFIG", None)

    # -- what pods need

    def prepare(self) -> None:
        """Bring the tests' own things into the cluster."""
        chosen = self.options
        self._bring("data", cargo.DATA, cargo.documents())
        if chosen.model_claim:
            self._volumes["model"] = {"persistentVolumeClaim": {"claimName": chosen.model_claim}}, cargo.MODEL
        elif chosen.model_host_path:
            self._volumes["model"] = {"hostPath": {"path": chosen.model_host_path}}, cargo.MODEL
        else:
            self._bring("model", cargo.MODEL, cargo.model())
        if chosen.driver == "configmap":
            self._bring("driver", cargo.DRIVER, cargo.driver())

    def _bring(self, name: str, path: str, content: dict[str, bytes]) -> None:
        full = f"lmeval-test-{self.token}-{name}"
        self.write("POST", "configmaps", body=cargo.config_map(full, self.labels, content))
        self._volumes[name] = cargo.volume(full, content), path

    @property
    def stores(self) -> bool:
        """Whether pods can store results."""
        return bool(self.options.results_claim or self.options.results_host_path)

    def store(self) -> Json:
        """Return the settings of a pod that stores its results, in a directory of this session."""
        claim = self.options.results_claim
        if claim == NEW:
            claim = f"lmeval-test-{self.token}"
            wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
            meta = {"name": claim, "labels": self.labels}
            self.write("POST", "persistentvolumeclaims", body={"metadata": meta, "spec": wanted})
            self._claims.append(claim)
        by_claim, by_path = {"claimName": claim}, {"path": self.options.results_host_path}
        source = {"persistentVolumeClaim": by_claim} if claim else {"hostPath": by_path}
        self._volumes["results"] = source, cargo.RESULTS
        return {"results_uri": self._place}

    def kubernetes(self, **more: Any) -> Json:
        """Return the operator's ``kubernetes`` argument."""
        chosen = self.options
        settings: Json = {
            "namespace": self.namespace,
            "image": chosen.image,
            "image_pull_policy": chosen.image_pull_policy,
            "python": chosen.image_python,
            "run_as_user": chosen.run_as_user,
            "fs_group": chosen.run_as_user,
            "grace_period": 5,
            "startup_timeout": START_S,
            "labels": self.labels,
            "volumes": [k8s_volume(name, source) for name, (source, _) in self._volumes.items()],
            "volume_mounts": [
                k8s.V1VolumeMount(name=f"test-{name}", mount_path=path)
                for name, (_, path) in self._volumes.items()
            ],
        }  # fmt: skip
        if chosen.driver == "configmap":
            settings["env_vars"] = {"PYTHONPATH": cargo.DRIVER}
        if chosen.driver == "copy":
            settings |= {"driver": "copy", "driver_image": chosen.driver_image}
        return {name: value for name, value in (settings | dict(chosen.pod) | more).items() if value is not None}

    def spec(self, *tasks: Json, model: str | None = None) -> Json:
        """Return the spec of an evaluation of the tiny model."""
        path = model or f"{cargo.MODEL}/{self.options.model_path}".rstrip("/")
        of = {"type": "hf", "pretrained": path, "dtype": "float32"}
        return {"model": of, "tasks": list(tasks), "batch_size": 1, "device": "cpu"}

    # -- the cluster

    def write(self, method: str, what: str, body: Any = None) -> Json:
        """Send a request about something in the namespace and return the answer."""
        call = Call(method, f"/api/v1/namespaces/{self.namespace}/{what}", body=body)
        return dict(self.backend.call(lambda api: api.send(call)).json())

    def list(self, what: str, labels: str = "") -> list[Json]:
        """Return this session's objects of a kind."""
        query = {"labelSelector": f"{SESSION}={self.token}{',' if labels else ''}{labels}"}
        call = Call("GET", f"/api/v1/namespaces/{self.namespace}/{what}", query)
        return list(self.backend.call(lambda api: api.send(call)).json()["items"])

    def wait(self, condition: Callable[[], T], what: str, timeout_s: float) -> T:
        """Return the first true value of ``condition``.

        :raises TimeoutError: it never was; with this session's pods.
        """
        end = time.monotonic() + timeout_s
        while not (found := condition()):
            if time.monotonic() > end:
                pods = {pod["metadata"]["name"]: pod["status"] for pod in self.list("pods")}
                raise TimeoutError(f"not within {timeout_s:g} s: {what}; pods: {json.dumps(pods)[:4000]}")
            time.sleep(LOOK_S)
        return found

    def clean_up(self) -> None:
        """Remove everything of this session."""
        if "results" in self._volumes and not self._claims:
            self._sweep()
        for what in ("pods", "configmaps", "persistentvolumeclaims"):
            if what == "persistentvolumeclaims" and not self._claims:
                continue  # nothing was made, and there may be no right to look
            for each in self.list(what):
                self._delete(what, each["metadata"]["name"])
        self.wait(lambda: not self.list("pods"), "all pods of the session are gone", REMOVAL_S)

    def _sweep(self) -> None:
        """Let a pod remove what pods have stored."""
        name = f"lmeval-test-{self.token}-sweep"
        self.write(
            "POST",
            "pods",
            body=cargo.sweeper(name, self.labels, self._volumes["results"][0], self._place, self.options),
        )

        def phase() -> str | None:
            found: str = self.write("GET", f"pods/{name}")["status"].get("phase")
            return found if found in ENDED else None

        ended = self.wait(phase, f"pod {name} has swept the results' volume", START_S)
        assert ended == "Succeeded", f"{self._place} could not be removed from the results' volume"

    def _delete(self, what: str, name: str) -> None:
        try:
            self.write("DELETE", f"{what}/{name}")
        except ClusterError as error:
            if error.status != 404:
                raise

    # -- runs

    def start(self, *tasks: Json, model: str | None = None, name: str | None = None, **kubernetes: Any) -> Run:
        """Start an evaluation, as a task does that defers.

        :param name: of the DAG run; the same name with the same spec is another try of the same task.
        """
        task = LMEvalOperator(
            task_id="evaluate",
            spec=self.spec(*tasks, model=model),
            lmeval_conn_id="eval",
            kubernetes=self.kubernetes(**kubernetes),
        )
        ctx = context(dag_id="lmeval_test_cluster", run_id=f"{self.token}-{name or secrets.token_hex(4)}")
        deferral = defer(task, ctx)
        return Run(self, task, ctx, deferral)


def k8s_volume(name: str, source: Json) -> k8s.V1Volume:
    """Return a volume as KubernetesPodOperator takes it."""
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator

    pod = {"spec": {"containers": [], "volumes": [{"name": f"test-{name}", **source}]}}
    return PodGenerator.deserialize_model_dict(pod).spec.volumes[0]
