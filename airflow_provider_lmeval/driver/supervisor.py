"""Leads one run from its request to its stored result.

It holds no model and imports nothing heavy, so it survives what kills the child and can say what happened. Whatever
happens, the run ends with a status, a result document and a cause. One thread does it all (``watch``); those of the
status server only read.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import shlex
import shutil
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from airflow_provider_lmeval.driver import environment, mounts, outcome
from airflow_provider_lmeval.driver.cgroup import oom_kills
from airflow_provider_lmeval.driver.child import Child
from airflow_provider_lmeval.driver.interrupt import Interrupt
from airflow_provider_lmeval.driver.logs import CappedFile, Console, Tee
from airflow_provider_lmeval.driver.outcome import EVALUATION_NAME, Outcome
from airflow_provider_lmeval.driver.pod import CONSOLE_BYTES, LastWords, Pod
from airflow_provider_lmeval.driver.publish import ASSETS_S, Uploads
from airflow_provider_lmeval.driver.reaper import Reaper
from airflow_provider_lmeval.driver.redact import Redactor
from airflow_provider_lmeval.driver.server import StatusServer
from airflow_provider_lmeval.driver.slots import slot, try_lock
from airflow_provider_lmeval.driver.status import Board
from airflow_provider_lmeval.driver.watch import Watch
from airflow_provider_lmeval.errors import ProtocolError, RunFailedError
from airflow_provider_lmeval.wire import Cause, Phase, Request, RunDir, State, Status, dump, safe_name, write_atomic

WORKER = (sys.executable, "-P", "-m", "airflow_provider_lmeval.driver.worker")
"""``-P``: the working directory, which tasks may write to, is no place to import from."""
_STORAGE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO})


def supervise(request: Request, run: RunDir, *, command: Sequence[str] = (), pod: Pod | None = None) -> int:
    """Run one request in a directory and return the exit status of the driver.

    A directory that holds a successful result is left as it is; otherwise finished tasks are kept and the rest is
    done. Needs a process of its own: every child of it that the run did not start counts as a stray and is killed.

    :param request: checked by ``intake.check_request``.
    :param run: its directory; made if missing. Locked: a second supervisor refuses.
    :param command: what to execute instead of the worker.
    :param pod: the container whose main process this is. What the store has of an earlier attempt is fetched then.
    """
    try:
        run.scratch.mkdir(parents=True, exist_ok=True)
        lock = try_lock(run.scratch / "lock")
    except OSError as error:
        return _give_up(request.run_id, Outcome(Cause.STORAGE, f"cannot work in {run.root}: {error}"), pod)
    if lock is None:
        busy = f"another driver is at work in {run.root}; wait for it or stop it"
        return _give_up(request.run_id, Outcome(Cause.INTERNAL, busy), pod)
    try:
        return Supervisor(request, run, [*(command or WORKER), str(run.root)], pod).run()
    finally:
        os.close(lock)


def refuse(run: RunDir | None, error: ProtocolError, pod: Pod | None = None) -> int:
    """Say that a request cannot be carried out; leave status and result where a run directory is known.

    :param run: untouched if it is missing, in use or holds a successful result; None if nobody said where.
    :param pod: as for :func:`supervise`.
    :returns: the exit status for a bad spec.
    """
    end = Outcome(Cause.BAD_SPEC, str(error))
    with contextlib.suppress(OSError):
        if run and run.root.is_dir() and not outcome.succeeded(run):
            run.scratch.mkdir(exist_ok=True)
            if (lock := try_lock(run.scratch / "lock")) is not None:
                unknown = Request(run_id=run.root.name, spec_hash="", model="", model_args={})
                with os.fdopen(lock):
                    return Supervisor(unknown, run, (), pod).conclude(end)
    return _give_up(run.root.name if run else "", end, pod)


def _give_up(run_id: str, end: Outcome, pod: Pod | None) -> int:
    """End without a result document."""
    console = Console(Redactor())
    LastWords(pod, run_id, console).status(Status(run_id=run_id, **end.fields()))
    console.say(end.message or end.reason)
    return end.exit_code


class Supervisor:
    """One run.

    :param request: what to do. :param run: where, locked for us. :param command: what evaluates.
    :param pod: the container we are in.
    """

    def __init__(self, request: Request, run: RunDir, command: Sequence[str], pod: Pod | None) -> None:
        self._request = request
        self._run = run
        self._command = command
        self._pod = pod
        self._stored = False
        self._interrupt = Interrupt(pod.grace_s if pod else math.inf)
        self._reaper = Reaper()
        self._resolver = environment.Resolver(os.environ, request.allowed_env)
        self._console = Console(Redactor(), CONSOLE_BYTES if pod else math.inf)
        self._last_words = LastWords(pod, request.run_id, self._console)
        self._board = Board(run.status, request.run_id, self._console, self._last_words.status)
        self._uploads = Uploads(run, request.store is not None, self._reaper, self._console)

    def run(self) -> int:
        """Do what is left to do and return the exit status."""
        self._last_words.status(self._board.status)
        if not outcome.succeeded(self._run):
            self._interrupt.install()
            return self.conclude(self._attempt())
        if not self._pod and (outcome.read_json(self._run.status) or {}).get("state") == State.COMPLETE:
            self._console.say("the run has succeeded before; nothing to do")
            return 0
        self._interrupt.install()  # killed between its result and the end of the upload, or a pod's words were lost
        return self._announce(self._store(Outcome()))

    def conclude(self, end: Outcome) -> int:
        """Write and store the result, then announce the end."""
        self._board.enter(None)
        end = self._write(end)
        if self._run.marker.exists():
            end = self._store(end)
            (self._run.scratch / EVALUATION_NAME).unlink(missing_ok=True)  # the result has it, without secrets
        return self._announce(end)

    def _attempt(self) -> Outcome:
        """Evaluate; turn everything that can go wrong into an outcome."""
        try:
            self._clear_last_attempt()
            if self._pod:
                mounts.prepare(os.environ, self._run.scratch)
            with self._directory_for_temporaries() as tmp:
                variables, document = self._resolve(tmp)
                self._console.say(f"equivalent command: {shlex.join(self._request.equivalent_command) or 'none'}")
                self._serve_status()
                self._resume()
                if self._fetch_assets():
                    variables, document = self._resolve(tmp)  # what was copied decides how it is shown
                with self._slot():
                    if self._interrupt.why:
                        return Outcome(Cause.CANCELLED, self._interrupt.why)
                    return self._evaluate(variables, document)
        except RunFailedError as error:
            return Outcome(Cause(error.cause), str(error))
        except OSError as error:
            cause = Cause.STORAGE if error.errno in _STORAGE_ERRORS else Cause.INTERNAL
            return Outcome(cause, f"the driver failed: {error}")
        except Exception as error:  # noqa: BLE001 - a run must end with a cause, even through our own fault
            self._console.say(traceback.format_exc())
            return Outcome(Cause.INTERNAL, f"the driver failed: {type(error).__name__}: {error}")

    def _clear_last_attempt(self) -> None:
        """Remove what would tell of an earlier attempt, first the marker that vouches for it; finished tasks stay."""
        run = self._run
        working = (run.scratch / name for name in (EVALUATION_NAME, "server.json"))
        for path in (run.marker, run.result, run.status, *working):
            path.unlink(missing_ok=True)
        run.logs.mkdir(exist_ok=True)
        run.tasks.mkdir(exist_ok=True)
        self._board.set(state=State.NEW)
        if outcome.read_json(run.request) != self._request.to_json():  # given from elsewhere; the uploader needs it
            write_atomic(run.request, dump(self._request.to_json(), sort_keys=False))

    @contextlib.contextmanager
    def _directory_for_temporaries(self) -> Iterator[Path]:
        path = environment.temporary_directory(self._run.scratch)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _resolve(self, tmp: Path) -> tuple[dict[str, str], bytes]:
        """Return the child's environment and what it reads from stdin; know all secrets from here on."""
        request, resolver = self._request, self._resolver
        try:
            variables = environment.build(request, resolver, os.environ, self._run.scratch, tmp)
            model_args = resolver.resolve(request.model_args, "model_args")
            child_knows = sorted(resolver.secrets)
            resolver.resolve(request.store or {}, "store")  # refused now, not after hours; the child need not know
            resolver.resolve(request.offline or {}, "offline")
        finally:
            self._console.redactor = Redactor(resolver.secrets)
        document = {"request": {**request.to_json(), "model_args": model_args}, "secrets": child_knows}
        return variables, json.dumps(document).encode()

    def _serve_status(self) -> None:
        """Start the status server; without it only progress is lost, so the run goes on."""
        if settings := self._request.status_server:
            try:
                StatusServer(settings, self._run, self._board, self._interrupt)
            except OSError as error:
                address = f"{settings.get('host')}:{settings.get('port')}"
                self._console.say(f"cannot serve the status at {address}: {error}")

    def _resume(self) -> None:
        """Take up what an earlier attempt has finished; without it, everything is done again."""
        if self._pod and self._request.store and not outcome.finished_tasks(self._run):
            self._board.set(message="fetching finished tasks from the store")
            if found := self._uploads.fetch(self._interrupt, self._board.tick):
                self._console.say(f"finished tasks in the store: {found}")
            self._board.set(message=None)
        self._keep_tasks("*")

    def _fetch_assets(self) -> bool:
        """Copy models and data to where the evaluation looks for them; tell whether there were any."""
        if not (self._request.offline or {}).get("source"):
            return False
        self._board.set(message="copying models and data")
        self._uploads.fetch_assets(self._request.timeout_s or ASSETS_S, self._interrupt, self._board.tick)
        self._board.set(message=None)
        return True

    def _on_task(self, name: str) -> None:
        self._keep_tasks(safe_name(name))
        self._uploads.request()

    def _keep_tasks(self, directory: str) -> None:
        if self._pod:
            self._last_words.tasks(outcome.finished_tasks(self._run, directory))

    def _slot(self) -> contextlib.AbstractContextManager[None]:
        if (slots := self._request.slots) is None:
            return contextlib.nullcontext()
        self._board.set(message=f"waiting for one of {slots['count']} places to run ({slots['directory']})")
        return slot(Path(slots["directory"]), slots["count"], self._interrupt, self._board.tick)

    def _evaluate(self, variables: dict[str, str], document: bytes) -> Outcome:
        """Start the child, watch it to its end, and judge."""
        run, limit, console = self._run, self._request.log_limit_bytes, self._console
        kills = oom_kills()
        watch = Watch(
            self._request,
            interrupt=self._interrupt,
            board=self._board,
            uploads=self._uploads,
            console=console,
            on_task=self._on_task,
        )
        stdout = Tee(CappedFile(run.logs / "stdout.log", limit), console, 1)
        stderr = Tee(CappedFile(run.logs / "stderr.log", limit), console, 2)
        child = Child(
            self._command,
            environment=variables,
            directory=run.scratch,
            document=document,
            tees=(stdout, stderr),
            on_event=watch.on_event,
            reaper=self._reaper,
        )
        self._board.set(state=State.RUNNING, message=None)
        self._board.enter(Phase.PREPARING)
        seen = watch.until_end(child)
        seen.oom_kills = oom_kills() - kills
        seen.last_lines = stderr.last_lines()
        seen.evaluation = outcome.read_json(run.scratch / EVALUATION_NAME) is not None
        return outcome.decide(seen)

    def _write(self, end: Outcome) -> Outcome:
        """Write result and marker; a disk that does not take them is an outcome too."""
        status = self._board.status
        record = outcome.Record(
            request=self._request,
            redactor=self._console.redactor,
            started=status.started or 0.0,
            ended=time.time(),
            phases=self._board.phases,
        )
        try:
            outcome.write(self._run, outcome.compose(self._run, record, end))
        except OSError as error:
            return Outcome(Cause.STORAGE, f"cannot write the result to {self._run.root}: {error.strerror}")
        return end

    def _store(self, end: Outcome) -> Outcome:
        """Copy everything to the store; a success that cannot be stored is none."""
        if self._request.store:
            self._board.set(message="storing the results")
        self._keep()
        reason = self._uploads.finish(self._interrupt, self._board.tick)
        self._stored = self._request.store is not None and reason is None
        if reason is None or end.cause:
            if reason:
                self._console.say(f"storing the results failed: {reason}")
            return end
        message = f"the evaluation succeeded, but its results could not be stored: {reason}."
        return self._write(Outcome(Cause.STORAGE, f"{message} They are in {self._run.root}."))

    def _keep(self) -> None:
        """Have the last words speak of the result, before anything that may not end well; without marker it is none."""
        if not self._run.marker.exists():
            return
        store = self._request.store
        location = f"{store['url'].rstrip('/')}/{self._request.run_id}" if store and self._stored else None
        with contextlib.suppress(OSError):
            self._last_words.result(self._run.result.read_bytes(), location)

    def _announce(self, end: Outcome) -> int:
        """Say how it ended: in the status and the termination message, in the log, and in the log's last lines."""
        self._keep()
        self._board.set(**end.fields(), ended=time.time())
        why = f", cause {end.cause.value}: {end.message}" if end.cause else ""
        self._console.say(f"ended: {end.reason.value}{why}")
        self._last_words.speak()
        return end.exit_code
