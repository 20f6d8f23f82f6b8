"""What the demo keeps under its state folder: secrets made once, and a note of the running demo."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from wherry.errors import WherryError


@dataclass(frozen=True)
class Secrets:
    """Passwords and keys of one demo; they never leave this machine."""

    admin: str
    airflow: str
    fernet: str
    postgres: str


@dataclass(frozen=True)
class Running:
    """The running demo, as another terminal needs to know it."""

    pid: int
    url: str
    user: str
    password: str
    kubeconfig: str


@dataclass(frozen=True)
class State:
    """The state folder's files."""

    folder: Path

    def secrets(self) -> Secrets:
        """The demo's secrets, made at the first call and kept readable by the owner only."""
        file = self.folder / "secrets.json"
        if not file.exists():
            from cryptography.fernet import Fernet

            made = Secrets(
                admin=secrets.token_urlsafe(9),
                airflow=secrets.token_urlsafe(48),
                fernet=Fernet.generate_key().decode(),
                postgres=secrets.token_urlsafe(18),
            )
            write_private(file, json.dumps(asdict(made)))
        return Secrets(**json.loads(file.read_text()))

    def running(self) -> Running | None:
        """The demo that runs now, if one does."""
        try:
            running = Running(**json.loads((self.folder / "running.json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return running if self._is_locked() else None

    def write_running(self, running: Running) -> None:
        """Note where the demo answers."""
        write_private(self.folder / "running.json", json.dumps(asdict(running)))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one demo.

        Raises:
            WherryError: a demo runs already.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                running = self.running()
                where = f" at {running.url} (login {running.user} / {running.password})" if running else ""
                raise WherryError(
                    f"the demo is running already{where}.\nStop it with Ctrl-C in its terminal, or: ./taskw demo:down"
                ) from None
            try:
                yield
            finally:
                (self.folder / "running.json").unlink(missing_ok=True)

    def _is_locked(self) -> bool:
        with (self.folder / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, all or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{os.getpid()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
    new.replace(file)
