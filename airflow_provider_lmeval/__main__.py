"""``python -m airflow_provider_lmeval``: the command-line tool, wherever the package is installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from airflow_provider_lmeval.cli.parser import build_parser, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool.

    :param argv: arguments without the program's name; default: ``sys.argv[1:]``.
    :returns: 0 if all went well, 1 if an evaluation failed, 2 if the call or the spec is wrong.
    """
    return run_command(build_parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
