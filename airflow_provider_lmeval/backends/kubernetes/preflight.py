"""A run's preflight as a run of its own: prepared from the run that it precedes, and what its end means for that one."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_lmeval.backends.kubernetes.collect import in_log
from airflow_provider_lmeval.backends.kubernetes.evidence import Evidence
from airflow_provider_lmeval.backends.kubernetes.runs import Prepared
from airflow_provider_lmeval.errors import ProtocolError, RunFailedError
from airflow_provider_lmeval.plan.preflight_pod import preflight_request, preflight_settings
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.wire import Cause, Reason, Status
from airflow_provider_lmeval.wire_pod import pack_request, unpack_request
from airflow_provider_lmeval.wire_preflight import Report


def as_preflight(prepared: Prepared, precedes: str) -> Prepared:
    """Turn a run that was planned under the preflight's name into the preflight.

    :param precedes: name of the run that is to follow.
    """
    whole = prepared.settings
    request = preflight_request(unpack_request(prepared.packed), whole)
    settings, seconds = preflight_settings(whole), request.timeout_s
    return replace(prepared, packed=pack_request(request), settings=settings, timeout_s=seconds, precedes=precedes)


def report_of(result: EvalResult | None) -> Report | None:
    """Return the report in a preflight's document, or None if there is none that can be read."""
    try:
        report = Report.from_json(((result and result.model_extra) or {}).get("preflight"))
        report.all()
    except ProtocolError:
        return None
    return report


def check_passed(run_id: str, status: Status, found: Evidence) -> Report | None:
    """Return the report of a preflight that has passed; None where the log that held it cannot be read.

    :param run_id: of the run that is to follow. :param status: the preflight's last. :param found: what is left of it.
    :raises RunFailedError: it has not passed, with what another try can do about it.
    """
    report = report_of(found.result)
    if status.reason == Reason.SUCCEEDED:
        if found.result is not None and report is None:
            raise RunFailedError(
                f"preflight of run {run_id}: the driver in the image knows no preflight. Use the same release of "
                "airflow-provider-lmeval in Airflow and in the image, or preflight='rules'",
                Cause.BAD_SPEC,
            )
        return report
    said = in_log(found, status)
    cause = (said.cause if said else None) or status.cause or Cause.INTERNAL
    message = (said.message if said else None) or status.message
    raise RunFailedError(f"preflight of run {run_id}, no GPU was asked for: {cause}: {message}{_hint(cause)}", cause)


def _hint(cause: str) -> str:
    """Return what to do where the preflight itself, and not what it looked at, came to grief."""
    if cause == Cause.OUT_OF_MEMORY:
        return ". Give it more memory: kubernetes.preflight.memory"
    if cause == Cause.DEADLINE:
        return ". Give it more time: kubernetes.preflight.timeout"
    return ""
