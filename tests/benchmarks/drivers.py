"""Answers for the drivers of pods that do not run, so that ``bench_trigger`` measures with progress polls on.

The pods' status names an address of this machine, and the API server's proxy dials it as it would dial a pod. One server
answers for all: it cannot tell them apart, and what it says differs from poll to poll as a driver's words do.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.wire import DRIVER_HEADER, TOKEN_HEADER, Phase, State, Status

TOTAL = 100_000


class Drivers:
    """All drivers at once; ``answered`` counts the polls that came with a token."""

    def __init__(self) -> None:
        self.answered = 0

    async def status(self, request: web.Request) -> web.Response:
        """Say how far the evaluation is."""
        if TOKEN_HEADER not in request.headers:
            return web.Response(status=401, headers={DRIVER_HEADER: "1"})
        self.answered += 1
        progress = {"done": self.answered, "total": TOTAL, "rate": 1.0, "eta_s": 36_000, "task": "arc_easy"}
        now = time.time()
        said = Status(run_id="bench", state=State.RUNNING, phase=Phase.EVALUATING, progress=progress, updated=now)
        return web.json_response(said.to_json(), headers={DRIVER_HEADER: "1"})


@asynccontextmanager
async def answering(address: str) -> AsyncIterator[Drivers]:
    """Answer at an address of this machine."""
    drivers, app = Drivers(), web.Application()
    app.router.add_get("/v1/status", drivers.status)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, PodSettings().status_port).start()
        yield drivers
    finally:
        await runner.cleanup()
