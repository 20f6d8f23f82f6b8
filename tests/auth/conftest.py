"""One API server for all of these tests, and a client for each of its users."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.auth.server import Server, running
from tests.charts.conftest import helm, render  # noqa: F401  (fixtures)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Airflow's API server with the FAB auth manager: teams finance (ana) and growth (jonas), and an admin.

    Not in pytest's own folder: each pytest that starts closes it to PostgreSQL, which doesn't run as root.
    """
    with TemporaryDirectory(prefix="wherry-auth-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with running(folder) as up:
            yield up


@pytest.fixture(scope="session")
def client(server: Server) -> Callable[[str], httpx.Client]:
    """The client of a user: `client("ana")`."""
    return cache(server.client)
