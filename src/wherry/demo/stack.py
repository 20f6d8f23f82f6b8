"""The demo's parts, started in their order and stopped together: warehouses, cluster, teams, releases, Airflow."""

import os
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from rich.console import Console

from wherry.demo.airflow import NO_LOG_SERVER, USER, AirflowApi, AirflowSettings, program, warm_up, write_password_file
from wherry.demo.layout import EMULATOR_PYTHON, REPOSITORY, Layout
from wherry.demo.ports import free_port
from wherry.demo.postgres import Postgres
from wherry.demo.processes import Processes, Program, inherited_environment, run_together
from wherry.demo.raw import load_raw
from wherry.demo.state import Running, State
from wherry.demo.steps import step
from wherry.demo.tenants import Secret, apply_team, postgres_databases, warehouse_secrets
from wherry.errors import WherryError
from wherry.release import Release, build_release
from wherry.teams import Team, load_teams, pool_entries


class Stack:
    """Everything that the demo starts; leaving the `with` block stops it all."""

    triggerer_niceness = 19  # no DAG of ours defers

    def __init__(self, layout: Layout, console: Console) -> None:
        self.layout = layout
        self._console = console
        self._state = State(layout.state)
        self._processes = Processes(layout.state)
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        self._exit.enter_context(self._state.lock())
        try:
            self._start()
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._console.status("stopping"):
            self._exit.close()

    def pids(self) -> dict[str, int]:
        """The process ids of the demo's programs, by their names."""
        return self._processes.pids()

    def check(self) -> None:
        """Raise a `WherryError` when one of the demo's programs has died."""
        self._processes.check()

    def release(self, team: Team, project: str) -> Release:
        """Release one of a team's projects to the demo's Airflow."""
        return build_release(team, project, self.layout.releases, root=self.layout.repository).release

    def _start(self) -> None:
        self.began = datetime.now(UTC)
        os.environ.update(self.layout.environment())
        self.teams: tuple[Team, ...] = load_teams(self.layout.teams)
        self._processes.stop_leftovers()
        self._exit.callback(self._processes.stop)
        with step(self._console, "PostgreSQL"):
            postgres = self._exit.enter_context(self._postgres())
        self.settings = self._airflow_settings(postgres)
        self._start_emulator()
        self._start_cluster()
        with step(self._console, "Airflow's database"):
            self._migrate()
        self._processes.start(program(self.settings, "api-server"))
        Thread(target=warm_up, args=[self.settings], daemon=True).start()
        self._processes.start(program(self.settings, "scheduler", *NO_LOG_SERVER))
        with step(self._console, "cluster and warehouses, a namespace per team"):
            secrets = self._apply_teams(postgres)
        with step(self._console, "raw data and releases"):
            self._load_and_release(secrets)
        self._processes.start(program(self.settings, "dag-processor"))
        self._processes.start(program(self.settings, "triggerer", *NO_LOG_SERVER, niceness=self.triggerer_niceness))
        with step(self._console, "Airflow"):
            self.api = AirflowApi(self.settings.url, self.settings.password)
            self.api.wait_until_ready(self.check)
            self.api.set_pools(pool_entries(self.teams))
        self._state.write_running(
            Running(os.getpid(), self.settings.url, USER, self.settings.password, str(self.layout.kubeconfig))
        )

    def _postgres(self) -> Postgres:
        """One server: Airflow's own database, and the warehouses of the teams that use PostgreSQL."""
        databases = {"airflow": "airflow", **postgres_databases(self.teams)}
        roles = dict.fromkeys(databases.values(), self._state.secrets().postgres)
        return Postgres(self._state.folder / "postgres", roles=roles, databases=databases)

    def _airflow_settings(self, postgres: Postgres) -> AirflowSettings:
        secrets = self._state.secrets()
        settings = AirflowSettings(
            home=self._state.folder / "airflow",
            dags=self.layout.dags,
            database=postgres.url("airflow", driver="postgresql+psycopg2"),
            port=free_port(8080),
            password=secrets.admin,
            secret=secrets.airflow,
            fernet_key=secrets.fernet,
            environment={"PYTHONPATH": str(REPOSITORY / "images/airflow"), **self.layout.environment()},
        )
        write_password_file(settings)
        return settings

    def _start_emulator(self) -> None:
        self.layout.emulator_address.unlink(missing_ok=True)
        argv = [str(EMULATOR_PYTHON), "-m", "snowflake_emulator", "--port", "0"]
        argv += ["--port-file", str(self.layout.emulator_address), "--db-path", str(self._state.folder / "snowflake")]
        self._processes.start(Program("snowflake-emulator", argv, inherited_environment()))

    def _start_cluster(self) -> None:
        self.layout.kubeconfig.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "wherry.localcluster", "--data", str(self._state.folder / "cluster")]
        argv += ["--images", str(self.layout.images), "--kubeconfig", str(self.layout.kubeconfig)]
        self._processes.start(Program("localcluster", argv, inherited_environment()))

    def _migrate(self) -> None:
        """Bring Airflow's database up to date, once for each version of the environment."""
        done = self._state.folder / "airflow" / "migrated"
        wanted = (REPOSITORY / "uv.lock").read_text()
        if not done.exists() or done.read_text() != wanted:
            self._processes.run(program(self.settings, "db", "migrate"))
            done.write_text(wanted)

    def _apply_teams(self, postgres: Postgres) -> dict[str, Secret]:
        self._wait_for(self.layout.kubeconfig)
        self._wait_for(self.layout.emulator_address)
        emulator = self.layout.emulator_address.read_text().strip()
        secrets = warehouse_secrets(self.teams, postgres.port, emulator, self._state.secrets().postgres)
        for team in self.teams:
            apply_team(self.layout.kubeconfig, team, secrets[team.name])
        return secrets

    def _load_and_release(self, secrets: dict[str, Secret]) -> None:
        projects = [(team, name, project) for team in self.teams for name, project in team.projects.items()]
        loads = [partial(load_raw, t, project, secrets[t.name], self.layout.repository) for t, _, project in projects]
        run_together([*loads, *(partial(self.release, team, name) for team, name, _ in projects)])

    def _wait_for(self, file: Path, timeout: float = 60) -> None:
        """Wait until a program has written the file that says where it listens."""
        deadline = time.monotonic() + timeout
        while not file.exists():
            self.check()
            if time.monotonic() > deadline:
                raise WherryError(f"{file.name} was not written within {timeout:.0f} s; see {self._state.folder}/logs")
            time.sleep(0.05)
