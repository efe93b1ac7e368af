"""The warm-up of an evaluation: the same spec, with network, that fetches instead of evaluating."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_lmeval.spec import EvalSpec

IDLE = ("gpu", "shm_size")
"""Pod settings for what a warm-up does not do: nothing is loaded onto a device."""
EGRESS_HUB = "lmeval.airflow/egress-hub"
"""Label that `networkpolicy-hub` selects: evaluations reach nothing by default."""


def warm_up_of(spec: EvalSpec) -> EvalSpec:
    """Return the spec of the run that fetches what another one needs.

    :param spec: of the evaluation, which may be one without network.
    """
    return EvalSpec.parse(spec.to_data() | {"allow_online": True, "warm_up": True})


def warm_up_pod(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return pod settings for a warm-up: no devices, a cache that can be written, and a label that opens the network.

    :param settings: those of the evaluation's pod.
    """
    kept = {name: value for name, value in settings.items() if name not in IDLE}
    if isinstance(cache := kept.get("cache"), Mapping):
        kept["cache"] = {name: value for name, value in cache.items() if name != "read_only"}
    labels = kept.get("labels")
    if labels is None or isinstance(labels, Mapping):
        kept["labels"] = {EGRESS_HUB: "true", **(labels or {})}
    return kept
