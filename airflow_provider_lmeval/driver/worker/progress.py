"""Counts finished requests where lm-eval's model types report them.

lm-eval has no progress hook, and its bars cannot be parsed. But every type of model calls ``CacheHook.add_partial``
once per finished request, so that a cache can survive a crash: counting there is exact and costs nothing. The number
of requests is the length of the list that each request method is called with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

KINDS = ("loglikelihood", "loglikelihood_rolling", "generate_until")
"""Request methods of ``lm_eval.api.model.LM``."""


class Progress:
    """How far the evaluation is.

    :param report: is given ``{"task", "kind", "done", "total", "tasks_done", "tasks_total"}``.
    :param tasks_total: number of tasks in all.
    """

    def __init__(self, report: Callable[[dict[str, Any]], None], tasks_total: int) -> None:
        self._report = report
        self._tasks_total = tasks_total
        self._task: str | None = None
        self._kind: str | None = None
        self._tasks_done = 0
        self._done = 0
        self._total = 0

    def follow(self, lm: Any) -> None:
        """Count the model's requests from now on.

        :param lm: lm-eval's model object, its caching (``CachingLM``) already set up.
        """
        lm.set_cache_hook(_CountingHook(lm.cache_hook, self._count))
        for kind in KINDS:
            setattr(lm, kind, self._counted(kind, getattr(lm, kind)))

    def begin(self, task: str | None) -> None:
        """Name the task whose requests come next; None for all at once."""
        self._task = task
        self._done = self._total = 0

    def end(self, tasks: int = 1) -> None:
        """Note that tasks are done, evaluated now or found finished."""
        self._tasks_done += tasks

    def _counted(self, kind: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(requests: list[Any], *args: Any, **kwargs: Any) -> Any:
            if self._kind is not None:  # a method that uses another: the outer one's requests count
                return method(requests, *args, **kwargs)
            self._kind, self._done, self._total = kind, 0, len(requests)
            try:
                self._say()
                answers = method(requests, *args, **kwargs)
                self._done = self._total
                self._say()
            finally:
                self._kind = None
            return answers

        return call

    def _count(self) -> None:
        if self._kind is not None and self._done < self._total - 1:  # the last is said when the method returns
            self._done += 1
            self._say()

    def _say(self) -> None:
        self._report(
            {
                "task": self._task,
                "kind": self._kind,
                "done": self._done,
                "total": self._total,
                "tasks_done": self._tasks_done,
                "tasks_total": self._tasks_total,
            }
        )


class _CountingHook:
    """Stands before lm-eval's ``CacheHook``, which it passes everything on to."""

    def __init__(self, hook: Any, count: Callable[[], None]) -> None:
        self._hook = hook
        self._count = count

    def add_partial(self, attr: str, req: Iterable[Any], res: Any) -> None:
        self._hook.add_partial(attr, req, res)
        self._count()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hook, name)
