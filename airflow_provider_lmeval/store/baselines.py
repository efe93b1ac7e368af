"""The last promoted model, as an object that DAGs share.

A gate compares with the model in production, not with whatever was evaluated last. Which one that is, since when, on whose
word, and what was there before is kept in the store, beside the results, for each name (what is promoted) and suite (what it
is measured by)::

    <url>/_baselines/<name>/<suite>/
      history/<sequence>-<sha256>.json    one promotion or rollback each, never changed
      current.json                        which of them is in force
      calibration/<run_id>.json           what comparing it with itself showed
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_lmeval.errors import DamagedResultError, GateError, LMEvalError, ResultNotFoundError
from airflow_provider_lmeval.gate.calibration import Calibration
from airflow_provider_lmeval.gate.compare import compare
from airflow_provider_lmeval.results import EvalResult, Fingerprint, strict, summary
from airflow_provider_lmeval.results.wording import suggest
from airflow_provider_lmeval.store.evidence import read_evidence
from airflow_provider_lmeval.store.ledger import EntryName, Ledger, below
from airflow_provider_lmeval.store.location import locate
from airflow_provider_lmeval.store.promotion import (
    Override,
    PromotedModel,
    Promotion,
    permit,
    read_document,
)
from airflow_provider_lmeval.store.store import Store
from airflow_provider_lmeval.wire import safe_name

DIRECTORY = "_baselines"
PREFIX = "promoted:"
"""Begins a reference to a baseline, ``promoted:NAME/SUITE``, where a result's URI may stand."""


@dataclass(frozen=True, slots=True)
class Match:
    """Whether a promoted model's stored evidence can be used again.

    :param promotion: the model in force. :param uri: evidence on it that is comparable; None if there is none.
    :param missing: why there is none, in sentences.
    """

    promotion: Promotion | None
    uri: str | None
    missing: tuple[str, ...] = ()


