"""Decides whether a model may go on, from stored evidence alone.

:func:`decide` is a pure function of rules and results: the same evidence gives the same verdict, today on a laptop
and next year in an audit, without a GPU. It fails closed: what is missing, damaged or not comparable is an ERROR and
never a PASS.
"""

from airflow_provider_lmeval.gate.decide import decide
from airflow_provider_lmeval.gate.evidence import ScoreTables, Side
from airflow_provider_lmeval.gate.rules import Rule, RuleSet
from airflow_provider_lmeval.gate.rulesets import NO_REGRESSION
from airflow_provider_lmeval.gate.verdict import Check, Difference, Finding, Outcome, Statistics, Verdict

__all__ = [
    "NO_REGRESSION",
    "Check",
    "Difference",
    "Finding",
    "Outcome",
    "Rule",
    "RuleSet",
    "ScoreTables",
    "Side",
    "Statistics",
    "Verdict",
    "decide",
]
