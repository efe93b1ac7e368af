"""Where the demo keeps its files, and how a model goes into production.

Everything of one DAG run lies in a directory of its own, so runs never disturb each other. "Production" is one symbolic
link: whoever serves the model opens it, and it moves in a single step or not at all. Standard library only.
"""

from __future__ import annotations

import os
from pathlib import Path

from airflow_provider_lmeval.wire import safe_name


def root() -> Path:
    """Return ``LMEVAL_DEMO_DIR``, by default ``{AIRFLOW_HOME}/lmeval/demo``."""
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return Path(os.environ.get("LMEVAL_DEMO_DIR", home / "lmeval" / "demo"))


def run_directory(run_id: str | None) -> Path:
    """Return the directory of a DAG run.

    :param run_id: Airflow's id of the run, which may hold characters that file names should not.
    """
    return root() / "runs" / safe_name(run_id or "")


def promote(model: Path) -> Path:
    """Make a model the one in production, atomically.

    :param model: directory of the model.
    :returns: the link that now points to it.
    """
    link = root() / "production"
    draft = link.with_name(f".production.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(model.absolute(), target_is_directory=True)
    draft.replace(link)
    return link
