"""The command-line tool: the same spec, backend and results without a DAG."""
