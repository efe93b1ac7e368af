"""What Airflow learns about this package. Plain data that imports nothing: Airflow reads it in every process."""

from __future__ import annotations

from typing import Any

_INTEGRATION = "LM Evaluation Harness"

_PLACE = "Where results are kept: a path, an fsspec URL, or an ObjectStoragePath URL with a connection id."

_OPTIONS: dict[str, tuple[str, str, str | None, str]] = {
    # key: (type, default, example, description); an empty default means "decided where it is used", as described
    "backend": ("string", "local", "local", "Where evaluations run when the operator does not say so."),
    "results_uri": (
        "string",
        "",
        "s3://my_conn@my-bucket/lmeval",
        f"{_PLACE} Default: ``{{AIRFLOW_HOME}}/lmeval/results``.",
    ),
    "local_dir": (
        "string",
        "",
        "/scratch/lmeval",
        "Directory in which local runs work, one sub-directory each. Default: ``{AIRFLOW_HOME}/lmeval/runs``.",
    ),
    "driver_python": (
        "string",
        "",
        "/opt/lmeval/bin/python",
        "Python that has lm-eval and runs local evaluations. Default: the worker's own.",
    ),
    "max_local_runs": (
        "integer",
        "4",
        None,
        "Local evaluations running at once on a machine; the others wait as *New*.",
    ),
    "poll_interval": ("float", "5", None, "Seconds between two looks at a run's progress."),
    "grace_period": ("float", "10", None, "Seconds a cancelled run gets to stop by itself before it is killed."),
    "allow_online": (
        "boolean",
        "False",
        None,
        "Let runs download models and datasets, if their spec asks for it too.",
    ),
    "allow_code_execution": (
        "boolean",
        "False",
        None,
        "Let runs execute code that models, tasks or datasets bring, if their spec asks for it too.",
    ),
    "allowed_env": (
        "string",
        "",
        "OPENAI_API_KEY,HF_TOKEN",
        'Environment variables of the worker that a spec may refer to as ``{"env": "NAME"}``, comma-separated.',
    ),
    "allowed_git_hosts": (
        "string",
        "",
        "github.com,git.example.com:8443",
        "Hosts that task definitions may be fetched from by git over HTTPS, comma-separated; needs online access too.",
    ),
    "max_git_bytes": (
        "integer",
        "268435456",
        None,
        "Bytes that one fetch of task definitions may bring, as git packs them; a larger repository is refused.",
    ),
    "allowed_data_roots": (
        "string",
        "",
        "/data/evaluation,/mnt/benchmarks",
        "Directories that evaluations may read data files from, besides those of the run, the model and the task files.",
    ),
    "kubernetes_conn_id": (
        "string",
        "kubernetes_default",
        None,
        "Connection of type *Kubernetes* to the cluster that evaluations run in.",
    ),
    "namespace": ("string", "", "evaluations", "Namespace of the pods. Default: the Kubernetes connection's."),
    "image": (
        "string",
        "",
        "registry.example.com/lm-eval:0.4.13",
        "Image that pods evaluate in: has lm-eval, and the driver unless it is copied.",
    ),
    "driver_image": (
        "string",
        "",
        "registry.example.com/airflow:3.3.2",
        "Image that the driver is copied from, for images that only have lm-eval.",
    ),
    "image_pull_policy": ("string", "", "IfNotPresent", "When to pull images. Default: Kubernetes' own rule."),
    "default_batch_size": ("integer", "", "8", "Batch size of evaluations whose spec names none. Default: 1."),
    "max_batch_size": ("integer", "", "24", "Largest batch an evaluation may take. Default: no limit."),
    "batch_size_policy": (
        "string",
        "cap",
        "error",
        "What becomes of a larger batch: ``cap`` takes the largest and says so in the log, ``error`` refuses.",
    ),
    "detect_device": (
        "boolean",
        "True",
        None,
        "Evaluate on the best device there is. ``False``: on CUDA or not at all, unless the spec names a device.",
    ),
    "report_interval": ("float", "10", None, "Seconds between two lines of progress in a run's log."),
    "driver_port": ("integer", "18080", None, "Port at which drivers in pods show their status."),
    "driver_tls_secret": (
        "string",
        "",
        "lmeval-driver-tls",
        "Secret with ``tls.crt`` and ``tls.key`` in the pods' namespace: drivers then show their status over HTTPS.",
    ),
    "driver_client_tls": (
        "string",
        "",
        "/etc/lmeval/client-tls",
        "Directory with ``tls.crt``, ``tls.key``, ``ca.crt`` on worker and triggerer, for drivers to know Airflow by.",
    ),
    "status_by_pod_ip": (
        "boolean",
        "False",
        None,
        "Ask drivers for progress at their pods' addresses, not through the API server. Inside the cluster only.",
    ),
    "pod": (
        "string",
        "",
        '{"queue_name": "evaluations", "image_pull_secrets": ["registry"]}',
        "Defaults for pods, as JSON: fields of ``PodSettings``. Connection and task override them field by field.",
    ),
    "lmevaljob": (
        "string",
        "",
        '{"labels": {"kueue.x-k8s.io/queue-name": "gpus"}, "pickup_timeout": 60}',
        "Defaults for LMEvalJobs, as JSON: fields of ``LMEvalJobRun``. Connection and task override them field by field.",
    ),
    "local_gpu": (
        "string",
        "",
        '{"count": 2, "strategy": "data"}',
        "Devices of local runs, as JSON, and how they share an evaluation. Default: the first that is found.",
    ),
    "pod_ttl": (
        "float",
        "86400",
        None,
        "Seconds after which ``airflow lmeval reap`` removes pods and LMEvalJobs that have ended.",
    ),
}

