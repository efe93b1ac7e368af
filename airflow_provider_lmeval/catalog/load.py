"""The catalogue that ships with the package, read on first use and never at import.

Airflow parses DAG files over and over; a module that reads data when imported makes every one of them pay.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from airflow_provider_lmeval.catalog.index import Catalog
from airflow_provider_lmeval.catalog.layout import decode

CATALOG_VERSION = "0.4.13"
DATA_FILE = f"data/lm_eval-{CATALOG_VERSION}.json.gz"


@cache
def catalog() -> Catalog:
    """Return what lm-eval ``CATALOG_VERSION`` offers; the same object every time."""
    return Catalog(decode(files(__package__).joinpath(DATA_FILE).read_bytes()))
