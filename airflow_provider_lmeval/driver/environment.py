"""Builds the child's environment instead of inheriting it.

The driver's own environment holds credentials that model-generated code must never see: the store's keys, a service
account's, Airflow's. So the child gets the few variables named here, what the request asks for, and nothing else.
Values of ``{"env": "NAME"}`` references come from the driver's environment, if the administrator listed NAME; they
are collected as secrets, to be redacted everywhere.
"""

from __future__ import annotations

import os
import pwd
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_lmeval.driver.offline import cache_variables
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Request, is_env_reference
from airflow_provider_lmeval.wire_env import CODE, OFFLINE, why_not

PASSED_THROUGH = (
    "PATH", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS", "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK",
    "HF_HOME", "HF_DATASETS_CACHE", "HF_HUB_CACHE", "HF_ENDPOINT", "TRANSFORMERS_CACHE", "XDG_CACHE_HOME",
    "NLTK_DATA", "UNITXT_CATALOGS", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "LMEVAL_IMAGE",
)  # fmt: skip
"""Copied when set."""
PASSED_THROUGH_PREFIXES = ("NVIDIA_",)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
"""Copied when set; a password in the URL is a secret."""

ALWAYS = {
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "DISABLE_MULTIPROC": "1",  # lm-eval's bootstrap would fork one worker per core of the node
    "UNITXT_USE_ONLY_LOCAL_CATALOGS": "True",  # else a public catalogue is asked first, without a timeout
}

LONGEST_TMPDIR = 60
_REASONS = {
    Cause.BAD_SPEC: "may not set {name!r}: the driver decides which code runs. Remove it from env.",
    Cause.ONLINE_DENIED: "sets {name}, but online access is not allowed for this run.",
    Cause.CODE_DENIED: "sets {name}, but code execution is not allowed for this run.",
}


class Resolver:
    """Replaces references to environment variables by values and remembers these as secrets.

    :param environ: the driver's environment.
    :param allowed: names that may be referred to.
    """

    def __init__(self, environ: Mapping[str, str], allowed: list[str]) -> None:
        self._environ = environ
        self._allowed = allowed
        self.secrets: set[str] = set()

    def resolve(self, value: Any, where: str) -> Any:
        """Return JSON data with every reference replaced.

        :param value: may hold ``{"env": "NAME"}`` at any depth.
        :param where: path of ``value``, for messages.
        :raises RunFailedError: NAME is not allowed or not set (``bad_spec``).
        """
        if is_env_reference(value):
            return self._look_up(value["env"], where)
        if isinstance(value, dict):
            return {key: self.resolve(item, f"{where}.{key}") for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, f"{where}[{index}]") for index, item in enumerate(value)]
        return value

    def _look_up(self, name: str, where: str) -> str:
        if name not in self._allowed:
            allowed = ", ".join(sorted(self._allowed)) or "none"
            raise RunFailedError(
                f"{where} refers to the environment variable {name!r}, which is not allowed (allowed: {allowed}). "
                "An administrator can allow it in the [lmeval] configuration.",
                Cause.BAD_SPEC,
            )
        if name not in self._environ:
            raise RunFailedError(
                f"{where} refers to the environment variable {name!r}, which is not set where the evaluation runs.",
                Cause.BAD_SPEC,
            )
        self.secrets.add(self._environ[name])
        return self._environ[name]


def build(request: Request, resolver: Resolver, environ: Mapping[str, str], scratch: Path, tmp: Path) -> dict[str, str]:
    """Return the child's whole environment.

    :param request: its ``env`` and permissions count.
    :param resolver: collects the secrets among the values.
    :param environ: the driver's environment.
    :param scratch: the child's home if the user's own cannot be written.
    :param tmp: the child's ``TMPDIR``.
    :raises RunFailedError: a variable that may not be set, or a reference that cannot be resolved.
    """
    passed = {name: value for name, value in environ.items() if _passes(name)}
    resolver.secrets.update(filter(None, (_password(environ.get(name, "")) for name in PROXIES)))
    places = {"HOME": _home(environ, scratch), "TMPDIR": str(tmp), "PYTHONPATH": python_path(environ), **_user(environ)}
    denied = {} if request.allow_online else OFFLINE
    granted = CODE if request.allow_code_execution else {}
    requested = _requested(request, resolver)
    caches = cache_variables(request, environ, requested, scratch)
    return {**passed, **places, **ALWAYS, **denied, **granted, **requested, **caches}


def _requested(request: Request, resolver: Resolver) -> dict[str, str]:
    for name in request.env:
        _check_name(name, request)
    found: dict[str, str] = {name: resolver.resolve(value, f"env.{name}") for name, value in request.env.items()}
    for name, value in found.items():
        if "\0" in value:
            raise RunFailedError(f"env.{name} holds a NUL character, which no environment can carry.", Cause.BAD_SPEC)
    return found


def _check_name(name: str, request: Request) -> None:
    """Refuse names that would choose other code or take a permission that was not given."""
    permitted = {"allow_online": request.allow_online, "allow_code_execution": request.allow_code_execution}
    reason = Cause.BAD_SPEC if not name or set(name) & {"=", "\0"} else why_not(name, **permitted)
    if reason is not None:
        raise RunFailedError(f"env {_REASONS[reason].format(name=name)}", reason)


def _passes(name: str) -> bool:
    return name in PASSED_THROUGH or name in PROXIES or name.startswith(PASSED_THROUGH_PREFIXES)


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:
        return None


def _home(environ: Mapping[str, str], scratch: Path) -> str:
    home = environ.get("HOME", "")
    return home if home and os.access(home, os.W_OK | os.X_OK) else str(scratch)


def _user(environ: Mapping[str, str]) -> dict[str, str]:
    """Name the user where nobody else does: in OpenShift user ids have no name, and torch asks for one."""
    if {"USER", "LOGNAME"} & set(environ):
        return {}
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return {"USER": f"uid-{os.getuid()}"}
    return {}


def python_path(environ: Mapping[str, str]) -> str:
    """Return a module path on which this very copy of the package is found, then what the driver was given.

    An installed copy needs no entry, and ``site-packages`` must not get one: it would go before the standard library.
    """
    root = str(Path(__file__).parents[2])
    installed = root in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    given = [entry for entry in environ.get("PYTHONPATH", "").split(os.pathsep) if entry and entry != root]
    return os.pathsep.join(given if installed else [root, *given])


def temporary_directory(scratch: Path) -> Path:
    """Make the child's ``TMPDIR``: in ``scratch``, or in the system's if that path is too long for sockets.

    A Unix socket's path has at most 107 bytes (unix(7)); torch and vLLM put some 40 of their own below ``TMPDIR``.
    """
    path = scratch / "tmp"
    if len(os.fsencode(path)) > LONGEST_TMPDIR:
        return Path(tempfile.mkdtemp(prefix="lmeval-"))
    path.mkdir(exist_ok=True)
    return path
