"""``LMEvalPromoteOperator``: puts a model in force, on the record, and tells the DAGs that wait for it.

What may be promoted is decided in ``store.promotion``; this operator fetches verdict and approval, and announces the
promotion as an event of an Airflow Asset with the scores in its ``extra``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import Asset, BaseOperator

from airflow_provider_lmeval.errors import GateError, LMEvalError, SpecError
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from airflow_provider_lmeval.operators.outcome import fail
from airflow_provider_lmeval.operators.specs import is_constant

if TYPE_CHECKING:  # loaded when a promotion happens: a DAG file that only imports this module must stay quick
    from airflow_provider_lmeval.store.promotion import Override, Promotion


def baseline_asset(name: str, suite: str) -> Asset:
    """Return the Asset that stands for a baseline: promotions are its events, other DAGs are scheduled by it.

    :param name: what is promoted. :param suite: what it is measured by.
    """
    return Asset(
        name=f"lmeval/{name}/{suite}", uri=f"x-lmeval://baseline/{quote(name, safe='')}/{quote(suite, safe='')}"
    )


class LMEvalPromoteOperator(BaseOperator):
    """Make an evaluated model the baseline of its name and suite, if its gate allows it or a person has overruled the gate.

    XCom ``return_value``: the promotion, without its fingerprint. Promoting the model in force again changes nothing, so the
    task can be retried.

    :param name: what is promoted, such as ``chat``. (templated)
    :param suite: what it is measured by, such as ``mmlu``. (templated)
    :param candidate: the evaluation: an evaluation task's output, or the URI of any evidence. (templated)
    :param verdict: the gate task's output. (templated)
    :param override: the output of an ``ApprovalOperator``, or ``{approver, reason, at, expires}``. Needed only where the
        verdict does not allow the promotion; None where nobody was asked. (templated)
    :param reason: why; an override's own reason comes first. (templated)
    :param expected: id of the promotion that the gate compared with; if another is in force by now, fail. (templated)
    :param results_uri: the store; default: the connection's or ``[lmeval] results_uri``. (templated)
    :param lmeval_conn_id: connection that names the store.
    :param asset: whose event announces the promotion; default: :func:`baseline_asset`, if name and suite are constants.
    """

    template_fields: Sequence[str] = (
        "name", "suite", "candidate", "verdict", "override", "reason", "expected", "results_uri",
    )  # fmt: skip
    template_fields_renderers = {"verdict": "json", "override": "json", "candidate": "json"}
    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        name: str,
        suite: str,
        candidate: Mapping[str, Any] | str | Any,
        verdict: Mapping[str, Any] | Any | None = None,
        override: Override | Mapping[str, Any] | Any | None = None,
        reason: str = "the gate allows it",
        expected: str | None = None,
        results_uri: str | None = None,
        lmeval_conn_id: str | None = None,
        asset: Asset | None = None,
        **kwargs: Any,
    ) -> None:
        if asset is None and is_constant(name) and is_constant(suite):
            asset = baseline_asset(name, suite)
        if asset is not None:
            kwargs["outlets"] = [*(kwargs.get("outlets") or []), asset]
        super().__init__(**kwargs)
        self.name = name
        self.suite = suite
        self.candidate = candidate
        self.verdict = verdict
        self.override = override
        self.reason = reason
        self.expected = expected
        self.results_uri = results_uri
        self.lmeval_conn_id = lmeval_conn_id
        self.asset = asset

    def execute(self, context: Any) -> dict[str, Any]:
        """Promote, announce, and return the promotion."""
        try:
            promotion = self._promote(context["ti"])
        except GateError as error:
            fail(SpecError(f"not promoted: {error}"))
        except LMEvalError as error:
            fail(error)
        data = promotion.model_dump(mode="json", exclude={"fingerprint", "nonce"})
        self.log.info("%s/%s is now %s (run %s)", self.name, self.suite, promotion.model.name, promotion.run_id)
        if self.asset is not None:
            context["outlet_events"][self.asset].extra = data
        return data

    def _promote(self, ti: Any) -> Promotion:
        from airflow_provider_lmeval.operators.override import override_of
        from airflow_provider_lmeval.store import Store
        from airflow_provider_lmeval.store.baselines import Baselines

        override = override_of(self.override)
        store = Store(self.results_uri or LMEvalHook(self.lmeval_conn_id).settings.results_uri)
        return Baselines(store).promote(
            self.name,
            self.suite,
            self._uri(),
            by=f"{ti.dag_id}.{ti.task_id} {ti.run_id}",
            reason=override.reason if override else self.reason,
            verdict=self.verdict,
            override=override,
            expected=self.expected,
        )

    def _uri(self) -> str:
        uri = self.candidate.get("result_uri") if isinstance(self.candidate, Mapping) else self.candidate
        if not isinstance(uri, str) or not uri:
            raise GateError(
                f"candidate: {self.candidate!r} names no stored result; pass an evaluation's output or a URI"
            )
        return uri
