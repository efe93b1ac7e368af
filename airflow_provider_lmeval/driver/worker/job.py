"""One evaluation from request to written result: the order of things, and what is kept when it is interrupted.

Cheap checks come first, then tasks and datasets, then the endpoint or the model, because that is the order in which
mistakes cost least. What is known is written to ``scratch/evaluation.json`` after every task; the supervisor makes the
result of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from airflow_provider_lmeval.driver.redact import Redactor
from airflow_provider_lmeval.driver.worker import devices, endpoint, model, needs, own_data, permissions, served
from airflow_provider_lmeval.driver.worker.dataset_guard import guard_datasets
from airflow_provider_lmeval.driver.worker.evaluate import Evaluator, aggregate, set_seeds
from airflow_provider_lmeval.driver.worker.events import Events
from airflow_provider_lmeval.driver.worker.fingerprint import run_fingerprint, sha, versions
from airflow_provider_lmeval.driver.worker.git_source import Fetched, fetch_sources
from airflow_provider_lmeval.driver.worker.identity import LocalIdentity, local_places
from airflow_provider_lmeval.driver.worker.plain import plain
from airflow_provider_lmeval.driver.worker.precheck import check_cache
from airflow_provider_lmeval.driver.worker.progress import Progress
from airflow_provider_lmeval.driver.worker.ranks import Ranks
from airflow_provider_lmeval.driver.worker.record import Record, Records
from airflow_provider_lmeval.driver.worker.requests import Attempts
from airflow_provider_lmeval.driver.worker.settings import Settings, settings_of
from airflow_provider_lmeval.driver.worker.startup import log_as_lm_eval, settled
from airflow_provider_lmeval.driver.worker.tasks import Loaded, load_tasks
from airflow_provider_lmeval.driver.worker.templates import set_up_templates
from airflow_provider_lmeval.wire import Phase, Request, RunDir, dump, write_atomic

EVALUATION = "evaluation.json"
MIXED = "mixed"


class Job:
    """Evaluates one request in one run directory.

    :param request: with the values of secrets in ``model_args``.
    :param run: where everything is written.
    :param events: the supervisor's ear.
    :param redactor: takes secrets out of what is written.
    :param ranks: the other processes of this evaluation, if there are any.
    """

    def __init__(
        self, request: Request, run: RunDir, events: Events, redactor: Redactor, ranks: Ranks | None = None
    ) -> None:
        self._ranks = ranks
        self.phase = Phase.PREPARING
        self._request = request
        self._sources: list[Fetched] = []
        self._settings: Settings = settings_of(request.evaluate)
        self._run = run
        self._events = events
        self._redactor = redactor
        self._model: dict[str, Any] = {"type": request.model}
        self._chat_template: str | None = None  # its hash
        self._batch_sizes: list[int] = []
        self._done: dict[str, Record] = {}

    def run(self) -> None:
        """Do everything; when this returns, it is on disk.

        :raises RunFailedError: with its cause; other exceptions are the libraries' (see ``causes``).
        """
        self.check()
        records = Records(self._run, self._redactor, log_samples=self._settings.log_samples)
        _ = self._identity  # starts reading weights
        self._begin(Phase.LOADING_TASKS)
        self._fetch_sources()
        loaded = self._loaded
        if self._request.warm_up:
            self._warm_up(loaded)
            return
        self._take_over(records)
        if missing := {name: task for name, task in loaded.tasks.items() if name not in self._done}:
            self._tell(missing)
            self._evaluate(missing, self._load_model(missing), records)
        self._begin(Phase.AGGREGATING)
        groups = aggregate(loaded.groups, self._done)
        self._begin(Phase.SAVING)
        self._write(groups)
        if self._ranks:
            self._ranks.over()
        self._events.finished()

    def _warm_up(self, loaded: Loaded) -> None:
        """Fetch everything else, and end with a result that says what there is instead of scores."""
        from airflow_provider_lmeval.driver.worker import warm_up

        self._begin(Phase.WARMING_UP)
        found, warnings = warm_up.fill_cache(self._request, loaded, self._versions)
        print(f"warmed up: {warm_up.report(found, warnings)}", flush=True)  # noqa: T201 - the run's log
        self._begin(Phase.SAVING)
        self._write({name: warm_up.without_scores(task) for name, task in loaded.tasks.items()})
        self._events.finished()

    def _fetch_sources(self) -> None:
        """Fetch task files from elsewhere; from then on they are task files like any others."""
        self._sources = fetch_sources(self._request, self._run.scratch / "sources")
        places = [*self._request.include_paths, *(str(source.directory) for source in self._sources)]
        self._request = dataclasses.replace(self._request, include_paths=places)

    def check(self) -> None:
        """Do the checks that cost nothing.

        :raises RunFailedError: with its cause.
        """
        self._begin(Phase.PREPARING)
        permissions.check_model_code(self._request)
        model.check_files(self._request)
        check_cache(self._request)
        devices.check_heads(self._request)

    def _tell(self, missing: Mapping[str, Any]) -> None:
        if self._ranks:
            devices.check_documents(missing, self._settings, int((self._request.parallel or {})["processes"]))
            self._ranks.tell(list(missing))

    @property
    def _on_devices(self) -> bool:
        """Whether the model computes here, and was given devices or may look for some."""
        return not endpoint.endpoint_url(self._request.model, self._request.model_args)

    @cached_property
    def _identity(self) -> LocalIdentity:
        served = endpoint.endpoint_url(self._request.model, self._request.model_args)
        return LocalIdentity({} if served else local_places(self._request.model_args))

    @cached_property
    def _loaded(self) -> Loaded:
        log_as_lm_eval()
        generated = list(self._own_data.include_paths)
        if self._request.unitxt:
            from airflow_provider_lmeval.driver.worker import unitxt

            generated += unitxt.prepare(self._request, self._run.scratch / "unitxt")
        set_seeds(self._settings)
        set_up_templates(sandboxed=not self._request.allow_code_execution)
        guard_datasets(self._request, self._run.root)
        if self._request.allow_online:
            return load_tasks(self._request, self._settings, generated)
        needs.forbid_downloads(self._request)
        loaded = load_tasks(self._request, self._settings, generated)
        needs.check_metrics(loaded.tasks)
        return loaded

    @cached_property
    def _own_data(self) -> own_data.Prepared:
        return own_data.prepare(self._request, self._run.root, self._run.scratch / "data")

    @cached_property
    def _hashes(self) -> dict[str, str]:
        """A hash of everything that decides a task's record, by task; waits until the weights are read."""
        asked = self._request
        arguments = self._redactor.data([asked.model, asked.model_args, asked.model_digest])
        how = [self._settings.deciding(), self._request.checkpoint, self._versions]
        configs = {name: {**task.dump_config(), "metadata": None} for name, task in self._loaded.tasks.items()}
        return {name: sha([arguments, self._identity.wait(), how, config]) for name, config in configs.items()}

    @cached_property
    def _versions(self) -> dict[str, str]:
        return versions(self._request)

    def _begin(self, phase: Phase) -> None:
        self.phase = phase
        self._events.phase(phase)

    def _take_over(self, records: Records) -> None:
        """Take over what an earlier attempt finished under the same settings."""
        if not records.any():
            return
        found = {name: records.finished(name, self._hashes[name]) for name in self._loaded.tasks}
        if self._request.checkpoint == "none" and not all(found.values()):
            return  # one call is all or nothing
        self._done = {name: record for name, record in found.items() if record}
        for record in self._done.values():
            self._model, self._chat_template = record["model"], record.get("chat_template")

    def _load_model(self, missing: Mapping[str, Any]) -> Any:
        if endpoint.endpoint_url(self._request.model, self._request.model_args):
            self._begin(Phase.CHECKING_ENDPOINT)
            endpoint.check_endpoint(
                self._request.model, self._request.model_args, online=self._request.allow_online, tasks=missing
            )
        self._begin(Phase.LOADING_MODEL)
        found = devices.detect() if self._on_devices else devices.Devices("cpu", 1)
        if self._on_devices:
            devices.check_devices(self._request, found)
        self._settings = model.with_batch(self._settings, self._request, found)
        lm = served.load(self._request, self._settings, missing)
        self._model = model.describe(self._request, lm, self._identity.wait())
        if chosen := self._settings.apply_chat_template:
            template = lm.chat_template(chosen)
            self._chat_template = sha(template) if template else None
        self._write()
        return lm

    def _evaluate(self, missing: dict[str, Any], lm: Any, records: Records) -> None:
        settled()
        self._begin(Phase.EVALUATING)
        progress = Progress(self._events.progress, tasks_total=len(self._loaded.tasks))
        progress.end(len(self._done))
        evaluator = self._evaluator(lm, progress)
        progress.follow(lm)
        one_call = self._request.checkpoint == "none"
        self._keep(evaluator.together(missing) if one_call else evaluator.one_by_one(missing), records)
        self._batch_sizes = list(getattr(lm, "batch_sizes", {}).values())

    def _evaluator(self, lm: Any, progress: Progress | None = None) -> Evaluator:
        attempts = Attempts()
        attempts.follow(lm)
        key = sha([self._request.model, self._redactor.data(self._request.model_args), self._model["identity"]])
        return Evaluator(
            lm=model.cached(lm, self._settings, key),
            model=self._model,
            settings=self._settings,
            hashes=self._hashes,
            progress=progress or Progress(self._events.progress, tasks_total=len(self._loaded.tasks)),
            attempts=attempts,
            allow_code=self._request.allow_code_execution,
            origins=self._own_data.origins,
        )

    def _keep(self, evaluated: Iterator[tuple[Record, list[dict[str, Any]]]], records: Records) -> None:
        for record, rows in evaluated:
            beside = {"batch_size": self._settings.batch_size, "chat_template": self._chat_template}
            self._done[record["task"]] = records.write({**record, **beside}, rows)
            self._write()
            self._events.task(record["task"])

    def _write(self, groups: Mapping[str, Any] | None = None) -> None:
        """Write what is known by now: the child's part of the result document."""
        done = {name: self._done[name] for name in self._loaded.tasks if name in self._done}
        fingerprints = {name: record["fingerprint"] for name, record in done.items()}
        evaluation = {
            "model": {**self._model, "args": self._request.model_args},
            "tasks": {**{name: record["document"] for name, record in done.items()}, **(groups or {})},
            "config": self._config(),
            "versions": self._versions,
            "fingerprint": run_fingerprint(
                self._request,
                self._settings,
                self._model,
                fingerprints,
                self._chat_template,
                self._batch_size(),
                [source.origin() for source in self._sources],
            ),
        }
        self._run.scratch.mkdir(parents=True, exist_ok=True)
        write_atomic(self._run.scratch / EVALUATION, dump(self._redactor.data(plain(evaluation))))

    def _batch_size(self) -> Any:
        """Return the batch size of all finished tasks; ``mixed`` where a later attempt went on with another one."""
        sizes = {record["batch_size"] for record in self._done.values()} or {self._settings.batch_size}
        return sizes.pop() if len(sizes) == 1 else MIXED

    def _config(self) -> dict[str, Any]:
        return {
            **self._settings.deciding(),
            "batch_size": self._batch_size(),
            "max_batch_size": self._settings.max_batch_size,
            "use_cache": self._settings.use_cache,
            "seeds": self._settings.seeds,
            "checkpoint": self._request.checkpoint,
            "device": self._model.get("device"),
            "batch_sizes": self._batch_sizes,
            "chat_template_sha": self._chat_template,
        }
