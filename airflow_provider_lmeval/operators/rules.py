"""The operators' ``rules`` argument, in all the forms in which people write rules down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # loaded when rules are read: a DAG file that only imports an operator must stay quick
    from airflow_provider_lmeval.gate import RuleSet


def as_data(value: Any) -> Any:
    """Return rules as Airflow can template and serialise them; anything but a ``RuleSet`` is as it was."""
    return value.to_data() if value is not None and hasattr(value, "to_data") else value


def parse_rules(value: Any) -> RuleSet:
    """Validate rules.

    :param value: a list of rules, a mapping with ``rules``, YAML text, or the name of a ready set; None is
        ``no_regression``.
    :raises GateError: they cannot be right.
    """
    from airflow_provider_lmeval.gate import NO_REGRESSION, RuleSet

    if value is None:
        return RuleSet.parse(NO_REGRESSION)
    return RuleSet.from_yaml(value) if isinstance(value, str) else RuleSet.parse(value)
