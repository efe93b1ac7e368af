"""The page that shows a gate's report to those who may see the gate's task.

A report quotes models and data sets, and what an address or an XCom says was written by a user or by a DAG. So: Airflow
itself decides who may look. An address names a task instance and nothing else; the place to read follows from that and from
the administrator's settings, never from an XCom. The XCom only vouches for the bytes. And whatever the bytes are, the
browser may run, load and frame nothing (``docs/decisions/015-report-page.md``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import quote, urlencode, urlsplit

from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response, status
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.errors import LMEvalError, ResultNotFoundError
from airflow_provider_lmeval.plugin.reference import Reference, find_reference, read

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
"""On every answer, refusals included."""
PERMITTED = [
    Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE)),
    Depends(requires_access_dag("GET", DagAccessEntity.XCOM)),
]
"""What one must be allowed to read of the DAG: a report says more than its task's XCom, and no less."""


def make_app() -> FastAPI:
    """Return the application, without pages that describe it."""
    app = FastAPI(title="LM Eval reports", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(StarletteHTTPException, _refuse)
    app.middleware("http")(_with_headers)
    app.add_api_route(
        "/reports/{dag_id}/{run_id}/{task_id}", show_report, dependencies=PERMITTED, response_class=HTMLResponse
    )
    return app


def show_report(
    dag_id: str,
    run_id: str,
    task_id: str,
    session: SessionDep,
    map_index: Annotated[int, Query(ge=-1)] = -1,
) -> Response:
    """Return the report that a task instance has written."""
    reference = find_reference(session, dag_id, run_id, task_id, map_index)
    if reference is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"{task_id} of {dag_id}, {run_id}, has stored no report.")
    return HTMLResponse(_read(reference))


def _read(reference: Reference) -> bytes:
    try:
        return read(reference)
    except ResultNotFoundError as error:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND, f"{error}. The API server has to reach the store of the workers."
        ) from None
    except LMEvalError as error:
        raise HTTPException(status.HTTP_502_BAD_GATEWAY, str(error)) from None


async def _with_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.update(HEADERS)
    return response


async def _refuse(request: Request, error: Any) -> Response:
    """Say no in plain text; send a browser that brings no session to the login, and back."""
    browser = "text/html" in request.headers.get("accept", "")
    if error.status_code == status.HTTP_401_UNAUTHORIZED and browser and COOKIE_NAME_JWT_TOKEN not in request.cookies:
        return RedirectResponse(_login(request))
    return PlainTextResponse(str(error.detail), error.status_code)


def _login(request: Request) -> str:
    """Return the address of Airflow's login that leads back here. A path, so that it stays on this server."""
    query = f"?{request.url.query}" if request.url.query else ""
    back = quote(request.scope["path"], safe="/") + query
    return f"{urlsplit(_compat.base_url()).path}/api/v2/auth/login?{urlencode({'next': back})}"
