"""What outlives the emulator's process, and how it ends."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import EMULATOR_PYTHON, Client, Emulator, SqlError


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Emulator]:
    """An emulator that a test may stop; sessions end after a second without a request."""
    emulator = Emulator(tmp_path, "--idle-limit", "1")
    yield emulator
    if emulator.process.poll() is None:
        emulator.stop(signal.SIGKILL)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_committed_data_outlives_the_process(client: Client, own: Emulator, how: signal.Signals) -> None:
    """A stop with a client connected is quick, and tables, views and comments are there again."""
    session = client.connect(own)
    session("create table kept as select 1 as id, 'a' as name")
    session("comment on table kept is 'a table'")
    session("create view seen as select id from kept")
    session("begin")
    session("insert into kept values (2, 'not committed')")

    assert own.stop(how) < 4
    own.start()

    again = client.connect(own)
    assert again("select * from kept") == [(1, "a")]
    assert again("select * from seen") == [(1,)]
    assert again("select comment from information_schema.tables where table_name = 'KEPT'") == [("a table",)]
    again.close()


def test_stop_does_not_wait_for_a_running_query(own: Emulator) -> None:
    """SIGTERM interrupts what runs."""
    client = Client()
    session = client.connect(own)
    client.tell("run", session.name, "select count(*) from range(200000) a, range(200000) b where a.range % 7 = 3")
    time.sleep(1)
    assert own.stop() < 4
    client.kill()


def test_killed_clients_session_ends(client: Client, own: Emulator) -> None:
    """What a client left behind that never logged out is dropped when another logs in after the idle limit."""
    killed = Client()
    killed.connect(own)("create temporary table db.s.left_behind as select 1 as one")
    killed.kill()
    time.sleep(1.1)
    session = client.connect(own)
    assert own.health()["sessions"] == 1
    with pytest.raises(SqlError, match="does not exist"):
        session("select * from db.s.left_behind")
    session.close()


def test_second_emulator_over_a_folder_is_refused(own: Emulator) -> None:
    """DuckDB's files have one writer; the error names the folder and holds no traceback."""
    command = [str(EMULATOR_PYTHON), "-m", "snowflake_emulator", "--port", "0", "--db-path", str(own.folder / "db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{own.folder / 'db'} can't be opened" in done.stderr
    assert "Traceback" not in done.stderr
