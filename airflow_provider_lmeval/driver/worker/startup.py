"""What has to happen in the worker before anything heavy is imported.

Start-up is most of a small evaluation, and the order of a few lines here decides seconds of it. Cancelling has to work
from the first moment too, in the middle of an import as well as in a tokenizer's C code.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from airflow_provider_lmeval.wire import EXIT_CODES, Cause

LAST_MOMENTS_S = 1.5
"""Seconds between SIGTERM and the end, whatever libraries do with the exception."""


class Cancelled(BaseException):
    """SIGTERM arrived. Not an ``Exception``: retry loops of API clients catch those."""


def prepare() -> None:
    """Set what libraries read when they are imported, as lm-eval's command does, and leave out what only costs time."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # requests imports chardet where it is installed, for seconds, and does without it as well
    modules: dict[str, Any] = sys.modules
    modules.setdefault("chardet", None)
    gc.disable()  # looking for garbage among what torch and transformers define costs a tenth of importing them


def log_as_lm_eval() -> None:
    """Log what lm-eval's own command logs, to stderr."""
    from lm_eval.utils import setup_logging

    setup_logging()


def settled() -> None:
    """Collect garbage again, but not among what was loaded by now: it stays until the end."""
    gc.freeze()
    gc.enable()


def cancel_on_sigterm() -> None:
    """Make SIGTERM raise :class:`Cancelled`, and end the process soon even if something swallows that."""
    signal.signal(signal.SIGTERM, _cancel)


def _cancel(_signum: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    last = threading.Timer(LAST_MOMENTS_S, os._exit, [EXIT_CODES[Cause.CANCELLED]])
    last.daemon = True
    last.start()
    raise Cancelled
