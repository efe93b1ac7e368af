"""``LMEvalCalibrateOperator``: keeps with a baseline how noisy its scores are.

Evaluate the promoted model a second time with :func:`varied`, and give the result to this operator. From then on every gate
against ``promoted:NAME/SUITE`` says which of its margins are within the noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperator

from airflow_provider_lmeval.errors import GateError, LMEvalError, SpecError
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from airflow_provider_lmeval.operators.baseline import promoted_spec
from airflow_provider_lmeval.operators.evidence import Evaluation, evaluation_uri
from airflow_provider_lmeval.operators.outcome import fail
from airflow_provider_lmeval.operators.rules import as_data, parse_rules
from airflow_provider_lmeval.operators.specs import is_constant, parse_spec
from airflow_provider_lmeval.plan.variation import varied
from airflow_provider_lmeval.spec import EvalSpec


def second_evaluation(
    name: str,
    suite: str,
    spec: EvalSpec | Mapping[str, Any] | str,
    *,
    lmeval_conn_id: str | None = None,
    fewshot_seed: int | None = None,
    batch_size: int | None = None,
) -> dict[str, Any]:
    """Return the spec of the promoted model's second evaluation: other few-shot examples, another batch size.

    :param spec: how it was evaluated; its own model is left aside. :param lmeval_conn_id: connection that names the store.
    :param fewshot_seed: default: the spec's own plus one. :param batch_size: default: about half the spec's own.
    :raises SpecError: nothing was promoted. :raises StoreError: its evidence cannot be read.
    """
    from airflow_provider_lmeval.store import Store
    from airflow_provider_lmeval.store.baselines import Baselines

    baselines = Baselines(Store(LMEvalHook(lmeval_conn_id).settings.results_uri))
    again = promoted_spec(baselines, name, suite, parse_spec(spec))
    return varied(again, fewshot_seed=fewshot_seed, batch_size=batch_size).to_data()


class LMEvalCalibrateOperator(BaseOperator):
    """Compare the promoted model with itself, and keep what that shows: an A/A test.

    XCom ``return_value``: the calibration: ``kind``, ``gates``, ``false_blocks``, ``asks``, ``false_block_rate``, ``noise``
    by task and metric, ``runs``, ``settings`` that were varied.

    :param name: what is promoted. (templated)
    :param suite: what it is measured by. (templated)
    :param second: another evaluation of the promoted model: a task's output, or the URI of evidence. (templated)
    :param first: the evaluation to compare it with; default: the one that the model was promoted on. (templated)
    :param rules: those of the gate, as there. (templated)
    :param gates: gates to simulate, at most 1,000.
    :param results_uri: the store; default: the connection's or ``[lmeval] results_uri``. (templated)
    :param lmeval_conn_id: connection that names the store.
    :raises GateError: at parse time, for constant rules that cannot be right.
    """

    template_fields: Sequence[str] = ("name", "suite", "second", "first", "rules", "results_uri")
    template_fields_renderers = {"rules": "json", "first": "json", "second": "json"}
    ui_color = "#fef7e0"

    def __init__(
        self,
        *,
        name: str,
        suite: str,
        second: Evaluation | Any,
        first: Evaluation | Any | None = None,
        rules: Sequence[Mapping[str, Any]] | Mapping[str, Any] | str | Any | None = None,
        gates: int = 400,
        results_uri: str | None = None,
        lmeval_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.suite = suite
        self.second = second
        self.first = first
        self.rules: Any = as_data(rules)
        self.gates = gates
        self.results_uri = results_uri
        self.lmeval_conn_id = lmeval_conn_id
        if is_constant(self.rules):
            parse_rules(self.rules)

    def execute(self, context: Any) -> dict[str, Any]:  # noqa: ARG002
        """Compare, keep and return the calibration."""
        from airflow_provider_lmeval.store import Store
        from airflow_provider_lmeval.store.calibration import calibrate_baseline

        try:
            store = Store(self.results_uri or LMEvalHook(self.lmeval_conn_id).settings.results_uri)
            first, second, rules = evaluation_uri(self.first), evaluation_uri(self.second), parse_rules(self.rules)
            if second is None or (self.first and first is None):
                said = self.first if second else self.second
                raise GateError(f"{said!r} names no stored result; pass an evaluation's output or a URI")
            found = calibrate_baseline(store, self.name, self.suite, rules, second, first=first, gates=self.gates)
        except GateError as error:
            fail(SpecError(f"not calibrated: {error}"))
        except LMEvalError as error:
            fail(error)
        rate = (
            "no rule could block" if found.false_block_rate is None else f"{100 * found.false_block_rate:.3g} % block"
        )
        self.log.info(
            "%s/%s is %s; of %s gates against itself %s", self.name, self.suite, found.kind, found.gates, rate
        )
        return found.model_dump(mode="json")
