"""A job in all its parts, as ``convert --all`` prints it, and back: LMEvalOperator's arguments, and the job's settings.

The way back takes ``spec`` and ``lmevaljob`` alone, from which all else was made. What somebody has changed in the other
parts has no way into a manifest, and is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.plan.batch import BatchRules
from airflow_provider_lmeval.plan.lmevaljob.findings import Finding
from airflow_provider_lmeval.plan.lmevaljob.outputs import oci_artifact
from airflow_provider_lmeval.plan.lmevaljob.read import Translation, read_lmevaljob
from airflow_provider_lmeval.plan.lmevaljob.write import write_lmevaljob
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobSettings
from airflow_provider_lmeval.spec.outputs import parse_outputs
from airflow_provider_lmeval.spec.pod import PodSettings

CHECKING_INTERVAL_S = 10
"""How often the operator looks at a job (``lmes-pod-checking-interval``)."""
PARTS = ("spec", "poll_interval", "kubernetes", "outputs", "lmevaljob")
_CONNECTION = "registry"


def all_parts(found: Translation) -> tuple[dict[str, Any], list[Finding]]:
    """Return a translated job as plain data, and what is left to do for it.

    An output is given a connection called like the Secret that the job has host and login in.
    """
    pod = found.pod.model_dump(mode="json", exclude_defaults=True)
    outputs, told = _outputs(found.job)
    parts = {"spec": found.spec.to_data(), "poll_interval": CHECKING_INTERVAL_S, "kubernetes": pod}
    return parts | ({"outputs": outputs} if outputs else {}) | {"lmevaljob": found.job.to_data()}, told


def _outputs(job: LMEvalJobSettings) -> tuple[list[dict[str, Any]], list[Finding]]:
    oci = job.outputs.oci if job.outputs else None
    if oci is None:
        return [], []
    conn_id = oci.registry.name or _CONNECTION
    try:
        output = oci_artifact(job, conn_id)
    except SpecError as error:
        return [], [Finding("spec.outputs.oci", f"cannot be an output of ours: {error}")]
    told = f"pushed by Airflow, it takes a connection {conn_id!r} of what its Secrets hold"
    return [output.model_dump(mode="json", exclude_defaults=True) | {"type": "oci"}] if output else [], [
        Finding("spec.outputs.oci", told)
    ]


def manifest_of(
    parts: Mapping[str, Any], name: str | None, *, batch: BatchRules
) -> tuple[dict[str, Any], list[Finding]]:
    """Return the manifest of a job in all its parts, and what of them is not in it.

    :param parts: of :data:`PARTS`, ``spec`` at least. :param name: of a resource that has none.
    :raises SpecError: a part is unknown or wrong. :raises ManifestError: LMEvalJob has no words for something.
    """
    if unknown := parts.keys() - set(PARTS):
        raise SpecError(f"unknown parts {', '.join(sorted(unknown))}; known are {', '.join(sorted(PARTS))}")
    spec, job = EvalSpec.parse(parts["spec"]), LMEvalJobSettings.parse(parts.get("lmevaljob") or {})
    manifest = write_lmevaljob(spec, named(job, name), batch=batch)
    back, _ = all_parts(read_lmevaljob(manifest, batch=batch))
    return manifest, [Finding(path, _LOST) for path in _lost(parts, back)]


_LOST = "is not in the manifest: say it in lmevaljob, if LMEvalJob has a field for it"


def named(job: LMEvalJobSettings, name: str | None) -> LMEvalJobSettings:
    """Return the settings, with a name if they have none."""
    return job.model_copy(update={"name": name}) if name and not (job.name or job.generate_name) else job


def _lost(parts: Mapping[str, Any], back: Mapping[str, Any]) -> list[str]:
    """Return the paths of what the manifest does not say, in the parts that it is not written from."""
    asked = PodSettings.parse(parts.get("kubernetes") or {}).model_dump(mode="json", exclude_defaults=True)
    lost = [f"kubernetes.{name}" for name, value in asked.items() if back["kubernetes"].get(name) != value]
    interval = parts.get("poll_interval")
    lost += ["poll_interval"] if interval not in (None, CHECKING_INTERVAL_S) else []
    pushed = parse_outputs(back.get("outputs", []))
    wanted = enumerate(parse_outputs(parts.get("outputs") or []))
    return lost + [f"outputs[{index}]" for index, output in wanted if output not in pushed]
