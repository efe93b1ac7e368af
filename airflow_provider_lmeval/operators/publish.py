"""``LMEvalPublishOperator``: publishes a stored result in a task of its own, which fails by itself and can be repeated.

``LMEvalOperator(outputs=[…])`` does the same at its end, where a failure is told and fails nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperator

from airflow_provider_lmeval.errors import LMEvalError, OutputError, SpecError
from airflow_provider_lmeval.hooks.outputs import publish_result
from airflow_provider_lmeval.operators.evidence import Evaluation, evaluation_uri
from airflow_provider_lmeval.operators.outcome import fail
from airflow_provider_lmeval.operators.specs import is_constant


def outputs_as_data(value: Any) -> Any:
    """Return outputs as Airflow can template and serialise them; references to other tasks stay as they are."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_unset=True) | {"type": value.type}
    return [outputs_as_data(each) for each in value] if isinstance(value, list | tuple) else value


def check_outputs(value: Any) -> None:
    """Validate outputs when the DAG file is parsed, if they are constant.

    :raises SpecError: one line per problem.
    """
    if value and is_constant(value):
        from airflow_provider_lmeval.spec.outputs import parse_outputs

        parse_outputs(value)


def publish_and_tell(log: Any, result: Any, outputs: Any) -> list[dict[str, Any]]:
    """Publish an evaluation, write what became of each output to the log, and return it.

    :param result: an evaluation's output, or the URI of its result.
    :raises LMEvalError: the outputs are wrong, or the result cannot be read.
    """
    from airflow_provider_lmeval.spec.outputs import parse_outputs

    uri = evaluation_uri(result)
    if uri is None:
        raise SpecError(f"result: {result!r} names no stored result; pass an evaluation's output or a result URI")
    done = publish_result(uri, parse_outputs(outputs))
    for each in done:
        if each.published:
            log.info("published to %s: %s", each.type, each.where)
        else:
            log.error("not published to %s (%s) in %s attempts: %s", each.type, each.target, each.attempts, each.error)
    return [each.to_data() for each in done]


class LMEvalPublishOperator(BaseOperator):
    """Publish a stored result: as an OCI artifact, MLflow run, model card metadata, W&B run.

    XCom ``return_value``: for each output ``{type, target, where, error, attempts}``, pushed before the task fails because
    some were not published. Repeating the task changes what is there and adds no second copy.

    :param result: an evaluation's output, or the URI of its result. (templated)
    :param outputs: where to: :mod:`airflow_provider_lmeval.spec.outputs` as objects or plain data. (templated)
    :raises SpecError: at parse time, for constant outputs that cannot be right.
    """

    template_fields: Sequence[str] = ("result", "outputs")
    template_fields_renderers = {"result": "json", "outputs": "json"}
    ui_color = "#f3e8fd"

    def __init__(
        self, *, result: Evaluation | Any, outputs: Sequence[Mapping[str, Any] | Any] | Any, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.result = result
        self.outputs = outputs_as_data(outputs)
        check_outputs(self.outputs)

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Publish, and return what became of each output."""
        try:
            done = publish_and_tell(self.log, self.result, self.outputs)
        except LMEvalError as error:
            fail(error)
        context["ti"].xcom_push(key="return_value", value=done)
        if failed := [each for each in done if each["error"]]:
            told = "; ".join(f"{each['type']} ({each['target']}): {each['error']}" for each in failed)
            fail(OutputError(f"{len(failed)} of {len(done)} outputs not published; the result is stored. {told}"))
        return done
