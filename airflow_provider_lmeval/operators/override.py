"""Turns what Airflow's human-in-the-loop operators return into an override on the record.

An approval is a person, a reason and an end. An answer that nobody gave, because the time ran out and a default was taken,
is none: a model must not be promoted because everybody was on holiday.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.store.promotion import Override

APPROVE = "Approve"
"""What ``ApprovalOperator`` calls its yes."""
VALID_FOR_HOURS = 24.0
"""How long an approval may be used if nobody says otherwise."""
REASON, HOURS = "reason", "valid_for_hours"
"""Names of the form's fields."""


def override_of(answer: Any) -> Override | None:
    """Return the override that a task's output means.

    :param answer: the output of an ``ApprovalOperator``, whose form has the field ``reason`` and may have
        ``valid_for_hours``; an override as plain data; or None where nobody was asked.
    :raises GateError: nobody approved, or it is not said who and why.
    """
    if answer is None or isinstance(answer, Override):
        return answer
    if not isinstance(answer, Mapping):
        raise GateError(f"override: {answer!r} is neither the output of an approval nor an override")
    return _approved(answer) if "chosen_options" in answer else Override.parse(dict(answer))


def _approved(answer: Mapping[str, Any]) -> Override:
    user = answer.get("responded_by_user")
    if not isinstance(user, Mapping) or answer.get("timedout"):
        raise GateError(
            "override: nobody answered the approval; a default taken after the time has run out is no approval"
        )
    if list(answer["chosen_options"]) != [APPROVE]:
        raise GateError(
            f"override: {user.get('name') or user.get('id')} did not approve, the answer was {answer['chosen_options']}"
        )
    said = answer.get("params_input") or {}
    at = _time(answer.get("responded_at"))
    return Override.parse(
        {
            "approver": str(user.get("name") or user.get("id") or ""),
            "reason": str(said.get(REASON) or ""),
            "at": at,
            "expires": at + 3600 * _hours(said.get(HOURS)),
        }
    )


def _time(said: Any) -> float:
    """Return POSIX time; XCom may have made a text of it.

    :raises GateError: it is no time.
    """
    try:
        when = said if isinstance(said, datetime) else datetime.fromisoformat(str(said))
    except ValueError:
        raise GateError(f"override: {said!r} is not the time of an answer") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _hours(said: Any) -> float:
    if said is None:
        return VALID_FOR_HOURS
    if isinstance(said, bool) or not isinstance(said, int | float) or said <= 0:
        raise GateError(f"override: {HOURS} must be a positive number, found {said!r}")
    return float(said)
