"""``@task.lmeval_gate``: a gate whose evidence, or rules, a function finds.

For what a template cannot say: the newest of several results, rules that depend on the model's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_lmeval.errors import GateError, SpecError
from airflow_provider_lmeval.operators.gate import LMEvalGateOperator
from airflow_provider_lmeval.operators.outcome import fail

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import TaskDecorator

ASKED = ("candidate", "baseline", "rules")
"""What the function may return by name."""


class GateDecoratedOperator(DecoratedOperator, LMEvalGateOperator):
    """Ask a function what to judge, then judge it.

    The function returns the candidate, an evaluation's output or a URI, or a mapping with ``candidate`` and, where the
    decorator does not say them, ``baseline`` and ``rules``.
    """

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(name for name in LMEvalGateOperator.template_fields if name != "candidate"),
    )
    template_fields_renderers = {
        **DecoratedOperator.template_fields_renderers,
        **LMEvalGateOperator.template_fields_renderers,
    }
    custom_operator_name: str = "@task.lmeval_gate"

    def __init__(self, *, python_callable: Callable[..., Any], **kwargs: Any) -> None:
        super().__init__(python_callable=python_callable, candidate=None, **kwargs)

    def execute(self, context: Any) -> Any:
        """Ask the function, and judge what it names."""
        context_merge(context, self.op_kwargs)
        arguments = determine_kwargs(self.python_callable, self.op_args, context)
        try:
            self._take(self.python_callable(*self.op_args, **arguments))
        except GateError as error:
            fail(SpecError(str(error)))
        return super().execute(context)

    def _take(self, said: Any) -> None:
        """Set what the function returned.

        :raises GateError: it names something that a gate does not have.
        """
        asked = said if isinstance(said, Mapping) and "candidate" in said else {"candidate": said}
        if wrong := sorted(set(asked) - set(ASKED)):
            raise GateError(
                f"{self.task_id}: the function returned {', '.join(wrong)}; a gate takes {', '.join(ASKED)}"
            )
        for name, value in asked.items():
            setattr(self, name, value)


def gate_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Turn a function into a gate.

    :param python_callable: returns what to judge, see :class:`GateDecoratedOperator`.
    :param kwargs: arguments of :class:`LMEvalGateOperator` but ``candidate``.
    """
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=GateDecoratedOperator, **kwargs
    )
