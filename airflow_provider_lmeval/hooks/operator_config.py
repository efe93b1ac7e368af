"""The ConfigMap of TrustyAI's operator in our words: each key has its place in ``[lmeval]``, or says why it has none.

An administrator who moves from the operator to Airflow should not have to guess which setting became which, nor find out in
production that one was left behind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from airflow_provider_lmeval.errors import ConfigError
from airflow_provider_lmeval.hooks.settings import Settings

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)")


@dataclass(frozen=True)
class Imported:
    """A translated ConfigMap.

    :param options: of ``[lmeval]``, as text.
    :param notes: what an administrator has to know or do, one line each.
    """

    options: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def _text(value: str) -> str:
    if not value:
        raise ValueError("is empty")
    return value


def _flag(value: str) -> str:
    if value in ("1", "t", "T", "0", "f", "F"):  # as Go's ParseBool reads them
        return str(value in ("1", "t", "T"))
    if value.lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return value.capitalize()


def _number(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", value):
        raise ValueError("must be a number from 1")
    return value


def seconds(value: str) -> str:
    """Return the seconds of a duration as Go writes it, such as ``10s`` or ``1m30s``.

    :raises ValueError: it is none, or not above 0.
    """
    parts = _DURATION.findall(value)
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != value or total <= 0:
        raise ValueError("must be a duration above 0 as Go writes it, such as 10s or 1m30s")
    return f"{total:g}"


KEYS: dict[str, tuple[str, Callable[[str], str]]] = {
    "lmes-pod-image": ("image", _text),
    "lmes-driver-image": ("driver_image", _text),
    "lmes-image-pull-policy": ("image_pull_policy", _text),
    "lmes-default-batch-size": ("default_batch_size", _number),
    "lmes-max-batch-size": ("max_batch_size", _number),
    "lmes-detect-device": ("detect_device", _flag),
    "lmes-pod-checking-interval": ("poll_interval", seconds),
    "driver-report-interval": ("report_interval", seconds),
    "lmes-driver-port": ("driver_port", _number),
    "lmes-grpc-port": ("driver_port", _number),
    "lmes-grpc-server-secret": ("driver_tls_secret", _text),
    "lmes-allow-online": ("allow_online", _flag),
    "lmes-allow-code-execution": ("allow_code_execution", _flag),
    "eval.lmeval.permitOnline": ("allow_online", _flag),
    "eval.lmeval.permitCodeExecution": ("allow_code_execution", _flag),
}
"""The operator's keys, ours, and how a value is translated."""
WITHOUT_EQUAL = {
    "lmes-grpc-service": "nothing is to be named: the driver does not call Airflow, Airflow asks the driver",
    "lmes-grpc-client-secret": "mount this Secret into worker and triggerer, set [lmeval] driver_client_tls to the "
    "directory and status_by_pod_ip = True; the ca.crt of the driver's own Secret must have signed its tls.crt",
}
"""Keys that cannot be translated by themselves, and what to do."""
INSTEAD = {
    "lmes-grpc-port": "lmes-driver-port",
    "lmes-allow-online": "eval.lmeval.permitOnline",
    "lmes-allow-code-execution": "eval.lmeval.permitCodeExecution",
}
"""Keys that another takes the place of where it is there: the last two are the platform's (``trustyai-dsc-config``)."""
_NOTES = {
    "lmes-driver-image": "must be an image with this package; pods use it if kubernetes.driver is 'copy'",
    "lmes-pod-image": "must be an image with lm-eval 0.4.13; the operator's own driver in it is not used",
}


def known(data: Mapping[str, Any]) -> bool:
    """Whether a ConfigMap's data have a key of the operator's."""
    return bool(data.keys() & (KEYS.keys() | WITHOUT_EQUAL.keys()))


def import_config(config_map: Any) -> Imported:
    """Translate the operator's ConfigMap.

    :param config_map: the resource, or its ``data`` alone.
    :raises ConfigError: one line per key whose value cannot be right.
    """
    data = config_map.get("data") if isinstance(config_map, dict) and "data" in config_map else config_map
    if not isinstance(data, dict) or not data:
        raise ConfigError(
            "the ConfigMap has no data; `kubectl get configmap trustyai-service-operator-config -o yaml` shows it"
        )
    found, wrong = Imported(), []
    for key, value in data.items():
        try:
            _take(str(key), value, found, data)
        except ValueError as error:
            wrong.append(f"{key}: found {value!r}, {error}")
    if wrong:
        raise ConfigError("\n".join(wrong))
    _check(found, data)
    return found


def _take(key: str, value: Any, found: Imported, data: Mapping[str, Any]) -> None:
    if key in KEYS:
        if not isinstance(value, str):
            raise ValueError("must be text, as all values of a ConfigMap: put it in quotes")
        option, read = KEYS[key]
        translated = read(value.strip())
        if INSTEAD.get(key) in data:
            found.notes.append(f"{key}: {INSTEAD[key]} is taken instead")
            return
        found.options[option] = translated
    if note := {**WITHOUT_EQUAL, **_NOTES}.get(key):
        found.notes.append(f"{key} ({value}): {note}")
    elif key not in KEYS:
        found.notes.append(f"{key}: no setting of evaluations; left out")


def _check(found: Imported, data: Mapping[str, Any]) -> None:
    """Hold the options against the settings' own checks, and name the operator's key that is to blame."""
    try:
        Settings.model_validate(found.options)
    except ValidationError as error:
        ours = {option: key for key, (option, _) in reversed(KEYS.items()) if key in data}
        lines = []
        for item in error.errors():
            key = ours.get(str(item["loc"][0])) if item["loc"] else "lmes-default-batch-size"
            lines.append(f"{key}: {item['msg'].removeprefix('Value error, ')}")
        raise ConfigError("\n".join(lines)) from None