_LABELS = {
    "backend": "Backend",
    "results_uri": "Results URI",
    "driver_python": "Driver Python",
    "allow_online": "Allow online access",
    "allow_code_execution": "Allow code execution",
    "allowed_env": "Allowed environment variables",
    "allowed_git_hosts": "Allowed git hosts",
    "allowed_data_roots": "Allowed data directories",
    "kubernetes_conn_id": "Kubernetes connection",
    "namespace": "Namespace",
    "image": "Image",
    "driver_image": "Driver image",
    "image_pull_policy": "Image pull policy",
    "default_batch_size": "Default batch size",
    "max_batch_size": "Largest batch size",
    "status_by_pod_ip": "Status by pod IP",
}
"""Settings that a connection may override, with their labels in the connection form."""

_JSON_TYPES = {"boolean": ["boolean", "null"], "integer": ["integer", "null"], "float": ["number", "null"]}


def _config() -> dict[str, Any]:
    options = {
        key: {"description": text, "version_added": "0.1.0", "type": kind, "example": example, "default": default}
        for key, (kind, default, example, text) in _OPTIONS.items()
    }
    return {"lmeval": {"description": "LLM evaluation with lm-evaluation-harness.", "options": options}}


_CHOICES = {
    "backend": ("local", "kubernetes", "lmevaljob", "memory"),
    "image_pull_policy": ("Always", "IfNotPresent", "Never"),
}
"""Settings of a few values, which the connection form offers as a list."""


def _connection_fields() -> dict[str, Any]:
    return {
        key: {
            "label": label,
            "description": _OPTIONS[key][3].replace("``", "").replace("*", ""),  # the form draws it as it is
            "schema": {"type": _JSON_TYPES.get(_OPTIONS[key][0], ["string", "null"])} | _choice(key),
        }
        for key, label in _LABELS.items()
    }


def _choice(key: str) -> dict[str, Any]:
    if key not in _CHOICES:
        return {}
    return {"enum": [*_CHOICES[key], None], "values_display": {"null": "not set"}}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata in the form of Airflow's ``provider_info.schema.json``."""
    package = "airflow_provider_lmeval"

    def modules(*names: str) -> list[dict[str, Any]]:
        return [{"integration-name": _INTEGRATION, "python-modules": [f"{package}.{name}" for name in names]}]

    return {
        "package-name": "airflow-provider-lmeval",
        "name": "LM Eval",
        "description": "LLM evaluation with lm-evaluation-harness as a trustworthy gate in training pipelines.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://github.com/EleutherAI/lm-evaluation-harness",
                "tags": ["software"],
            }
        ],
        "operators": modules(
            "operators.lmeval",
            "operators.baseline",
            "operators.gate",
            "operators.approval",
            "operators.promote",
            "operators.calibrate",
            "operators.warmup",
            "operators.publish",
        ),
        "task-decorators": [{"name": "lmeval_gate", "class-name": f"{package}.operators.decorator.gate_task"}],
        "notifications": [f"{package}.notifications.lmeval.LMEvalVerdictNotifier"],
        "extra-links": [f"{package}.operators.links.LMEvalReportLink"],
        "sensors": modules("sensors.lmeval"),
        "hooks": modules("hooks.lmeval"),
        "triggers": modules("triggers.lmeval", "triggers.lmevaljob"),
        "connection-types": [
            {
                "connection-type": "lmeval",
                "hook-class-name": f"{package}.hooks.lmeval.LMEvalHook",
                "hook-name": "LM Eval",
                "conn-fields": _connection_fields(),
                "ui-field-behaviour": {
                    "hidden-fields": ["host", "schema", "login", "port"],
                    "relabeling": {"extra": "Further settings (JSON)", "password": "Secret for progress of pods"},
                },
            }
        ],
        "config": _config(),
        "cli": [f"{package}.cli.definition.get_lmeval_cli_commands"],
    }
