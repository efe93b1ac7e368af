"""``reap``: removes pods and claims of evaluations that no task owns any more."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook, make_backend

if TYPE_CHECKING:
    from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
    from airflow_provider_lmeval.backends.kubernetes.reap import Orphan


def main(arguments: argparse.Namespace) -> int:
    """Remove orphans and print one line about each; 0 always, unless something cannot be reached."""
    pod = {"namespace": arguments.namespace}
    from airflow_provider_lmeval.backends.kubernetes.claims import ClaimView

    found = sweep(arguments.conn_id, pod=pod, ttl_s=arguments.ttl, unknown=arguments.unknown, dry_run=arguments.dry_run)
    for orphan in found:
        print(f"{orphan.view.namespace}/{orphan.view.name}: {orphan.why}")
    done = "would be removed" if arguments.dry_run else "removed"
    claims = sum(isinstance(orphan.view, ClaimView) for orphan in found)
    print(f"{_count(len(found) - claims, 'pod')} and {_count(claims, 'claim')} {done}", file=sys.stderr)
    return 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def sweep(
    lmeval_conn_id: str | None = None,
    *,
    pod: Mapping[str, Any] | None = None,
    ttl_s: float | None = None,
    unknown: bool = False,
    dry_run: bool = False,
) -> list[Orphan]:
    """Remove orphans, at a command line or in a task, and return them.

    :param lmeval_conn_id: connection of type *LM Eval* that overrides the configuration.
    :param pod: fields of ``PodSettings``; of use is ``namespace``.
    :param ttl_s: seconds a pod that has ended is kept; default ``[lmeval] pod_ttl``.
    :param unknown: also pods whose task this Airflow does not know: they may be another Airflow's.
    :param dry_run: only return them.
    """
    from airflow_provider_lmeval.backends.kubernetes.reap import reap

    settings = LMEvalHook(lmeval_conn_id).settings
    backend = cast("KubernetesBackend", make_backend(settings, "kubernetes", pod=pod))
    kept_s = settings.pod_ttl if ttl_s is None else ttl_s
    return reap(backend, _compat.task_states, ttl_s=kept_s, unknown=unknown, dry_run=dry_run)
