"""``LMEvalBaselineOperator``: sees to it that there is something to compare a candidate with.

The model in production was evaluated when it was promoted; since then the suite may have changed. If a stored evaluation of
its weights can still be compared, it is used again and no GPU is; otherwise the promoted model is evaluated as the candidate
was. What cannot be had is said, not made up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_lmeval.backends import Handle
from airflow_provider_lmeval.errors import GateError, LMEvalError, SpecError
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from airflow_provider_lmeval.operators.evidence import read_evaluation
from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from airflow_provider_lmeval.operators.outcome import fail
from airflow_provider_lmeval.operators.specs import parse_spec
from airflow_provider_lmeval.plan.variation import of_model
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.wire import Status

if TYPE_CHECKING:  # loaded when a task runs: a DAG file that only imports this module must stay quick
    from airflow_provider_lmeval.store.baselines import Baselines, Match


class LMEvalBaselineOperator(LMEvalOperator):
    """Find an evaluation of the promoted model that a candidate can be compared with, or make one.

    XCom ``return_value``: a summary as of :class:`LMEvalOperator`, to be given to a gate as ``baseline``; None if nothing
    was ever promoted. A stored evaluation is recognised by the digest of its weights, never by the model's name.

    :param name: what is promoted. (templated)
    :param suite: what it is measured by. (templated)
    :param candidate: the evaluation to compare with: an evaluation task's output, or the URI of evidence. (templated)
    :param spec: how the candidate was evaluated; only its model is replaced by the promoted one. (templated)
    :param evaluate: evaluate the promoted model if nothing stored can be compared; otherwise fail and say what is missing.
    """

    template_fields: Sequence[str] = (*LMEvalOperator.template_fields, "name", "suite", "candidate")

    def __init__(
        self,
        *,
        name: str,
        suite: str,
        candidate: Mapping[str, Any] | str | Any,
        spec: EvalSpec | Mapping[str, Any] | str,
        evaluate: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(spec=spec, **kwargs)
        self.name = name
        self.suite = suite
        self.candidate = candidate
        self.evaluate = evaluate

    def execute(self, context: Any) -> Any:
        """Look for a stored evaluation; evaluate if there is none."""
        try:
            match = self._match()
        except GateError as error:
            fail(SpecError(str(error)))
        except LMEvalError as error:
            fail(error)
        if match.promotion is None:
            self.log.warning("%s", "; ".join(match.missing))
            return None
        if match.uri is not None:
            self.log.info("run %s can be compared with, nothing is evaluated: %s", match.promotion.run_id, match.uri)
            return _stored(match.uri)
        missing = "; ".join(match.missing)
        if not self.evaluate:
            fail(
                SpecError(
                    f"no stored evaluation of {self.name}/{self.suite} can be compared with the candidate: {missing}"
                )
            )
        self.log.info("the promoted model is evaluated, because %s", missing)
        self._take_promoted_model()
        return super().execute(context)

    def resume(self, context: Any, event: dict[str, Any], handle: dict[str, Any]) -> Any:
        """Collect the promoted model's evaluation."""
        self._take_promoted_model()
        return super().resume(context, event, handle)

    def _finish(self, context: Any, handle: Handle, status: Status, event: Mapping[str, Any] | None = None) -> Any:
        found = super()._finish(context, handle, status, event)
        self._check_weights(found)
        return found

    def _check_weights(self, found: Mapping[str, Any]) -> None:
        """Refuse an evaluation of other weights than the promoted ones: under their path there may be others today."""
        promoted = self._baselines().current(self.name, self.suite)
        evaluated = ((found.get("fingerprint") or {}).get("model") or {}).get("identity")
        if promoted and promoted.model.identity not in (None, evaluated):
            fail(
                SpecError(
                    f"{self.name}/{self.suite}: the weights at {promoted.model.name!r} are not those that were promoted; "
                    "keep promoted weights where they are, or promote again"
                )
            )

    def _baselines(self) -> Baselines:
        from airflow_provider_lmeval.store import Store
        from airflow_provider_lmeval.store.baselines import Baselines

        return Baselines(Store(self.results_uri or LMEvalHook(self.lmeval_conn_id).settings.results_uri))

    def _match(self) -> Match:
        """Look for a stored evaluation.

        :raises GateError: the candidate names no evaluation. :raises StoreError: the store cannot be read.
        """
        result = read_evaluation("candidate", self.candidate).result
        tasks = [name for name, entry in result.tasks.items() if entry.kind == "task"]
        return self._baselines().matching(self.name, self.suite, result.fingerprint, tasks)

    def _take_promoted_model(self) -> None:
        try:
            self.spec = promoted_spec(self._baselines(), self.name, self.suite, parse_spec(self.spec)).to_data()
        except LMEvalError as error:
            fail(error)


def promoted_spec(baselines: Baselines, name: str, suite: str, spec: EvalSpec) -> EvalSpec:
    """Return an evaluation of the promoted model.

    :param spec: how to evaluate it; its own model is left aside.
    :raises SpecError: nothing was promoted, or its evidence does not say how its model is loaded.
    :raises StoreError: the evidence cannot be read.
    """
    from airflow_provider_lmeval.store.evidence import read_evidence

    current = baselines.current(name, suite)
    model = read_evidence(current.uri).result.model if current else None
    if model is None or not model.type:
        raise SpecError(f"{name}/{suite}: no promoted model is known that could be evaluated")
    return of_model(spec, model.type, model.args, model.identity)


def _stored(uri: str) -> dict[str, Any]:
    from airflow_provider_lmeval.results import summary
    from airflow_provider_lmeval.store.evidence import read_evidence

    return summary(read_evidence(uri).result, backend="", result_uri=uri)
