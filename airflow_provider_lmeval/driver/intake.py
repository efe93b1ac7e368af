"""Reads a request, and refuses one that cannot be right before anything is started.

A request normally comes from ``plan/``, checked by pydantic. The driver still checks types and names itself: it may
be started by hand or by another release, and a ``grace_s`` that is a string must be an error now, not when a run has
to be stopped. ``run_id`` becomes part of paths and URLs, so it must be a plain name.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from airflow_provider_lmeval.errors import ProtocolError
from airflow_provider_lmeval.wire import Request, is_env_reference
from airflow_provider_lmeval.wire_offline import CHECKS
from airflow_provider_lmeval.wire_pod import REQUEST_ENV, REQUEST_FILE_ENV, unpack_request

CHECKPOINTS = ("task", "none")
_RUN_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")


def load_request(path: Path) -> Request:
    """Read and check a request file.

    :param path: a JSON document as ``wire.Request.to_json`` makes it.
    :raises ProtocolError: unreadable, not JSON, another protocol, or a field with a value it cannot have.
    """
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise ProtocolError(f"cannot read the request {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the request {path} is not JSON: {error}") from error
    request = Request.from_json(data)
    check_request(request)
    return request


def request_from_environment(environ: Mapping[str, str]) -> Request:
    """Unpack and check the request in, or named by, a variable.

    :param environ: holds ``LMEVAL_REQUEST`` or ``LMEVAL_REQUEST_FILE`` (``wire_pod``).
    :raises ProtocolError: neither is set, the file is unreadable, or see :func:`load_request`.
    """
    if (packed := environ.get(REQUEST_ENV)) is None:
        if not (name := environ.get(REQUEST_FILE_ENV)):
            raise ProtocolError(f"there is no request: name its file, or set {REQUEST_ENV} or {REQUEST_FILE_ENV}")
        try:
            packed = Path(name).read_text(encoding="ascii")
        except OSError as error:
            raise ProtocolError(f"cannot read {REQUEST_FILE_ENV}={name}: {error.strerror}") from error
        except ValueError as error:
            raise ProtocolError(f"{REQUEST_FILE_ENV}={name} is not a packed request: {error}") from error
    request = unpack_request(packed)
    check_request(request)
    return request


def check_request(request: Request) -> None:
    """Check types, names and ranges.

    :raises ProtocolError: names the field, what was found and what is allowed.
    """
    for name, hint in get_type_hints(Request).items():
        if not _fits(value := getattr(request, name), hint):
            raise ProtocolError(f"request.{name}: expected {_spell(hint)}, found {type(value).__name__}")
    _require(_RUN_ID.fullmatch(request.run_id), "run_id", request.run_id, "up to 200 letters, digits, '.', '_' and '-'")
    _require(request.checkpoint in CHECKPOINTS, "checkpoint", request.checkpoint, " or ".join(CHECKPOINTS))
    _require(0 < request.report_s < math.inf, "report_s", request.report_s, "seconds, above 0")
    _require(0 <= request.grace_s < math.inf, "grace_s", request.grace_s, "seconds, 0 or more")
    _require(request.log_limit_bytes >= 1024, "log_limit_bytes", request.log_limit_bytes, "1024 bytes or more")
    for name in ("timeout_s", "no_progress_s"):
        seconds = getattr(request, name)
        _require(seconds is None or 0 < seconds < math.inf, name, seconds, "seconds above 0, or null")
    for name, value in request.env.items():
        fits = isinstance(value, str) or is_env_reference(value)
        _require(fits, f"env[{name!r}]", value, 'a string or {"env": "NAME"}')
    _check_services(request)


def _check_services(request: Request) -> None:
    """Check the nested settings: where to store, serve and queue."""
    if request.store is not None:
        _require(_is(request.store, url=str) and request.store["url"], "store", request.store, '{"url": URL, ...}')
        _require(isinstance(request.store.get("options") or {}, dict), "store.options", request.store, "an object")
    if (offline := request.offline) is not None:
        fits = isinstance(offline.get("cache"), str | None) and offline.get("check", "digests") in CHECKS
        _require(fits, "offline", offline, f'{{"cache": directory or null, "check": one of {", ".join(CHECKS)}}}')
        source = offline.get("source")
        fits = source is None or _is(source, protocol=str, place=list, options=dict)
        _require(fits, "offline.source", sorted(source or ()), '{"protocol", "place", "options"}, or null')
    if request.status_server is not None:
        found = sorted(request.status_server)  # the values may be confidential, the names are not
        _require(_is(request.status_server, token_sha256=str), "status_server", found, '{"token_sha256": hex, ...}')
        port = request.status_server.get("port") or 0
        _require(isinstance(port, int) and 0 <= port <= 65535, "status_server.port", port, "0 to 65535")
    if request.parallel is not None:
        fits = _is(request.parallel, count=int, processes=int, model_args=dict, required=bool)
        _require(
            fits and request.parallel["processes"] >= 1, "parallel", request.parallel, "what plan/parallel.py makes"
        )
    if (asked := request.preflight) is not None:
        fits = _is(asked, device=str, processes=int) and isinstance(asked.get("memory"), int | None)
        _require(fits, "preflight", asked, '{"device": name, "memory": bytes or null, "processes": count}')
    if request.slots is not None:
        fits = _is(request.slots, directory=str, count=int) and request.slots["count"] >= 1
        _require(fits, "slots", request.slots, '{"directory": path, "count": 1 or more}')


def _is(data: dict[str, Any], **types_of: type) -> bool:
    return all(isinstance(data.get(name), expected) for name, expected in types_of.items())


def _require(holds: object, name: str, found: object, allowed: str) -> None:
    if not holds:
        raise ProtocolError(f"request.{name}: found {found!r}, allowed: {allowed}")


def _fits(value: object, hint: Any) -> bool:
    if isinstance(hint, types.UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if isinstance(value, bool):
        return hint is bool
    origin = get_origin(hint) or hint
    if origin is list and isinstance(value, list):
        return all(_fits(item, get_args(hint)[0]) for item in value)
    return isinstance(value, (int, float) if origin is float else origin)


def _spell(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
