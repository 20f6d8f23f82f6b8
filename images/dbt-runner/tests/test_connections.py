"""One node's connections to PostgreSQL: few are opened, and one that is used again is like a new one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from conftest import Release, run_node
from wherry_runner import connections

Ask = Callable[..., list[tuple[Any, ...]]]


@dataclass
class Manager:
    """What dbt's manager of connections does, on a real PostgreSQL."""

    where: dict[str, str]
    role: str | None = None
    TYPE: str = "postgres"
    opened: int = 0

    @property
    def profile(self) -> Any:
        return SimpleNamespace(credentials=SimpleNamespace(role=self.role))

    def open(self, connection: Any) -> Any:
        self.opened += 1
        connection.handle = psycopg2.connect(host=self.where["PG_HOST"], user="postgres", dbname="postgres")
        connection.state = "open"
        return connection

    def close(self, connection: Any) -> Any:
        connection.handle.close()
        connection.state = "closed"
        return connection


@pytest.fixture
def manager(postgres: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Manager:
    """The only manager there is."""
    one = Manager(postgres)
    monkeypatch.setattr(connections, "_managers", lambda: [one])
    return one


def new() -> Any:
    return SimpleNamespace(handle=None, state="init", transaction_open=False)


def ask(connection: Any, query: str) -> Any:
    with connection.handle.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0] if cursor.description else None


def test_a_session_that_is_used_again_is_like_a_new_one(manager: Manager) -> None:
    """Settings, temporary tables, locks and what wasn't committed are gone; the server's process is the same."""
    reuse = connections.Reuse()
    reuse.begin()
    first = manager.open(new())
    process, path = ask(first, "select pg_backend_pid()"), ask(first, "show search_path")
    ask(first, "create table public.never_committed (id int)")
    ask(first, "create temporary table leftover (id int)")
    ask(first, "set search_path to pg_catalog")
    ask(first, "select pg_advisory_lock(77)")
    manager.close(first)
    assert (first.handle, first.state) == (None, "closed")
    second = manager.open(new())
    assert (ask(second, "select pg_backend_pid()"), ask(second, "show search_path")) == (process, path)
    assert ask(second, "select to_regclass('leftover')") is None
    assert ask(second, "select to_regclass('public.never_committed')") is None
    assert ask(second, "select count(*) from pg_locks where locktype = 'advisory'") == 0
    assert second.handle.autocommit is False
    third = manager.open(new())
    assert (ask(third, "select pg_backend_pid()") != process, manager.opened) == (True, 2)
    for connection in (second, third):
        manager.close(connection)
    reuse.end()


def test_a_broken_session_is_not_kept(manager: Manager, sql: Ask) -> None:
    """What the server has ended is closed; the next one is opened."""
    reuse = connections.Reuse()
    reuse.begin()
    first = manager.open(new())
    sql(f"select pg_terminate_backend({ask(first, 'select pg_backend_pid()')})")
    manager.close(first)
    assert ask(manager.open(new()), "select 1") == 1
    assert manager.opened == 2


def test_a_session_that_has_idled_for_long_is_not_used(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something between here and the server may have forgotten it."""
    monkeypatch.setattr(connections, "_MOST_IDLE", 0.0)
    reuse = connections.Reuse()
    reuse.begin()
    manager.close(manager.open(new()))
    assert ask(manager.open(new()), "select 1") == 1
    assert manager.opened == 2


def test_a_session_that_ends_while_it_is_kept_is_not_used(manager: Manager, sql: Ask) -> None:
    """A restart of the server, or its `idle_session_timeout`: dbt opens a new one, with its retries."""
    reuse = connections.Reuse()
    reuse.begin()
    first = manager.open(new())
    process = ask(first, "select pg_backend_pid()")
    manager.close(first)
    sql(f"select pg_terminate_backend({process}, 5000)")
    assert ask(manager.open(new()), "select 1") == 1
    assert manager.opened == 2


def test_a_session_has_the_role_that_it_was_opened_with(manager: Manager, sql: Ask) -> None:
    """As a database gives it to who logs in (ALTER ROLE ... SET role), whatever was set meanwhile."""
    sql("drop role if exists owner_of_all; create role owner_of_all; alter role postgres set role = 'owner_of_all'")
    try:
        reuse = connections.Reuse()
        reuse.begin()
        first = manager.open(new())
        assert ask(first, "select current_user") == "owner_of_all"
        ask(first, "set role postgres")
        first.handle.commit()
        manager.close(first)
        assert ask(manager.open(new()), "select current_user") == "owner_of_all"
        assert manager.opened == 1
        reuse.end()
    finally:
        sql("set role none; alter role postgres reset role; drop role owner_of_all")


@pytest.mark.parametrize("other", [{"role": "reporter"}, {"TYPE": "snowflake"}], ids=["a role", "Snowflake"])
def test_others_are_left_alone(manager: Manager, other: dict[str, str]) -> None:
    """A role is set by dbt when it opens a connection; Snowflake's adapter uses its sessions again by itself."""
    for name, value in other.items():
        setattr(manager, name, value)
    connections.Reuse().begin()
    manager.close(manager.open(new()))
    manager.close(manager.open(new()))
    assert manager.opened == 2


def test_a_node_opens_few_connections(shop: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model with hooks and three tests takes as many sessions as work at once: dbt would open seven."""
    opened: list[Any] = []
    connect = psycopg2.connect
    monkeypatch.setattr(psycopg2, "connect", lambda *args, **more: opened.append(more) or connect(*args, **more))
    assert run_node(shop, "model.shop.orders", "build").code == 0
    assert 1 <= len(opened) <= 4, opened
