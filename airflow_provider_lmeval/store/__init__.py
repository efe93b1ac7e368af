"""Durable results: the only copy that survives the worker, the pod and the day.

A run has a prefix of its own, ``<url>/<run_id>/``, laid out like its run directory, and counts from the moment its
completion marker is there. Whatever does not match the marker's digests is an error and never a result.
"""

from airflow_provider_lmeval.store.location import has_connection
from airflow_provider_lmeval.store.scores import ScoreReader, score_reader
from airflow_provider_lmeval.store.store import Store, open_result

__all__ = ["ScoreReader", "Store", "has_connection", "open_result", "score_reader"]
