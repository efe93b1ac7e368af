"""Where runs happen: the side effects behind one interface.

A backend submits a run, tells its status, cancels it and collects its result. What it returns and takes is plain data, so
that a worker, a triggerer and a person at a shell can each pick up a run the other has started.
"""

from airflow_provider_lmeval.backends.base import Backend, Handle

__all__ = ["Backend", "Handle"]
