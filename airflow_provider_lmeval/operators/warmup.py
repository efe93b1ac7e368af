"""``LMEvalWarmupOperator``: fetches what an evaluation without network needs.

Given the evaluation's own spec and pod settings, so that the two cannot drift apart: a warm-up that fetched another
revision or another tokenizer would be found out only by the run that has no network to repair it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_lmeval.errors import LMEvalError
from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from airflow_provider_lmeval.operators.outcome import fail
from airflow_provider_lmeval.operators.specs import is_constant, parse_constant, parse_spec
from airflow_provider_lmeval.plan.warm_up import warm_up_of, warm_up_pod
from airflow_provider_lmeval.spec import EvalSpec


class LMEvalWarmupOperator(LMEvalOperator):
    """Fetch the datasets, tokenizer, weights and metrics of a spec into its cache, and write a manifest with their digests.

    Needs network, which the administrator has to allow (``[lmeval] allow_online`` or the connection's); no GPU. XCom
    ``return_value`` is that of :class:`~airflow_provider_lmeval.operators.lmeval.LMEvalOperator`, without any score.

    :param spec: of the evaluation that is to run without network; ``allow_online`` and ``warm_up`` are set here. (templated)
    :param kubernetes: of that evaluation; devices are left out, and the cache is mounted to be written.
    """

    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        spec: EvalSpec | Mapping[str, Any] | str,
        kubernetes: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(spec=spec, kubernetes=warm_up_pod(kubernetes or {}), **kwargs)
        if is_constant(self.spec):
            parse_constant(warm_up_of(parse_spec(self.spec)).to_data())

    def execute(self, context: Any) -> Any:
        """Start the warm-up and wait for it."""
        self._turn()
        return super().execute(context)

    def resume(self, context: Any, event: dict[str, Any], handle: dict[str, Any]) -> Any:
        """Take over from the trigger."""
        self._turn()
        return super().resume(context, event, handle)

    def _turn(self) -> None:
        """Make the rendered spec that of its warm-up."""
        try:
            self.spec = warm_up_of(parse_spec(self.spec)).to_data()
        except LMEvalError as error:
            fail(error)
