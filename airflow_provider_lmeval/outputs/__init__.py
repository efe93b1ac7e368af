"""Publishes a stored result: OCI registry, MLflow, model card, Weights & Biases.

All of it happens after the result is in the store and out of the store's own, verified bytes. A place that cannot be written
to is tried again and then reported; it takes nothing from the evaluation. Publishing twice gives the same artifact, run or
card, so that a task can be repeated.
"""

from airflow_provider_lmeval.outputs.credentials import Credentials
from airflow_provider_lmeval.outputs.publish import Publication, publish
from airflow_provider_lmeval.outputs.stored import StoredRun

__all__ = ["Credentials", "Publication", "StoredRun", "publish"]
