"""Why an ``LMEvalJob`` failed, as far as its message and its pod's log tell. Pure.

The operator reports most failures as "exit status 1". What lm-eval, the Hub's client or CUDA said stands in the log, and an
operator that denies online access says so nowhere but by letting the pod run offline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from airflow_provider_lmeval.wire import Cause

Signs = tuple[tuple[re.Pattern[str], Cause], ...]


def _signs(*pairs: tuple[str, Cause]) -> Signs:
    return tuple((re.compile(pattern, re.IGNORECASE), cause) for pattern, cause in pairs)


_OPERATORS = _signs(
    (r"exceeded quota", Cause.QUOTA),
    (r"violates PodSecurity|^(CreateContainer(Config)?|RunContainer|Start)Error$", Cause.POD_REJECTED),
    (r"^Input validation failed|^failed to parse the custom|^the reference name of the custom", Cause.BAD_SPEC),
    (r"requires kueue\.x-k8s\.io/queue-name label|custom task's type is incorrect", Cause.BAD_SPEC),
    (r"^pods? \"[^\"]+\" not found", Cause.KILLED),
    (r"\bEvicted\b", Cause.EVICTED),
    (r"ErrImagePull|ImagePullBackOff|InvalidImageName", Cause.IMAGE),
    (r"OOMKilled", Cause.OUT_OF_MEMORY),
)
"""What only the operator's own message says: it is the reason of the pod's container, or what refused the pod."""
_LOGS = _signs(
    (r"offline ?mode ?is ?enabled|OfflineModeIsEnabled|outgoing traffic has been disabled", Cause.ONLINE_DENIED),
    (r"HF_(HUB|DATASETS)_OFFLINE|Cannot (reach|find the requested files in).*offline", Cause.ONLINE_DENIED),
    (r"(argument|option) `?trust_remote_code=True|marked as unsafe", Cause.CODE_DENIED),
    (r"HF_ALLOW_CODE_EVAL=.?1|UNITXT_ALLOW_UNVERIFIED_CODE", Cause.CODE_DENIED),
    (r"CUDA out of memory|OutOfMemoryError", Cause.OUT_OF_MEMORY),
    (r"Tasks? (were )?not found|No tasks specified", Cause.UNKNOWN_TASK),
    (r"signal: killed", Cause.KILLED),
)
"""What lm-eval and its libraries say when they refuse: not the arguments that they repeat in every log."""
_ERROR = re.compile(r"^[\w.]*(Error|Exception|Interrupt|Exit|OfflineModeIsEnabled)\b.*")
LAST_LINES = 200
"""Of a log, among which the reason is looked for."""


def cause_of(message: str, lines: Sequence[str] = ()) -> Cause:
    """Return the cause of a failure.

    :param message: of the job's status. :param lines: of its pod's log.
    """
    told = [(message, _OPERATORS + _LOGS), *((line, _LOGS) for line in reversed(lines[-LAST_LINES:]))]
    found = (cause for text, signs in told for pattern, cause in signs if pattern.search(text))
    return next(found, Cause.INTERNAL)


def last_error(lines: Iterable[str]) -> str | None:
    """Return the last line of a log that reads like a Python exception."""
    found = [line.strip() for line in lines if _ERROR.match(line.strip())]
    return found[-1][:1000] if found else None


def remedy(cause: Cause, *, online: bool) -> str:
    """Return what to do about a cause, as far as it is the operator's to do it.

    :param online: whether the job asks for online access.
    """
    if cause is Cause.ONLINE_DENIED and online:
        return f"The job asks for online access; the operator denies it. {_permit('lmes-allow-online', 'Online')}"
    if cause is Cause.ONLINE_DENIED:
        return (
            "The job does not ask for online access: set allow_online in the spec, or give models and data in a claim"
        )
    if cause is Cause.CODE_DENIED:
        key = _permit("lmes-allow-code-execution", "CodeExecution")
        return f"Set allow_code_execution in the spec; if it is set, the operator does not allow it. {key}"
    return ""


def _permit(key: str, permission: str) -> str:
    """Return an administrator's steps."""
    return (
        f"An administrator allows it once per cluster: on OpenShift AI, permit{permission}: allow under "
        "spec.components.trustyai.eval.lmeval of the DataScienceCluster; elsewhere, and in older releases, "
        f'`{key}: "true"` in the ConfigMap trustyai-service-operator-config (annotated opendatahub.io/managed=false, so '
        "that nobody sets it back). Then restart the operator, which reads it only when it starts: delete its pod, label "
        "control-plane=trustyai-service-operator-controller-manager. docs/lmevaljob.md has the commands"
    )
