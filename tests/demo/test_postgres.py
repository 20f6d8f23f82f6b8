"""The embedded PostgreSQL, really started."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from wherry.demo import supervise
from wherry.demo.postgres import Postgres
from wherry.errors import WherryError

ROLES, DATABASES = {"ana": "it's a p@ss/word"}, {"shop": "ana", "airflow": "postgres"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Below a folder that is closed to everybody else, as /root is: pytest makes its own so."""
    folder = tmp_path_factory.mktemp("closed")
    folder.chmod(0o700)
    return folder / "postgres"


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Postgres]:
    with Postgres(folder, roles=ROLES, databases=DATABASES) as server:
        yield server


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


def test_owner_works_in_their_database(server: Postgres) -> None:
    """The URL of a database logs its owner in, who may create schemas there."""
    with psycopg2.connect(server.url("shop")) as connection, connection.cursor() as cursor:
        cursor.execute("create schema analytics; select current_user, current_database()")
        assert cursor.fetchall() == [("ana", "shop")]


def test_other_databases_are_the_superusers(server: Postgres) -> None:
    """A database that nobody was named for belongs to postgres."""
    assert query(server.url("airflow"), "select current_user, rolsuper from pg_roles where rolname = current_user") == [
        ("postgres", True)
    ]
    assert server.url("airflow", driver="postgresql+psycopg2").startswith("postgresql+psycopg2://postgres:")


def test_a_wrong_password_is_refused(server: Postgres) -> None:
    """Nobody on the machine gets in by just asking."""
    url = server.url("shop").replace("word@", "wrong@")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(url)


def test_it_listens_on_loopback_only(server: Postgres) -> None:
    """Neither other machines nor Unix sockets reach it."""
    assert query(server.url(), "show listen_addresses") == [("127.0.0.1",)]
    assert query(server.url(), "show unix_socket_directories") == [("",)]


def test_it_does_not_run_as_root(server: Postgres) -> None:
    """PostgreSQL would refuse to."""
    ((pid,),) = query(server.url(), "select pg_backend_pid()")  # any of its processes; this one has gone by now
    owner = (server.folder / "data").stat().st_uid
    assert pid
    assert owner != 0
    assert owner == os.geteuid() or os.geteuid() == 0


def test_superusers_password_is_for_its_owner_only(server: Postgres) -> None:
    """The file with the generated password can't be read by others."""
    assert (server.folder / "superuser-password").stat().st_mode & 0o077 == 0


def test_data_outlive_a_stop(folder: Path, tmp_path: Path) -> None:
    """Stopping is quick with a client connected; what was there is there again, with new passwords."""
    own = tmp_path / "postgres"
    with Postgres(own, roles={"ana": "one"}, databases={"shop": "ana"}) as first:
        connection = psycopg2.connect(first.url("shop"))
        connection.cursor().execute("create table kept as select 42 as n")
        connection.commit()
        began = time.monotonic()
    assert time.monotonic() - began < 5
    with Postgres(own, roles={"ana": "two"}, databases={"shop": "ana", "more": "ana"}) as second:
        assert query(second.url("shop"), "select n from kept") == [(42,)]
        assert query(second.url("more"), "select 1") == [(1,)]
    second.stop()  # once more does no harm


def test_a_taken_port_is_said(folder: Path, tmp_path: Path) -> None:
    """The error holds the port and PostgreSQL's own words; nothing keeps running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WherryError, match=rf"(?s)127\.0\.0\.1:{port}.*Address already in use"):
            Postgres(tmp_path / "postgres", port=port).start()
    assert not (tmp_path / "postgres/data/postmaster.pid").exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_its_parent(tmp_path: Path, how: signal.Signals) -> None:
    """Whatever kills the process that started it, the server is stopped too."""
    script = f"""
        import time
        from pathlib import Path
        from wherry.demo.postgres import Postgres
        server = Postgres(Path({str(tmp_path)!r}) / "postgres").start()
        print(server.port, flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert parent.stdout is not None
    port = int(parent.stdout.readline())
    parent.send_signal(how)
    parent.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.1)
    pytest.fail("the server still listens")


def test_it_ends_with_its_supervisor(folder: Path, tmp_path: Path) -> None:
    """Even the supervisor may be killed."""
    server = Postgres(tmp_path / "postgres").start()
    process = server._process
    assert process is not None
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while (server.folder / "data/postmaster.pid").exists():
        assert time.monotonic() < deadline, "the server still runs"
        time.sleep(0.1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_works_for_an_ordinary_user() -> None:
    """Started by a user who is not root, the server is that user's."""
    script = """
        import os, tempfile
        from pathlib import Path
        import psycopg2
        from wherry.demo.postgres import Postgres
        with tempfile.TemporaryDirectory() as folder, Postgres(Path(folder) / "postgres") as server:
            psycopg2.connect(server.url()).close()
            print(os.geteuid() == (Path(folder) / "postgres/data").stat().st_uid != 0)
    """
    become = [sys.executable, supervise.__file__, "--nobody", "--keep-access", "--"]
    command = [*become, sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/") as process:
        assert process.stdout is not None
        assert process.stdout.read() == "True\n"


def test_an_initialisation_that_was_killed_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever initdb had written when everything was killed, the next start has a whole data folder."""

    def killed(_: Postgres, program: str, *arguments: str) -> None:
        assert program == "initdb"
        Path(arguments[1], "PG_VERSION").write_text("17\n")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Postgres, "_run", killed)
        with pytest.raises(KeyboardInterrupt):
            Postgres(tmp_path).start()
    with Postgres(tmp_path) as postgres:
        psycopg2.connect(postgres.url()).close()
