"""The container that evaluates: its image, command, environment and resources, and how its request and driver get in."""

from __future__ import annotations

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.plan.pod_parts import Manifest, PodRun, add, fill, mount
from airflow_provider_lmeval.plan.pod_volumes import mount_all
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.spec.pod_parts import Proxy
from airflow_provider_lmeval.wire_pod import (
    GRACE_ENV,
    MAX_CONFIGMAP_REQUEST,
    MAX_ENV_REQUEST,
    REQUEST_ENV,
    REQUEST_FILE_ENV,
    RUN_DIR_ENV,
)

WORK = "/lmeval"
DRIVER = "/opt/lmeval-driver"
REQUEST = "/etc/lmeval-request"
REQUEST_VOLUME = "lmeval-request"
STATUS_TLS = "/etc/lmeval-tls"
"""Where a pod sees the Secret that makes its driver speak HTTPS."""
NO_PROXY = ("localhost", "127.0.0.1", "::1", ".svc", ".cluster.local", "$(KUBERNETES_SERVICE_HOST)")
"""Never by a proxy: the pod itself, the cluster's services, and the API server, whose address the kubelet puts in."""


def equip(spec: Manifest, base: Manifest, run: PodRun, settings: PodSettings) -> None:
    """Give the evaluation's container its image, command, environment, resources and volumes.

    :raises SpecError: the request is too large for any way into a pod, or the driver's image is missing.
    """
    fill(
        base,
        {
            "image": run.image,
            "imagePullPolicy": settings.image_pull_policy,
            "command": [settings.python, "-m", "airflow_provider_lmeval.driver"],
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "ports": [{"name": "lmeval-status", "containerPort": settings.status_port}],
            "resources": _resources(settings),
        },
    )
    _request(spec, base, run)
    mount(spec, base, "lmeval-work", WORK, {"emptyDir": {}})
    mount(spec, base, "lmeval-tmp", "/tmp", {"emptyDir": {}})  # noqa: S108 - a volume of the pod's own
    if settings.status_tls_secret:
        certificate = {"secret": {"secretName": settings.status_tls_secret}}
        mount(spec, base, "lmeval-tls", STATUS_TLS, certificate, {"readOnly": True})
    if settings.shm_size:
        memory = {"emptyDir": {"medium": "Memory", "sizeLimit": settings.shm_size}}
        mount(spec, base, "lmeval-shm", "/dev/shm", memory)  # noqa: S108
    mount_all(spec, base, run, settings)
    for index, (path, name) in enumerate(run.config_maps.items()):
        mount(spec, base, f"lmeval-tasks-{index}", path, {"configMap": {"name": name}}, {"readOnly": True})
    hidden = {"NVIDIA_VISIBLE_DEVICES": "void"} if run.precedes else {}  # else an image may be shown the node's GPUs
    for name, value in (_environment(base, settings) | _proxies(settings.proxy) | hidden).items():
        add(base, "env", {"name": name, "value": value})
    for name, key in settings.env_secrets.items():
        reference = {"secretKeyRef": {"name": key.secret, "key": key.key}}
        add(base, "env", {"name": name, "valueFrom": reference})
    if settings.driver == "copy":
        _bring_driver(spec, base, settings)


def _resources(settings: PodSettings) -> Manifest:
    gpu = {settings.gpu.resource_name: str(settings.gpu.count)} if settings.gpu else {}
    memory = {"memory": settings.memory} if settings.memory else {}
    cpu = {"cpu": settings.cpu} if settings.cpu else {}
    return {"requests": gpu | memory | cpu, "limits": gpu | memory} if gpu or memory or cpu else {}


def _environment(base: Manifest, settings: PodSettings) -> dict[str, str]:
    """Return variables for any user id: nothing may be written but below these paths."""
    return {
        "HOME": WORK,
        "HF_HOME": settings.cache.path if settings.cache else f"{WORK}/huggingface",
        RUN_DIR_ENV: f"{WORK}/run",
        GRACE_ENV: str(settings.grace_period),
        "LMEVAL_IMAGE": base["image"],
    }


def _proxies(proxy: Proxy | None) -> dict[str, str]:
    """Return the variables that clients read, in both spellings: curl knows only the small ``http_proxy``."""
    if proxy is None:
        return {}
    values = {"HTTP_PROXY": proxy.http, "HTTPS_PROXY": proxy.https, "NO_PROXY": ",".join((*NO_PROXY, *proxy.no_proxy))}
    given = {name: value for name, value in values.items() if value}
    return given | {name.lower(): value for name, value in given.items()}


def _request(spec: Manifest, base: Manifest, run: PodRun) -> None:
    """Hand over the request: in the environment, or by a ConfigMap that the pod waits for."""
    if len(run.request) <= MAX_ENV_REQUEST:
        add(base, "env", {"name": REQUEST_ENV, "value": run.request})
        return
    if len(run.request) > MAX_CONFIGMAP_REQUEST:
        raise SpecError(
            f"the request of run {run.run_id} has {len(run.request)} bytes packed, more than the {MAX_CONFIGMAP_REQUEST} "
            "that fit into a ConfigMap. Put task definitions and unitxt artifacts into files on a volume or in the image, "
            "and name their directory in include_paths"
        )
    mount(spec, base, REQUEST_VOLUME, REQUEST, {"configMap": {"name": run.name}}, {"readOnly": True})
    add(base, "env", {"name": REQUEST_FILE_ENV, "value": f"{REQUEST}/request"})


def _bring_driver(spec: Manifest, base: Manifest, settings: PodSettings) -> None:
    """Copy the driver's files, which need only a Python, from another image."""
    if not settings.driver_image:
        raise SpecError(
            "kubernetes.driver: 'copy' needs an image to copy the driver from; set driver_image there or "
            "[lmeval] driver_image, to any image with airflow-provider-lmeval"
        )
    bringer: Manifest = {
        "name": "lmeval-driver",
        "image": settings.driver_image,
        "command": ["python3", "-m", "airflow_provider_lmeval.driver.copy", DRIVER],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
    }
    fill(bringer, {"imagePullPolicy": settings.image_pull_policy})
    spec["initContainers"] = [bringer, *spec.get("initContainers", [])]
    mount(spec, bringer, "lmeval-driver", DRIVER, {"emptyDir": {}})
    mount(spec, base, "lmeval-driver", DRIVER, {"emptyDir": {}}, {"readOnly": True})
    given = next((each for each in base["env"] if each["name"] == "PYTHONPATH"), None)
    if given is not None:
        base["env"].remove(given)
    path = ":".join(filter(None, (DRIVER, (given or {}).get("value"))))
    add(base, "env", {"name": "PYTHONPATH", "value": path})
