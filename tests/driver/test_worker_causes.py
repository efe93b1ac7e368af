"""Exceptions as libraries raise them, and the cause each one is given."""

import errno

import pytest

from airflow_provider_lmeval.driver.worker.causes import classify, describe
from airflow_provider_lmeval.driver.worker.startup import Cancelled
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Phase


def foreign(name, module, base=Exception):
    """Return an exception type as another package defines it."""
    return type(name, (base,), {"__module__": module})


def raised_in(package, error):
    """Return the exception after it was raised by a function of ``package``."""
    scope = {"__name__": f"{package}.inner", "error": error}
    exec("def fail():\n    raise error", scope)
    try:
        scope["fail"]()
    except type(error) as caught:
        return caught
    raise AssertionError("nothing was raised")


def caused(outer, root):
    outer.__cause__ = root
    return outer


EVALUATING, TASKS, MODEL = Phase.EVALUATING, Phase.LOADING_TASKS, Phase.LOADING_MODEL


@pytest.mark.parametrize(
    ("error", "phase", "cause"),
    [
        (RunFailedError("said so", "deadline"), EVALUATING, "deadline"),
        (Cancelled(), MODEL, "cancelled"),
        (caused(RuntimeError("generator didn't stop"), Cancelled()), EVALUATING, "cancelled"),
        (MemoryError(), TASKS, "out_of_memory"),
        (foreign("OutOfMemoryError", "torch")("CUDA out of memory."), EVALUATING, "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 40 GB"), MODEL, "out_of_memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), EVALUATING, "out_of_memory"),
        (caused(RuntimeError("worker died"), MemoryError()), EVALUATING, "out_of_memory"),
        (OSError(errno.ENOSPC, "No space left on device"), EVALUATING, "storage"),
        (foreign("OfflineModeIsEnabled", "huggingface_hub.errors", ConnectionError)("no"), TASKS, "online_denied"),
        (foreign("SecurityError", "jinja2.exceptions")("unsafe"), EVALUATING, "code_denied"),
        (raised_in("datasets", ValueError("bad file")), TASKS, "dataset"),
        (FileNotFoundError("x.csv"), TASKS, "dataset"),
        (KeyError("doc_to_text"), TASKS, "bad_spec"),
        (TypeError("__init__() got an unexpected keyword argument 'foo'"), MODEL, "bad_spec"),
        (OSError("not a model"), MODEL, "model_load"),
        (foreign("ClientResponseError", "aiohttp.client_exceptions")("404"), EVALUATING, "endpoint"),
        (caused(RuntimeError("Session is closed"), ConnectionRefusedError()), EVALUATING, "endpoint"),
        (foreign("HTTPError", "requests.exceptions", OSError)("401"), EVALUATING, "endpoint"),
        (NotImplementedError("Loglikelihood is not supported for chat completions."), EVALUATING, "bad_spec"),
        (ValueError("task.build_requests() did not find any docs!"), EVALUATING, "dataset"),
        (raised_in("datasets", KeyError("answer")), EVALUATING, "dataset"),
        (ZeroDivisionError("division by zero"), EVALUATING, "internal"),
        (KeyError("x"), Phase.SAVING, "internal"),
    ],
)
def test_cause(error, phase, cause):
    assert classify(error, phase)[0] == cause


def test_the_message_is_the_exceptions_own_words_and_its_roots():
    error = caused(RuntimeError("Session is closed"), ConnectionRefusedError(111, "Connection refused"))
    error.add_note("while loading task 'x'")

    text = describe(error)

    assert text.startswith("RuntimeError: Session is closed (")
    assert "while loading task 'x'" in text
    assert "ConnectionRefusedError: [Errno 111] Connection refused" in text


def test_exceptions_that_cause_each_other_end():
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first

    assert classify(first, EVALUATING)[0] == "internal"


def test_offline_failures_say_how_to_go_online():
    assert "allow_online: true" in classify(ConnectionError("OfflineModeIsEnabled: offline mode"), TASKS)[1]
