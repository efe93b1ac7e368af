"""How lm-eval's task templates are rendered: in Jinja's sandbox unless code is allowed, and compiled once.

lm-eval compiles a template anew for every field of every document, which takes longer than all else it does with a small
document, and its environment gives templates the run of the interpreter. Neither changes what an ordinary template says.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

KEPT = 1024
"""Compiled templates; tasks have a handful each, but some write their documents as templates."""


def set_up_templates(*, sandboxed: bool) -> None:
    """Replace the environment that ``lm_eval.utils.apply_template`` uses.

    :param sandboxed: templates must not reach the interpreter; an attempt raises Jinja's ``SecurityError``.
    """
    import lm_eval.utils
    from jinja2 import Environment
    from jinja2.sandbox import SandboxedEnvironment

    theirs = lm_eval.utils.env
    kind = SandboxedEnvironment if sandboxed else Environment
    ours: Any = kind(
        loader=theirs.loader, undefined=theirs.undefined, keep_trailing_newline=theirs.keep_trailing_newline
    )
    ours.filters.update(theirs.filters)
    ours.from_string = lru_cache(KEPT)(ours.from_string)
    lm_eval.utils.env = ours
