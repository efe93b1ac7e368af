"""``rollback``: puts an earlier model in force again, on the record."""

from __future__ import annotations

import argparse

from airflow_provider_lmeval.cli.baseline import baselines, show, split, who


def main(arguments: argparse.Namespace) -> int:
    """Roll back and print what is in force now; 1 if there is nothing to go back to."""
    name, suite = split(arguments.baseline)
    found = baselines().rollback(name, suite, arguments.to, by=who(arguments.by), reason=arguments.reason)
    show(found, as_json=arguments.json)
    return 0
