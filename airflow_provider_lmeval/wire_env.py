"""Which environment variables of a run are a decision about code or network, and so not the spec's to set; and whose it is.

Both sides have to know: a spec is refused before anything is created, and the driver, which may be started by hand, refuses
a request.
"""

from __future__ import annotations

from airflow_provider_lmeval.wire import Cause
from airflow_provider_lmeval.wire_offline import CACHE_ENV

OFFLINE = dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE", "TRANSFORMERS_OFFLINE"), "1")
"""Set without permission to go online."""
CODE = {"HF_ALLOW_CODE_EVAL": "1", "UNITXT_ALLOW_UNVERIFIED_CODE": "True"}
"""Set with permission to execute code."""
REFUSED = frozenset({"PATH", "BASH_ENV", "ENV", "GCONV_PATH", "LMEVAL_EVENTS_FD", "LMEVAL_IMAGE", CACHE_ENV})
"""What nobody may set: it decides which program or library runs, or is the driver's own."""
REFUSED_PREFIXES = ("PYTHON", "LD_", "DYLD_", "GIT_")
"""Beginnings of such names (python(1), ld.so(8), git(1))."""
HARMLESS = frozenset({"PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONFAULTHANDLER"})
NEEDS_ONLINE = frozenset({*OFFLINE, "UNITXT_USE_ONLY_LOCAL_CATALOGS"})
NEEDS_CODE = frozenset({*CODE, "HF_DATASETS_TRUST_REMOTE_CODE"})


def why_not(name: str, *, allow_online: bool, allow_code_execution: bool) -> Cause | None:
    """Return why a run may not set a variable, or None if it may.

    :param name: of the variable.
    :returns: ``bad_spec`` if nobody may set it, ``online_denied`` or ``code_denied`` for lack of a permission.
    """
    if name in REFUSED or (name.startswith(REFUSED_PREFIXES) and name not in HARMLESS):
        return Cause.BAD_SPEC
    if name in NEEDS_ONLINE and not allow_online:
        return Cause.ONLINE_DENIED
    if name in NEEDS_CODE and not allow_code_execution:
        return Cause.CODE_DENIED
    return None


def takes_both(switch: str) -> str:
    """Return what gives a permission, one sentence for every refusal: the spec's switch and the administrator's.

    :param switch: ``allow_online`` or ``allow_code_execution``.
    """
    return (
        f"It takes both: `{switch}: true` in the spec, "
        f"and `[lmeval] {switch} = True` (or the connection's) by the administrator."
    )
