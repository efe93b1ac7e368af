"""LLM evaluation as a trustworthy gate in Apache Airflow pipelines.

This file imports nothing: the driver, which runs inside evaluation images that have neither Airflow nor pydantic, shares
the package with the operators. Import from the public modules (``operators.lmeval``, ``sensors.lmeval``, ``spec`` …).
"""

__version__ = "0.1.0"
