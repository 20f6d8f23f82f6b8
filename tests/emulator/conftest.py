"""A running emulator, and a client in the runner's environment that speaks to it by the real connector."""

import itertools
import json
import os
import pickle
import shlex
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
EMULATOR_PYTHON = REPOSITORY / "images/snowflake-emulator/.venv/bin/python"
RUNNER_PYTHON = REPOSITORY / "images/dbt-runner/.venv/bin/python"
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


class SqlError(Exception):
    """What the connector raised: `number`, `state` and the message."""

    def __init__(self, number: int, state: str, message: str) -> None:
        super().__init__(message)
        self.number, self.state = number, state


class Emulator:
    """The emulator as a process over a folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self._address = folder, folder / "address"
        self._options = [*options, *shlex.split(os.environ.get("SNOWFLAKE_EMULATOR_OPTIONS", ""))]
        self.start()

    def start(self) -> None:
        self._address.unlink(missing_ok=True)
        paths = ["--db-path", str(self.folder / "db"), "--port-file", str(self._address)]
        command = [str(EMULATOR_PYTHON), "-m", "snowflake_emulator", "--port", "0", *paths, *self._options]
        self.process = subprocess.Popen(command, env=ENVIRONMENT)
        deadline = time.monotonic() + 30
        while not self._address.exists():
            assert self.process.poll() is None, "the emulator ended while it started"
            assert time.monotonic() < deadline, "the emulator did not say where it listens"
            time.sleep(0.02)
        self.port = int(self._address.read_text().rpartition(":")[2])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> float:
        """Send the signal, wait; the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(30)
        return time.monotonic() - began

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz") as response:
            return json.load(response)


class Client:
    """The process that holds the connector's sessions."""

    def __init__(self) -> None:
        command = [str(RUNNER_PYTHON), str(Path(__file__).with_name("client.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT)
        self._names = (f"session{n}" for n in itertools.count())

    def tell(self, *request: Any) -> None:
        pickle.dump(request, self._process.stdin)
        self._process.stdin.flush()

    def ask(self, *request: Any) -> Any:
        self.tell(*request)
        return pickle.load(self._process.stdout)

    def connect(self, emulator: Emulator, **facts: Any) -> "Session":
        session = Session(self, next(self._names))
        self.ask("connect", session.name, emulator.port, facts)
        return session

    def stop(self) -> None:
        self._process.communicate()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


class Session:
    """A login of the connector."""

    def __init__(self, client: Client, name: str) -> None:
        self._client, self.name = client, name
        self.types: dict[str, int] = {}

    def __call__(self, statement: str) -> list[tuple[Any, ...]]:
        """The statement's rows; raises SqlError."""
        kind, *answer = self._client.ask("run", self.name, statement)
        if kind == "error":
            raise SqlError(*answer)
        rows, self.types = answer
        return rows

    def close(self) -> None:
        self._client.ask("close", self.name)


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.stop()


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path_factory.mktemp("emulator"))
    yield emulator
    if emulator.process.poll() is None:
        emulator.stop()


@pytest.fixture
def sql(client: Client, emulator: Emulator) -> Iterator[Session]:
    session = client.connect(emulator)
    yield session
    session.close()
