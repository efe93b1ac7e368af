"""What an evaluation found, as typed, immutable data.

The driver writes plain JSON, because it runs where pydantic does not exist; everybody on Airflow's side reads it
through these models. Pure: bytes and data come in, models and plain data go out. Where the bytes lie is ``store/``'s
business.
"""

from airflow_provider_lmeval.results.model import EvalResult, Fingerprint, Metric, ModelInfo, TaskResult, Timings
from airflow_provider_lmeval.results.scores import Score, read_scores
from airflow_provider_lmeval.results.summary import summary
from airflow_provider_lmeval.results.table import Row, rows

__all__ = [
    "EvalResult",
    "Fingerprint",
    "Metric",
    "ModelInfo",
    "Row",
    "Score",
    "TaskResult",
    "Timings",
    "read_scores",
    "rows",
    "summary",
]
