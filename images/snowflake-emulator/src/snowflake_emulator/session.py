"""What the emulator remembers of each client session, and of grants, beside fakesnow's own connection."""

import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import count
from weakref import WeakKeyDictionary

from fakesnow.conn import FakeSnowflakeConnection

_ids = count(int(time.time()) * 1000)  # unlike those of an earlier process: an old client must not cancel a new one


@dataclass
class Session:
    """One login: its context functions, its query tag, and the temporary objects to drop when it ends."""

    id: int = field(default_factory=lambda: next(_ids))
    user: str = "DBT"
    role: str = "SYSADMIN"
    warehouse: str = "COMPUTE_WH"
    query_tag: str = ""
    temporary: list[tuple[str, str]] = field(default_factory=list)
    """(kind, qualified name) of what was created as TEMPORARY: ("TABLE", "DB.SCHEMA.NAME")."""
    used: float = field(default_factory=time.monotonic)
    """When its last request came, on the monotonic clock."""


_sessions: WeakKeyDictionary[FakeSnowflakeConnection, Session] = WeakKeyDictionary()


def session_of(connection: FakeSnowflakeConnection) -> Session:
    """The session of a fakesnow connection, made at its first use."""
    return _sessions.setdefault(connection, Session())


def connection_of(session_id: int) -> FakeSnowflakeConnection | None:
    """The connection whose session has this id; None when it has logged out."""
    return next((c for c, s in _sessions.items() if s.id == session_id), None)


class Grants:
    """Grants as `SHOW GRANTS` lists them: remembered for dbt's diff, never enforced, lost at a restart."""

    def __init__(self) -> None:
        """Begin with no grants."""
        self._by_object: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)

    def grant(self, name: str, privilege: str, role: str) -> None:
        """Record a privilege on an object for a role."""
        self._by_object[name.upper()].add((privilege.upper(), role.upper()))

    def revoke(self, name: str, privilege: str, role: str) -> None:
        """Forget a privilege; it need not be there."""
        self._by_object[name.upper()].discard((privilege.upper(), role.upper()))

    def on(self, name: str) -> list[tuple[str, str]]:
        """(privilege, role) pairs on an object, sorted."""
        return sorted(self._by_object.get(name.upper(), ()))


GRANTS = Grants()
