"""What the demo keeps in its folder."""

import stat
from pathlib import Path

import pytest

from wherry.demo.state import Running, State
from wherry.errors import WherryError

RUNNING = Running(pid=1, url="http://127.0.0.1:8080", user="admin", password="p", kubeconfig="/k")


def test_secrets_are_made_once_and_readable_by_the_owner_only(tmp_path: Path):
    """The second call returns what the first one made; nobody else can read the file."""
    first = State(tmp_path).secrets()
    assert State(tmp_path).secrets() == first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert len({first.admin, first.airflow, first.fernet, first.postgres}) == 4


def test_a_second_demo_is_told_where_the_first_one_is(tmp_path: Path):
    """Two demos never share a folder: the second one names the first one's address and login."""
    state = State(tmp_path)
    with state.lock():
        state.write_running(RUNNING)
        with (
            pytest.raises(WherryError, match=r"running already at http://127.0.0.1:8080 \(login admin / p\)"),
            State(tmp_path).lock(),
        ):
            pass


def test_a_demo_is_known_while_it_runs_and_no_longer(tmp_path: Path):
    """`running` answers from the lock, so a note left by a killed demo does not count."""
    state = State(tmp_path)
    with state.lock():
        state.write_running(RUNNING)
        assert state.running() == RUNNING
    assert state.running() is None
    state.write_running(RUNNING)
    assert state.running() is None