class Baselines:
    """The promoted models of a store.

    :param store: where results and promotions are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def current(self, name: str, suite: str) -> Promotion | None:
        """Return the promotion in force; None if nothing was ever promoted.

        :raises DamagedResultError: that cannot be said for sure. :raises StoreError: the store cannot be reached.
        """
        ledger = self._ledger(name, suite)
        in_force = ledger.in_force()
        return None if in_force is None else _promotion(ledger, in_force)

    def history(self, name: str, suite: str) -> list[Promotion]:
        """Return all promotions and rollbacks, the oldest first.

        :raises DamagedResultError: one of them is damaged. :raises StoreError: the store cannot be reached.
        """
        ledger = self._ledger(name, suite)
        return [_promotion(ledger, entry) for entry in ledger.names()]

    def promote(
        self,
        name: str,
        suite: str,
        run: str,
        *,
        by: str,
        reason: str,
        verdict: Mapping[str, Any] | None = None,
        override: Override | None = None,
        expected: str | None = None,
    ) -> Promotion:
        """Put a model in force. Promoting the one that is in force already changes nothing.

        :param run: id of a run in this store, or the URI of any evidence.
        :param by: who or what promotes. :param reason: why.
        :param verdict: the gate's verdict on it, as plain data.
        :param override: a person's decision; needed where the verdict does not allow it, or where there is none.
        :param expected: id of the promotion that the verdict compared with; if another is in force by now, refuse.
        :raises GateError: it may not be promoted (see :func:`~.promotion.permit`), or another one was meanwhile.
        :raises StoreError: the evidence cannot be read, or the promotion not be written.
        """
        _check_said(by, reason)
        uri = self._uri(run)
        result, now = read_evidence(uri).result, time.time()
        judged = permit(verdict, override, result, now)
        ledger = self._ledger(name, suite)
        with ledger.exclusive():
            present = _known(ledger)
            if expected is not None and (present is None or present.id != expected):
                there = f"{present.id} by {present.by}" if present else "none"
                raise GateError(
                    f"{name}/{suite}: the promotion in force is {there}, the gate compared with {expected}; gate again"
                )
            if present and (present.uri, present.run_id) == (uri, result.run_id):
                return present
            said = {"by": by, "reason": reason, "at": now, "verdict": judged, "override": override}
            replaces = present.id if present else None
            return _append(ledger, _entry(name, suite, result, uri, **said, replaces=replaces))

    def rollback(self, name: str, suite: str, to: str | None = None, *, by: str, reason: str) -> Promotion:
        """Put an earlier model in force again.

        :param to: id of its promotion, or of its run; default: the model before the one in force.
        :raises GateError: there is no such promotion. :raises StoreError: it cannot be read or written.
        """
        _check_said(by, reason)
        ledger = self._ledger(name, suite)
        with ledger.exclusive():
            made = [each for each in self.history(name, suite) if each.action == "promote"]
            present = _known(ledger)
            chosen = _named(made, to) if to else _before(made, present)
            if chosen is None:
                wanted = suggest(to, [each.run_id for each in made]) if to else "there is none before it"
                raise GateError(f"{name}/{suite} cannot be rolled back to {to or 'the model before'}: {wanted}")
            update = {"action": "rollback", "by": by, "reason": reason, "at": time.time(), "restores": chosen.id}
            replaces = {"replaces": present.id if present else None}
            return _append(ledger, chosen.model_copy(update=update | replaces))

    def matching(self, name: str, suite: str, wanted: Fingerprint, tasks: Iterable[str]) -> Match:
        """Look for stored evidence on the promoted model that an evaluation can be compared with.

        A model is recognised by the digest of its weights, never by its name: under a name other weights may lie today.

        :param wanted: the candidate's fingerprint. :param tasks: to be compared; no groups.
        :raises StoreError: the store cannot be read.
        """
        current, names = self.current(name, suite), list(tasks)
        if current is None:
            return Match(None, None, (f"nothing was promoted as {name}/{suite}",))
        if not names:
            return Match(current, None, ("there is no task to compare",))
        if current.model.identity is None:
            why = (
                f"the promoted model {current.model.name!r} has no digest of its weights (a served model's is declared: "
                "model.digest); evaluate it again"
            )
            return Match(current, None, (why,))
        missing = _obstacles(wanted, current.fingerprint, names)
        if not missing:
            return Match(current, current.uri)
        uri = next(self._others(current, wanted, names), None)
        return Match(current, uri, () if uri else missing)

    def calibration(self, name: str, suite: str) -> Calibration | None:
        """Return what comparing the baseline in force with itself showed; None if nobody did.

        :raises DamagedResultError: it is damaged. :raises StoreError: the store cannot be reached.
        """
        ledger, current = self._ledger(name, suite), self.current(name, suite)
        raw = ledger.read_beside("calibration", f"{safe_name(current.run_id)}.json") if current else None
        if current is None or raw is None:
            return None
        where = f"the calibration of {name}/{suite}"
        try:
            found = read_document(Calibration, strict.loads(raw), where)
        except ValueError as error:
            raise DamagedResultError(f"{where} is not valid JSON: {error}") from None
        return found if found.run_id == current.run_id else None

    def calibrate(self, name: str, suite: str, calibration: Calibration) -> None:
        """Keep what comparing a baseline with itself showed.

        :raises GateError: it is not about the baseline in force. :raises StoreError: it cannot be written.
        """
        ledger = self._ledger(name, suite)
        with ledger.exclusive():
            current = self.current(name, suite)
            if current is None or current.run_id != calibration.run_id:
                there = current.run_id if current else "nothing"
                raise GateError(f"{name}/{suite}: run {calibration.run_id} was calibrated, but {there} is in force")
            if calibration.identity != current.model.identity:
                raise GateError(
                    f"{name}/{suite}: other weights were evaluated twice than those of run {current.run_id}"
                )
            data = calibration.model_dump(mode="json")
            ledger.write_beside(data, "calibration", f"{safe_name(calibration.run_id)}.json")

    def _ledger(self, name: str, suite: str) -> Ledger:
        for each in (name, suite):
            if not each.strip():
                raise GateError("a baseline needs a name and a suite")
        return Ledger(below(self._store.place, DIRECTORY, safe_name(name), safe_name(suite)))

    def _uri(self, run: str) -> str:
        """Return the full URI of a run in this store, or of evidence anywhere."""
        if "/" not in run and safe_name(run) == run and self._store.exists(run):
            return self._store.uri(run)
        return locate(run).url

    def _others(self, current: Promotion, wanted: Fingerprint, tasks: list[str]) -> Iterator[str]:
        """Yield further runs of the store on the same weights that are comparable."""
        for run_id in self._store.runs():
            try:
                result = self._store.read_result(run_id)
            except LMEvalError:  # somebody else's damaged run is no reason to stop looking
                continue
            if _same_weights(current, result) and not _obstacles(wanted, result.fingerprint, tasks):
                yield self._store.uri(run_id)


def resolve_baseline(value: str, results_uri: str) -> str | None:
    """Return the URI that a baseline argument means.

    :param value: the URI of evidence, or ``promoted:NAME/SUITE`` for what is in force there.
    :param results_uri: the store with the promotions.
    :returns: the URI; None if nothing was promoted yet, as before the first promotion.
    :raises GateError: no name or no suite. :raises DamagedResultError: what is in force cannot be said for sure.
    """
    if not value.startswith(PREFIX):
        return value
    name, slash, suite = value.removeprefix(PREFIX).rpartition("/")
    if not slash:
        raise GateError(f"{value!r} is not of the form {PREFIX}NAME/SUITE")
    current = Baselines(Store(results_uri)).current(name, suite)
    return current.uri if current else None


def _promotion(ledger: Ledger, name: EntryName) -> Promotion:
    return read_document(Promotion, ledger.read(name) | {"id": str(name)}, f"entry {name}")


def _check_said(by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        raise GateError("a promotion goes on the record: say by whom (by) and why (reason)")


def _entry(name: str, suite: str, result: EvalResult, uri: str, **said: Any) -> Promotion:
    """Return a promotion.

    :param said: who promotes, why, and on what grounds.
    """
    return Promotion(
        name=name,
        suite=suite,
        action="promote",
        run_id=result.run_id,
        uri=uri,
        model=PromotedModel(name=result.model.name, identity=result.model.identity),
        fingerprint=result.fingerprint,
        metrics=summary(result, backend="", result_uri=uri)["results"],
        **said,
    )


def _append(ledger: Ledger, entry: Promotion) -> Promotion:
    data = entry.model_dump(mode="json", exclude={"id"}) | {
        "fingerprint": entry.fingerprint.model_dump(mode="json", exclude_unset=True),
        "nonce": uuid.uuid4().hex,
    }
    return _promotion(ledger, ledger.append(data))


def _known(ledger: Ledger) -> Promotion | None:
    """Return the promotion in force; None also if that cannot be said: then a new one repairs it."""
    try:
        in_force = ledger.in_force()
        return None if in_force is None else _promotion(ledger, in_force)
    except (DamagedResultError, ResultNotFoundError):
        return None


def _named(made: list[Promotion], to: str) -> Promotion | None:
    return next((each for each in reversed(made) if to in (each.id, each.run_id)), None)


def _before(made: list[Promotion], present: Promotion | None) -> Promotion | None:
    """Return the promotion before the one in force. After a rollback it is the one before what was restored."""
    ids = [each.id for each in made]
    at = ids.index(present.origin) if present and present.origin in ids else 0
    return made[at - 1] if at > 0 else None


def _same_weights(current: Promotion, result: EvalResult) -> bool:
    return result.succeeded and result.model.identity == current.model.identity


def _obstacles(wanted: Fingerprint, stored: Fingerprint, tasks: list[str]) -> tuple[str, ...]:
    """Return why two evaluations cannot be compared; empty if they can."""
    return tuple(each.message for each in compare(wanted, stored, tasks) if not each.allowed)
