"""Ends an evaluation whose server has stopped answering, instead of trying every document in turn.

lm-eval gives each request its own attempts and time-outs. With many requests in flight a failed one queues up behind all
others, so a server that hangs is noticed after (documents / concurrency) x time-out: hours. Here the server as a whole has
as long as one request would have, ``timeout`` x ``max_retries``, and as many failures in a row as the requests in flight
have attempts. What ends it is no ``Exception``: lm-eval would try again.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_lmeval.driver.worker.endpoint_client import LONGEST_PAUSE_S, ca_file, retry_after

RATE_LIMITED = 429


class ServerGone(BaseException):
    """The model's server does not answer any more."""


class Patience:
    """Watches a served model's requests.

    :param timeout_s: for one attempt. :param attempts: per request. :param concurrency: requests in flight.
    :param clock: seconds that only grow.
    """

    def __init__(
        self, timeout_s: float, attempts: int, concurrency: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._timeout_s = timeout_s
        self._longest_s = timeout_s * max(1, attempts)
        self._most = max(1, attempts) * max(1, concurrency)
        self._clock = clock
        self._waiting = 0
        self._failures = 0
        self._last = clock()

    @classmethod
    def of(cls, lm: Any) -> Patience:
        """Return the patience that a served model's own settings ask for."""
        return cls(lm.timeout, lm.max_retries, lm._concurrent)

    def follow(self, lm: Any) -> None:
        """Watch a model from now on.

        :param lm: lm-eval's ``TemplateAPI``.
        """
        lm.model_call = self._watched(lm.model_call)
        lm.amodel_call = self._watched_async(lm.amodel_call)

    def begin(self) -> None:
        """Note that an answer is waited for; time in which nobody asked is not the server's."""
        if not self._waiting:
            self._last = self._clock()
        self._waiting += 1

    def answered(self) -> None:
        """Note an answer."""
        self._waiting -= 1
        self._failures, self._last = 0, self._clock()

    def failed(self, error: BaseException) -> float:
        """Note that there was none and return the seconds to wait before the next attempt.

        :raises ServerGone: it is not worth another one.
        """
        self._waiting -= 1
        status, headers = _refusal(error)
        self._failures += status != RATE_LIMITED
        silent_s, last = self._clock() - self._last, self._words(error)
        error.add_note(last)
        if silent_s >= self._longest_s:
            raise ServerGone(
                f"the model's server has answered nothing for {silent_s:.0f} s, as long as one request may take in all "
                f"attempts (timeout x max_retries); last: {last}"
            ) from error
        if self._failures >= self._most:
            raise ServerGone(
                f"{self._failures} requests in a row to the model's server failed; last: {last}"
            ) from error
        return min(retry_after(headers), LONGEST_PAUSE_S)

    def _words(self, error: BaseException) -> str:
        if "Timeout" in type(error).__name__:  # of whichever HTTP client; most say nothing else
            return f"no answer in {self._timeout_s:g} s (timeout)"
        return f"{type(error).__name__}: {error}".rstrip(": ")

    def _watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.begin()
            try:
                answer = call(*args, **kwargs)
            except Exception as error:
                time.sleep(self.failed(error))
                raise
            self.answered()
            return answer

        return watched

    def _watched_async(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def watched(*args: Any, **kwargs: Any) -> Any:
            self.begin()
            try:
                answer = await call(*args, **kwargs)
            except Exception as error:
                await asyncio.sleep(self.failed(error))
                raise
            self.answered()
            return answer

        return watched


def trust(lm: Any, model_args: Mapping[str, Any]) -> None:
    """Let lm-eval check the server's certificate against the CA file that was given.

    lm-eval hands ``ca_cert_path`` to its tokenizer probes only; completions know yes and no. ``requests`` takes a path in
    the same place, ``aiohttp`` a context.
    """
    if lm.verify_certificate is True and (file := ca_file(model_args)):
        lm.verify_certificate = file if lm._concurrent <= 1 else ssl.create_default_context(cafile=file)


def _refusal(error: BaseException) -> tuple[int | None, Mapping[str, str]]:
    """Return status and headers of an HTTP error of ``requests`` or ``aiohttp``."""
    answer = getattr(error, "response", None)
    source = answer if answer is not None else error
    status = getattr(source, "status_code", None) or getattr(source, "status", None)
    return (status if isinstance(status, int) else None), getattr(source, "headers", None) or {}
