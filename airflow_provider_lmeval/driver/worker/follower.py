"""A further rank: evaluates its share of what the first rank decides, and writes nothing."""

from __future__ import annotations

import json
from functools import cached_property
from typing import IO, Any

from airflow_provider_lmeval.driver.worker.identity import LocalIdentity
from airflow_provider_lmeval.driver.worker.job import Job
from airflow_provider_lmeval.driver.worker.startup import settled
from airflow_provider_lmeval.wire import Phase


class Follower(Job):
    """Goes through the same motions as the first rank, since all ranks have to meet in each collective operation."""

    def follow(self, stream: IO[str]) -> None:
        """Load the tasks, wait to be told which are to be evaluated, and evaluate them.

        :param stream: on which the first rank tells; its end means that there is nothing to do.
        :raises RunFailedError: see :meth:`Job.run`.
        """
        self.check()
        self._begin(Phase.LOADING_TASKS)
        self._fetch_sources()
        tasks: dict[str, Any] = self._loaded.tasks
        if not (told := stream.readline()):
            return
        missing = {name: tasks[name] for name in json.loads(told)}
        lm = self._load_model(missing)
        settled()
        self._begin(Phase.EVALUATING)
        self._evaluator(lm).along(missing, one_call=self._request.checkpoint == "none")

    @cached_property
    def _identity(self) -> LocalIdentity:
        """Leave it to the first rank to read the weights for their digest."""
        return LocalIdentity({})

    def _write(self, *_: Any) -> None:
        """Leave the result to the first rank."""
