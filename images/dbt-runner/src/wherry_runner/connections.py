"""What is done to the connections that dbt opens: their time is told, and PostgreSQL's are used again.

dbt opens one for each name (a list of schemas, a model, a test, ...), seven for a node with two tests, and closes it.
Snowflake's adapter uses them again by itself. On PostgreSQL each costs both sides 10 ms of CPU, mostly for a password.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable
from typing import Any, Final

_MOST_IDLE: Final = 60.0  # seconds; what is between here and the server may forget a connection without a word


def time_connections(tell: Callable[[float], None]) -> None:
    """Tell how long each connection takes to open."""

    def timed(open_: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def open_and_tell(connection: Any) -> Any:
            began = time.perf_counter()
            try:
                return open_(connection)
            finally:
                tell(time.perf_counter() - began)

        return open_and_tell

    for manager in _managers():
        manager.open = timed(type(manager).open)


class Reuse:
    """Keeps PostgreSQL's sessions when they are closed, for who opens the next.

    A session that is used again is like a new one (DISCARD ALL), but for libraries that were loaded, and for settings
    of one's own making, which are empty instead of unknown. With a `role` in the profile, which dbt sets when it opens
    a connection, none is kept.
    """

    def __init__(self) -> None:
        self._idle: list[tuple[float, Any]] = []
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Do so from now on, on all adapters that dbt has made."""
        for manager in _managers():
            if manager.TYPE == "postgres" and not manager.profile.credentials.role:
                manager.open, manager.close = self._opening(manager.open), self._closing(manager.close)

    def end(self) -> None:
        """Close what is kept."""
        while self._idle:
            self._idle.pop()[1].close()

    def _opening(self, open_: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def take_or_open(connection: Any) -> Any:
            session = None if connection.state == "open" else self._take()
            if session is None:
                return open_(connection)
            connection.handle, connection.state = session, "open"
            return connection

        return take_or_open

    def _closing(self, close: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def keep_or_close(connection: Any) -> Any:
            session = connection.handle if connection.state == "open" else None
            if session is None or not _like_new(session):
                return close(connection)
            connection.handle, connection.state, connection.transaction_open = None, "closed", False
            with self._lock:  # from here on it is another's
                self._idle.append((time.monotonic(), session))
            return connection

        return keep_or_close

    def _take(self) -> Any:
        """Return the session that was kept last and is still there, or None."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                since, session = self._idle.pop()
            if time.monotonic() - since <= _MOST_IDLE and not _has_news(session):
                return session
            session.close()


def _like_new(session: Any) -> bool:
    """Make a session what it was when it was opened; return whether that went well."""
    try:
        session.rollback()
        autocommit, session.autocommit = session.autocommit, True
        with session.cursor() as cursor:
            cursor.execute("DISCARD ALL")
            cursor.execute("RESET ROLE")  # to what ALTER ROLE ... SET role gave the session
        session.autocommit = autocommit
    except Exception:  # its own reasons, from a lost connection to a pooler that forbids it
        return False
    return True


def _has_news(session: Any) -> bool:
    """Return whether the server has said something unasked: that it ended the session, or the connection its end."""
    return bool(select.select([session], [], [], 0)[0])


def _managers() -> list[Any]:
    """Return the managers of connections of the adapters that dbt has made."""
    from dbt.adapters.factory import FACTORY

    return [adapter.connections for adapter in FACTORY.adapters.values()]
