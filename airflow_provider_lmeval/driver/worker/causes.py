"""Turns an exception into a cause, which decides whether a retry can help, and a message in the exception's own words.

Libraries raise whatever they like, so three things are weighed: what kind of exception it is (out of memory is that,
wherever it happens), through whose code it came (``datasets``, an HTTP client), and what the worker was doing. Types
are compared by name: importing torch or aiohttp to ask ``isinstance`` would cost seconds or fail.
"""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Callable, Iterator

from airflow_provider_lmeval.driver.worker.patience import ServerGone
from airflow_provider_lmeval.driver.worker.startup import Cancelled
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Phase
from airflow_provider_lmeval.wire_env import takes_both

_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|out of memory|CUDNN_STATUS_ALLOC_FAILED", re.IGNORECASE
)
_OFFLINE = re.compile(
    r"offline\s*mode|HF_\w+_OFFLINE|TRANSFORMERS_OFFLINE|outgoing traffic has been disabled", re.IGNORECASE
)
_STORAGE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
_HTTP_CLIENTS = frozenset(
    {"aiohttp", "requests", "urllib3", "urllib", "httpx", "openai", "http", "tenacity", "anthropic"}
)
_MISUSE = frozenset({"TypeError", "NotImplementedError", "AssertionError", "UndefinedError", "TemplateSyntaxError"})
"""Raised by lm-eval and Jinja while evaluating when task and model do not fit together or a template is wrong."""
_REMEDY_ONLINE = (
    f"Online access is not allowed for this run: put the files on this machine. {takes_both('allow_online')}"
)


def classify(error: BaseException, phase: Phase) -> tuple[Cause, str]:
    """Return the cause of a failure and a message for people.

    :param error: what ended the evaluation.
    :param phase: what the worker was doing.
    """
    if isinstance(error, RunFailedError):
        return Cause(error.cause), str(error)
    if any(isinstance(link, Cancelled) for link in _chain(error)):
        return Cause.CANCELLED, "cancelled: SIGTERM"
    if gone := next((link for link in _chain(error) if isinstance(link, ServerGone)), None):
        return Cause.ENDPOINT, str(gone)
    cause = next((cause for cause, applies in _ANYWHERE if any(map(applies, _chain(error)))), None)
    if cause is None:
        cause = _BY_PHASE[phase](error) if phase in _BY_PHASE else Cause.INTERNAL
    message = describe(error)
    return cause, f"{message}\n{_REMEDY_ONLINE}" if cause is Cause.ONLINE_DENIED else message


def describe(error: BaseException) -> str:
    """Return the exception's own words, those of its root if that is another one, and what was noted on the way."""
    root = list(_chain(error))[-1]
    parts = [_words(error), *getattr(error, "__notes__", ())]
    if _words(root) not in parts[0]:
        parts.append(f"caused by {_words(root)}")
    return f"{parts[0]} ({'; '.join(parts[1:])})" if parts[1:] else parts[0]


def came_through(error: BaseException, *packages: str) -> bool:
    """Tell whether the exception, or one that caused it, was raised in or below a package.

    :param packages: top-level names, such as ``datasets``.
    """
    for link in _chain(error):
        for frame, _ in traceback.walk_tb(link.__traceback__):
            if str(frame.f_globals.get("__name__", "")).partition(".")[0] in packages:
                return True
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and what caused it, outermost first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": \n")


def _memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or (isinstance(error, RuntimeError) and bool(_MEMORY.search(str(error))))


def _storage(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _STORAGE


def _offline(error: BaseException) -> bool:
    return type(error).__name__ == "OfflineModeIsEnabled" or bool(_OFFLINE.search(str(error)))


def _code(error: BaseException) -> bool:
    return type(error).__name__ == "SecurityError"  # Jinja's sandbox


_ANYWHERE: tuple[tuple[Cause, Callable[[BaseException], bool]], ...] = (
    (Cause.OUT_OF_MEMORY, _memory),
    (Cause.STORAGE, _storage),
    (Cause.ONLINE_DENIED, _offline),
    (Cause.CODE_DENIED, _code),
)


def _while_loading_tasks(error: BaseException) -> Cause:
    if came_through(error, "datasets", "huggingface_hub", "pyarrow", "fsspec"):
        return Cause.DATASET
    if isinstance(error, OSError):
        return Cause.DATASET
    return Cause.BAD_SPEC  # the task's definition: a key that is not there, a template that does not compile


def _while_loading_model(error: BaseException) -> Cause:
    if _is_http(error):
        return Cause.ENDPOINT
    if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
        return Cause.BAD_SPEC
    return Cause.MODEL_LOAD


def _while_warming_up(error: BaseException) -> Cause:
    absent = {"RepositoryNotFoundError", "RevisionNotFoundError", "GatedRepoError", "EntryNotFoundError"}
    if any(type(link).__name__ in absent for link in _chain(error)):
        return Cause.MODEL_LOAD
    return Cause.DATASET  # a download broke off: another try may get all of it


def _while_evaluating(error: BaseException) -> Cause:
    if _is_http(error):
        return Cause.ENDPOINT
    if isinstance(error, ValueError) and "did not find any docs" in str(error):
        return Cause.DATASET
    if isinstance(error, KeyError | IndexError | OSError) and came_through(error, "datasets"):
        return Cause.DATASET
    return Cause.BAD_SPEC if type(error).__name__ in _MISUSE or "multimodal" in str(error) else Cause.INTERNAL


def _is_http(error: BaseException) -> bool:
    """Tell whether a request failed: by the type's home, because clients pass each other's exceptions on."""
    packages = {type(link).__module__.partition(".")[0] for link in _chain(error)}
    return bool(packages & _HTTP_CLIENTS) or any(
        isinstance(link, ConnectionError | TimeoutError) for link in _chain(error)
    )


_BY_PHASE: dict[Phase, Callable[[BaseException], Cause]] = {
    Phase.LOADING_TASKS: _while_loading_tasks,
    Phase.WARMING_UP: _while_warming_up,
    Phase.LOADING_MODEL: _while_loading_model,
    Phase.EVALUATING: _while_evaluating,
}
