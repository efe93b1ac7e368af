"""Reads what other tools found as if it were ours, so that a gate asks one question of all of them.

A plain ``lm-eval run`` leaves everything a gate wants. Others leave less: scores without the documents behind them, or even
without their number. Nothing is made up for them: what a bundle does not say is absent from the result, and the gate says
that it is missing. Pure: names and bytes come in through :class:`Files`; where they lie is ``store/``'s business.
"""

from airflow_provider_lmeval.results.readers.bundle import Evidence, Files
from airflow_provider_lmeval.results.readers.detect import read_bundle

__all__ = ["Evidence", "Files", "read_bundle"]
