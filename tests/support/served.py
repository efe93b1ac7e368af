"""Starts the server of the tiny model (:mod:`tests.support.served_model`) in a process of its own: tests import no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from airflow_provider_lmeval.wire import Request
from tests.support.certificates import self_signed
from tests.support.tiny import tiny_model, tiny_tasks
from tests.support.worker import NOT_CATALOGUED, ROOT, environment


class ServedModel:
    """The tiny model behind an OpenAI-compatible server on loopback.

    :param place: an empty directory; ``tls.crt`` there is the certificate, which is its own authority.
    """

    def __init__(self, place: Path) -> None:
        self._place = place

    def __enter__(self) -> Self:
        self.certificate, _ = self_signed(self._place)
        command = [sys.executable, "-m", "tests.support.served_model", str(tiny_model()), str(self._place)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment(), cwd=ROOT, text=True)
        assert self._process.stdout
        said = self._process.stdout.readline()
        assert said, "the server did not start"
        self._plain, self._tls = json.loads(said)
        return self

    def url(self, kink: str = "", *, tls: bool = False, path: str = "completions") -> str:
        """Return the endpoint's URL.

        :param kink: how it behaves; see ``served_model.KINKS``.
        """
        where = f"https://127.0.0.1:{self._tls}" if tls else f"http://127.0.0.1:{self._plain}"
        return f"{where}/{kink}/v1/{path}" if kink else f"{where}/v1/{path}"

    def __exit__(self, *exc: object) -> None:
        self._process.communicate(timeout=30)


def served_request(url: str, *tasks: str, **changes: Any) -> Request:
    """Return a request for tiny tasks and the model at a URL.

    :param changes: other fields of the request; ``model_args`` are merged into the defaults.
    """
    given = {"model": "tiny", "base_url": url, "tokenizer": str(tiny_model()), "max_length": 130, "timeout": 20}
    model_args = {**given, **changes.pop("model_args", {})}
    defaults = {"run_id": "test", "spec_hash": "0" * 64, "model": "local-completions", **NOT_CATALOGUED}
    where = {"include_paths": [str(tiny_tasks())], "tasks": list(tasks), "model_args": model_args}
    return Request(**{**defaults, **where, **changes})
