"""What the API server's refusals mean, and what to do about each. Pure.

RBAC, quotas, admission and Pod Security all answer 403; only the message tells them apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.wire import DRIVER_HEADER, Cause

_DENIED = re.compile(r'cannot (\w+) resource "([^"]+)" in API group "([^"]*)"(?: in the namespace "([^"]+)")?')
PAGE = "docs/kubernetes.md"
GROUP, GROUP_PAGE = "trustyai.opendatahub.io", "docs/lmevaljob.md"
"""Of LMEvalJob."""


class _OverloadedError(ClusterError):
    """The server said when to come again."""

    def __init__(self, message: str, status: int, after_s: float) -> None:
        super().__init__(message, status)
        self.after_s = after_s


def retry_after(error: ClusterError) -> float | None:
    """Return how many seconds the server asked to wait, or None."""
    return error.after_s if isinstance(error, _OverloadedError) else None


def explain(method: str, path: str, status: int, body: bytes, headers: Mapping[str, str]) -> ClusterError:
    """Return the error for an answer of 400 or above.

    :param body: a ``Status`` of Kubernetes, or whatever a proxy in between wrote.
    """
    message = _message(body) or f"HTTP {status}"
    where = f"Kubernetes answered {status} to {method} {path}: {message}"
    after = headers.get("Retry-After", "")
    if status in (429, 503) and after.isdecimal():
        return _OverloadedError(where, status, float(after))
    if status == 401 and any(name.lower() == DRIVER_HEADER.lower() for name in headers):
        return token_refused()
    if status == 401:
        return ClusterError(
            f"{where}. The credentials of the Kubernetes connection are not accepted", status, Cause.FORBIDDEN
        )
    if status == 403:
        return _forbidden(where, message)
    if f"/apis/{GROUP}/" in path and (found := _about_job(where, method, status, body)):
        return found
    creates_pod = method == "POST" and path.endswith("/pods")
    if status == 404 and creates_pod:
        return ClusterError(f"{where}. Create the namespace, or set another one", status, Cause.POD_REJECTED)
    if status in (400, 413, 422) and creates_pod:
        return ClusterError(f"{where}. Look at the pod settings and templates", status, Cause.POD_REJECTED)
    return ClusterError(where, status)


def _about_job(where: str, method: str, status: int, body: bytes) -> ClusterError | None:
    """Return what a refusal means that only LMEvalJob gets: no such kind, no such namespace, or another CRD."""
    if status == 404 and b'"NotFound"' not in body:
        hint = (
            "The cluster does not know LMEvalJob: its CRD, lmevaljobs.trustyai.opendatahub.io, is not installed, or not "
            "in this version. Enable TrustyAI (on OpenShift AI: spec.components.trustyai.managementState: Managed; "
            f"{GROUP_PAGE}), or choose the backend kubernetes, which needs no operator"
        )
        return ClusterError(f"{where}. {hint}", status, Cause.POD_REJECTED)
    if status == 404 and method == "POST":
        return ClusterError(f"{where}. Create the namespace, or set another one", status, Cause.POD_REJECTED)
    if status in (400, 422):
        hint = "The cluster's CRD is not the one that this package knows; compare with `kubectl explain lmevaljob.spec`"
        return ClusterError(f"{where}. {hint}", status, Cause.POD_REJECTED)
    return None


def token_refused() -> ClusterError:
    """Return the error for a driver that answers 401 itself."""
    why = "the password of the LM Eval connection is another one than when the pod was started"
    return ClusterError(f"the driver does not accept the token: {why}", 401)


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, TypeError, KeyError):
        return " ".join(body[:300].decode("utf-8", "replace").split())


def _forbidden(where: str, message: str) -> ClusterError:
    if denied := _DENIED.search(message):
        verb, resource, group, namespace = denied.groups()
        what, page = (f"{resource!r} of API group {group!r}", GROUP_PAGE) if group == GROUP else (f"{resource!r}", PAGE)
        hint = f"Grant the verb {verb!r} on {what} in namespace {namespace!r}: the Role is in {page}"
        return ClusterError(f"{where}. {hint}", 403, Cause.FORBIDDEN)
    if "exceeded quota" in message:
        return ClusterError(f"{where}. Ask for less, or wait until other pods have ended", 403, Cause.QUOTA)
    if "error looking up service account" in message:
        hint = "Create the service account, or set another service_account_name"
        return ClusterError(f"{where}. {hint}", 403, Cause.POD_REJECTED)
    if "violates PodSecurity" in message:
        hint = f"The defaults comply; look at your own security contexts, volumes and templates ({PAGE})"
        return ClusterError(f"{where}. {hint}", 403, Cause.POD_REJECTED)
    return ClusterError(f"{where}. An admission rule of the cluster says no", 403, Cause.POD_REJECTED)
