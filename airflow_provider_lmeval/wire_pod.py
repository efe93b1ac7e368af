"""How an evaluation in a container is told what to do, and the last words it leaves: environment and termination message.

Nobody executes commands in the container, so its request comes packed in a variable or, if it is large, in a mounted
file. Of what it writes, the kubelet keeps a few bytes of ``/dev/termination-log`` beyond any death of the container; so
they hold what is known at every moment, and the scores that matter most. Like ``wire``, shared with the driver: standard
library only.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from airflow_provider_lmeval.errors import ProtocolError
from airflow_provider_lmeval.wire import Document, Reason, Request, State, dump

REQUEST_ENV = "LMEVAL_REQUEST"
"""Variable that holds the packed request."""
REQUEST_FILE_ENV = "LMEVAL_REQUEST_FILE"
"""Variable that names a file with the packed request, for one too large for a variable: a mounted ConfigMap."""
RUN_DIR_ENV = "LMEVAL_RUN_DIR"
"""Variable that names the run directory; default: a directory of the run's name below the system's temporary one."""
TERMINATION_LOG_ENV = "LMEVAL_TERMINATION_LOG"
"""Variable that names the file for the termination message (the container's ``terminationMessagePath``)."""
TERMINATION_LOG = "/dev/termination-log"
"""Kubernetes' default for it."""
GRACE_ENV = "LMEVAL_GRACE_S"
"""Variable that says how many seconds lie between SIGTERM and SIGKILL (``terminationGracePeriodSeconds``)."""
GRACE_S = 30.0
"""Kubernetes' default for it."""

ENV_FROM_FILES_ENV = "LMEVAL_ENV_FROM_FILES"
"""Variable with a JSON object ``{NAME: path}``: the driver sets NAME to the file's content, which is a secret."""
CA_FILES_ENV = "LMEVAL_CA_FILES"
"""Variable with a JSON list of files with CA certificates to trust beside those of the image."""
MOUNTED_ENV = "LMEVAL_MOUNTED"
"""Variable with a JSON list of what must be there before anything starts: ``{"path", "origin", "writable"}``."""

MAX_ENV_REQUEST = 32 * 1024
"""Largest packed request to put into the environment, in bytes: it is part of the pod, and of every event about it."""
MAX_CONFIGMAP_REQUEST = 900_000
"""Largest packed request to put into a ConfigMap, which may have 1 MiB with everything in it."""
MAX_UNPACKED = 64 * 1024 * 1024
"""Nothing that unpacks to more bytes than this is read."""


def pack_request(request: Request) -> str:
    """Return a request as text for the environment or a ConfigMap; the order of its keys is kept.

    :raises ProtocolError: it is larger than any reader accepts.
    """
    raw = dump(request.to_json(), sort_keys=False)
    if len(raw) > MAX_UNPACKED:
        raise ProtocolError(f"the request has {len(raw)} bytes, at most {MAX_UNPACKED} can be sent; define fewer tasks")
    return pack(raw)


def unpack_request(text: str) -> Request:
    """Return the request that :func:`pack_request` packed.

    :param text: surrounding white space does not matter.
    :raises ProtocolError: damaged, larger than allowed, or not a request of this protocol.
    """
    try:
        data = json.loads(unpack(text.strip()))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the packed request cannot be read: {error}") from None
    return Request.from_json(data)


def pack(raw: bytes) -> str:
    """Return bytes as one line of ASCII: base64 of zlib (RFC 1950)."""
    return base64.b64encode(zlib.compress(raw, 9)).decode("ascii")


def unpack(text: str) -> bytes:
    """Reverse :func:`pack`, without unpacking more than :data:`MAX_UNPACKED` bytes.

    :raises ValueError: damaged or too large.
    """
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(base64.b64decode(text, validate=True), MAX_UNPACKED)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if stream.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {MAX_UNPACKED} bytes")
    if not stream.eof or stream.unused_data:
        raise ValueError("its end is missing or something follows it")
    return raw


MAX_TERMINATION = 2000
"""Bytes of a termination message. The kubelet keeps 4,096 of a container, and of a pod 12 KiB shared by all of them."""
_LONGEST = {"message": 500, "location": 400}
"""Bytes of free texts in it, as JSON."""

Metrics = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True, kw_only=True)
class Termination(Document):
    """The last that is known of a run in a container; rewritten while it goes on, so that even SIGKILL leaves one.

    :param state: a :class:`State`; ``Running`` with a digest means: evaluated, the results are being stored.
    :param reason: a :class:`Reason`; ``cause``: a :class:`Cause` or None; ``message``: for people, possibly cut.
    :param phase: a :class:`Phase`, or None before and after.
    :param metrics: ``{task: {"metric,filter": value}}`` of finished tasks, the more important ones first.
    :param truncated: metrics were left out. One that is missing is then unknown, not absent.
    :param tasks_done: number of finished tasks.
    :param digest: SHA-256 of ``result.json``, or None while there is none.
    :param location: where the results are stored, as a URI, or None while they are not.
    :param records: number of record lines at the end of the log; 0 if there are none.
    """

    run_id: str
    state: str = State.NEW
    reason: str = Reason.NO_REASON
    cause: str | None = None
    message: str | None = None
    phase: str | None = None
    metrics: Metrics = field(default_factory=dict)
    truncated: bool = False
    tasks_done: int = 0
    digest: str | None = None
    location: str | None = None
    records: int = 0

    def to_text(self) -> str:
        """Return the message in at most :data:`MAX_TERMINATION` bytes of UTF-8; what does not fit is left out."""
        message = _cut(self.message, _LONGEST["message"])
        location = self.location if _size(self.location) <= _LONGEST["location"] else None  # half of it leads nowhere
        bare = dataclasses.replace(self, message=message, location=location, metrics={})
        room = MAX_TERMINATION - len(bare._encoded())
        metrics = _fitting(self.metrics, room)
        complete = all(len(metrics.get(task, {})) == len(self.metrics[task]) for task in self.metrics)
        full = dataclasses.replace(bare, metrics=metrics, truncated=self.truncated or not complete)
        return full._encoded().decode()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a termination message.

        :raises ProtocolError: it is none: empty, the end of some log, another protocol, or wrong types.
        """
        try:
            found = cls.from_json(json.loads(text.strip(), parse_constant=_no_number))
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"this is no termination message of the driver: {error}") from None
        if problem := _problem(found):
            raise ProtocolError(f"the termination message is damaged: {problem}")
        return found

    def _encoded(self) -> bytes:
        return _compact(self.to_json())


def _fitting(metrics: Metrics, room: int) -> dict[str, dict[str, float | None]]:
    """Return as many metrics as fit into ``room`` bytes: of each task the first, then of each the second."""
    chosen: dict[str, dict[str, float | None]] = {}
    for task, metric, value in _by_rank(metrics):
        finite = value if value is not None and math.isfinite(value) else None
        new = 0 if task in chosen else _size(task) + len(":{},")
        needed = new + _size(metric) + _size(finite) + len(":,")
        if needed <= room and _encodable(task + metric):
            room -= needed
            chosen.setdefault(task, {})[metric] = finite
    return chosen


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, in whose place two different names would be the same
        return False
    return True


def _by_rank(metrics: Metrics) -> Iterator[tuple[str, str, float | None]]:
    columns = [[(task, metric, value) for metric, value in values.items()] for task, values in metrics.items()]
    for row in itertools.zip_longest(*columns):
        yield from filter(None, row)


def _cut(text: str | None, limit: int) -> str | None:
    """Return the beginning of a text that has at most ``limit`` bytes as JSON."""
    if text is None or _size(text) <= limit:
        return text
    length = limit
    while _size(f"{text[:length]}…") > limit:
        length -= max(1, (_size(text[:length]) - limit) // 6)  # a character has at most six bytes in JSON
    return f"{text[:length]}…"


def _size(value: Any) -> int:
    return len(_compact(value))


def _compact(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _no_number(token: str) -> None:
    raise ValueError(f"{token} is not JSON")


def _problem(found: Termination) -> str | None:
    """Return what is wrong with the types of a message, or None."""
    for name in ("run_id", "state", "reason"):
        if not isinstance(getattr(found, name), str):
            return f"{name} is not a text"
    if found.state not in set(State) or found.reason not in set(Reason):
        return f"unknown state {found.state!r} or reason {found.reason!r}"
    for name in ("cause", "message", "phase", "digest", "location"):
        if not isinstance(getattr(found, name), str | None):
            return f"{name} is not a text"
    if type(found.truncated) is not bool or type(found.records) is not int or type(found.tasks_done) is not int:
        return "truncated, records or tasks_done has the wrong type"
    tables = found.metrics.values() if isinstance(found.metrics, dict) else [None]
    if not all(isinstance(table, dict) and all(map(_is_score, table.values())) for table in tables):
        return "metrics is not a table of numbers"
    return None


def _is_score(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
