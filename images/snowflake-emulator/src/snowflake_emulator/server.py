"""The HTTP application: fakesnow's routes, with logins, logouts and errors as the Snowflake clients expect them."""

import contextlib
import gzip
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import duckdb
import fakesnow.server as fakesnow_server  # `from fakesnow import server` is a function
from fakesnow.conn import FakeSnowflakeConnection
from snowflake.connector.errors import Error as SnowflakeError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from snowflake_emulator.session import session_of
from snowflake_emulator.storage import checkpoint, open_instance

log = logging.getLogger("fakesnow.server")

IDLE_LIMIT = 4 * 3600.0
"""Seconds without a request after which a session ends, as in Snowflake. Clients that were killed leave such."""


def create_app(folder: Path | None = None, idle_limit: float = IDLE_LIMIT) -> Starlette:
    """The application over the databases of a folder, or in memory. One in a process: fakesnow's state is global."""
    fs = fakesnow_server.shared_fs = open_instance(folder)
    ours = {
        fakesnow_server.login_request: login_request,
        fakesnow_server.query_request: query_request,
        fakesnow_server.session: session_request,
        "/queries/v1/abort-request": abort_request,
    }
    routes = [
        Route(r.path, ours.get(r.endpoint) or ours.get(r.path) or r.endpoint, methods=list(r.methods or ()))
        for r in fakesnow_server.routes
    ]

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        for connection in list(fakesnow_server.sessions.values()):
            connection._duck_conn.interrupt()  # a running statement would hold up the checkpoint
        checkpoint(fs)

    app = Starlette(routes=[*routes, Route("/healthz", health)], lifespan=lifespan)
    app.state.idle_limit = idle_limit
    return app


async def health(_request: Request) -> Response:
    """Answer 200 with the number of open sessions."""
    return JSONResponse({"ok": True, "sessions": len(fakesnow_server.sessions)})


async def login_request(request: Request) -> Response:
    """Log in as fakesnow does, and give what makes a client log out again.

    Without a masterToken the connector never sends its logout, and sessions pile up in the server.
    """
    idle_since = time.monotonic() - request.app.state.idle_limit
    for token in [t for t, c in fakesnow_server.sessions.items() if session_of(c).used < idle_since]:
        end_session(fakesnow_server.sessions.pop(token))
    answer = json.loads(bytes((await fakesnow_server.login_request(request)).body))
    data, query = answer["data"], request.query_params
    session = session_of(fakesnow_server.sessions[data["token"]])
    asked = _json(await request.body())["data"]
    session.user = (asked.get("LOGIN_NAME") or session.user).upper()
    session.query_tag = asked["SESSION_PARAMETERS"].get("QUERY_TAG", "")
    session.role = query.get("roleName", session.role).upper()
    session.warehouse = query.get("warehouse", session.warehouse).upper()
    data |= {
        "masterToken": data["token"],
        "sessionId": session.id,
        "validityInSeconds": 3600,
        "masterValidityInSeconds": int(IDLE_LIMIT),
    }
    return JSONResponse(answer)


async def query_request(request: Request) -> Response:
    """Run a statement; an error outside of it is a SQL error too, as the connector retries HTTP 500 for ever."""
    if connection := _connection(request):
        session_of(connection).used = time.monotonic()
    response = await fakesnow_server.query_request(request)
    if response.status_code != 500:
        return response
    message = json.loads(bytes(response.body)).get("message", "")
    return JSONResponse(
        {
            "success": False,
            "code": "000603",
            "message": f"emulator: internal error: {message[:2000]}",
            "data": {"errorCode": "000603", "sqlState": "XX000"},
        }
    )


async def session_request(request: Request) -> Response:
    """Heartbeat, or the end of a session with its temporary objects."""
    connection = _connection(request) if request.query_params.get("delete") else None
    response = await fakesnow_server.session(request)
    if connection is not None:
        end_session(connection)
    return response


async def abort_request(request: Request) -> Response:
    """Stop what the session is running (fakesnow only says that it did)."""
    if connection := _connection(request):
        connection._duck_conn.interrupt()
    return JSONResponse({"success": True})


def end_session(connection: FakeSnowflakeConnection) -> None:
    """Roll back, drop what was created as TEMPORARY, and free the DuckDB connection."""
    with contextlib.suppress(duckdb.Error):
        connection._duck_conn.rollback()
    for kind, name in session_of(connection).temporary:
        try:
            connection.cursor().execute(f"drop {kind} if exists {name}")
        except SnowflakeError as error:
            log.warning("temporary %s: %s", name, error)
    connection._duck_conn.close()


def _connection(request: Request) -> FakeSnowflakeConnection | None:
    with contextlib.suppress(fakesnow_server.ServerError):
        return fakesnow_server.sessions.get(fakesnow_server.to_token(request))
    return None


def _json(body: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
    return decoded
