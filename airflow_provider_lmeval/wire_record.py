"""Carries a whole result document through a container's log.

A log repeats lines, mixes stdout with stderr, is rotated and is read while it is written. So the document travels in
many short lines, in one burst at the very end of the log, each with the run's name, its number and a check sum; what is
not whole is nothing. Shared with the driver: standard library only.
"""

from __future__ import annotations

import hashlib
import re
import zlib

from airflow_provider_lmeval.errors import ProtocolError
from airflow_provider_lmeval.wire_pod import pack, unpack

RECORD_MARK = "LMEVAL-RECORD/1"
"""Begins what belongs to a record in a line; a time stamp or the rest of an unfinished line may stand before it."""
MAX_RECORD_LINES = 128
"""With lines of 12 KiB a record has at most 1.5 MiB: the log must stay below the size at which it is rotated."""
_PIECE = 12 * 1024
"""Characters of content in a line. Container runtimes split lines at 16 KiB, and then stderr may get in between."""
_LINE = re.compile(r"(\S+) ([0-9a-f]{64}) (\d{1,6})/(\d{1,6}) ([0-9a-f]{8}) ([A-Za-z0-9+/=]+)\s*")


def record_lines(run_id: str, document: bytes) -> list[str]:
    """Return the lines, without line ends, from which :class:`RecordReader` restores a document.

    Each is ``LMEVAL-RECORD/1 run_id sha256 index/count crc32 content``: the digest is the whole document's, the check sum
    covers everything else in the line.

    :param run_id: of a run; no white space. :param document: its ``result.json``.
    :raises ProtocolError: it would need more than :data:`MAX_RECORD_LINES` lines.
    """
    packed, digest = pack(document), hashlib.sha256(document).hexdigest()
    pieces = [packed[start : start + _PIECE] for start in range(0, len(packed), _PIECE)]
    if len(pieces) > MAX_RECORD_LINES:
        raise ProtocolError(f"the document needs {len(pieces)} lines, the log takes {MAX_RECORD_LINES}; set a store")
    heads = (f"{run_id} {digest} {index}/{len(pieces)}" for index in range(1, len(pieces) + 1))
    return [f"{RECORD_MARK} {head} {_check(head, piece)} {piece}" for head, piece in zip(heads, pieces, strict=True)]


def _check(head: str, piece: str) -> str:
    return f"{zlib.crc32(f'{head} {piece}'.encode()):08x}"


class RecordReader:
    """Restores a document from the lines of a log; the last record of the run counts.

    Lines may come twice or in any order, as they do when a log is read again after a broken connection.

    :param run_id: of the run; other runs' lines are passed over.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._digest, self._count = "", 0
        self._pieces: dict[int, str] = {}
        self._damaged = 0

    def feed(self, line: str) -> bool:
        """Take a line, and tell whether it belongs to some record, so that it need not be shown to anybody.

        :param line: of the container's log, with or without time stamp and line end.
        """
        _, mark, rest = line.partition(f"{RECORD_MARK} ")
        if mark:
            self._take(rest)
        return bool(mark)

    def document(self) -> bytes | None:
        """Return the document, byte by byte as it was written, or None (see :attr:`problem`)."""
        try:
            return self._restore()
        except ValueError:
            return None

    @property
    def problem(self) -> str | None:
        """Why there is no document, or None if there is one."""
        try:
            self._restore()
        except ValueError as error:
            return str(error)
        return None

    def _take(self, rest: str) -> None:
        found = _LINE.fullmatch(rest)
        if found is None:
            self._damaged += 1
            return
        run_id, digest, index, count, check, piece = found.groups()
        if check != _check(f"{run_id} {digest} {index}/{count}", piece) or int(count) > MAX_RECORD_LINES:
            self._damaged += 1
        elif run_id == self._run_id:
            if (digest, int(count)) != (self._digest, self._count):
                self._digest, self._count, self._pieces = digest, int(count), {}
            self._pieces[int(index)] = piece

    def _restore(self) -> bytes:
        """Return the document.

        :raises ValueError: why there is none.
        """
        damaged = f" ({self._damaged} damaged)" if self._damaged else ""
        if not self._count:
            raise ValueError(f"the log holds no record of run {self._run_id}{damaged}")
        expected = range(1, self._count + 1)
        if missing := [index for index in expected if index not in self._pieces]:
            raise ValueError(f"{len(missing)} of {self._count} lines of the record are missing{damaged}")
        document = unpack("".join(self._pieces[index] for index in expected))
        if hashlib.sha256(document).hexdigest() != self._digest:
            raise ValueError("the record does not match its digest")
        return document
