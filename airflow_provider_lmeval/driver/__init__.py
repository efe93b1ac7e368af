"""The driver: runs one evaluation and outlives whoever asked for it.

It runs inside a pod or as a detached process, where neither Airflow nor pydantic need exist, so it imports only the
standard library, ``wire`` and ``errors``. A small supervisor (this directory) watches a worker child (``worker/``)
that holds lm-eval, torch and the model: when the child runs out of memory, hangs or crashes, someone is left to say
so, to keep the log and to store what was finished.

``python -m airflow_provider_lmeval.driver REQUEST`` starts it; as a container's main process (``pod``) it takes its
request from the environment. Nothing is imported here, so that the worker and the uploader do not pay for the supervisor.
"""
