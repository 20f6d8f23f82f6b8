"""A real API server with the FAB auth manager on PostgreSQL, with the sample teams' DAGs and a user of each team."""

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg2
from cryptography.fernet import Fernet

from tests.graph.shop import manifest, node
from tests.releases import write_release
from wherry.demo.airflow import AirflowApi, AirflowSettings, environment, program
from wherry.demo.layout import REPOSITORY
from wherry.demo.ports import free_port
from wherry.demo.postgres import Postgres
from wherry.demo.processes import Processes
from wherry.teams import load_teams

RUN, TASK = "r1", "orders.build"
PASSWORD = secrets.token_urlsafe(12)
TEAMS = REPOSITORY / "k8s/teams"
DAGS = {"finance": "finance__finance", "growth": "growth__growth"}
FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"


@dataclass(frozen=True)
class Server:
    """Where it answers, and how its programs are run."""

    settings: AirflowSettings

    @property
    def url(self) -> str:
        return self.settings.url

    def run(self, *commands: list[str], **env: str) -> str:
        """Run command lines of `airflow` and `wherry` against its database; what they printed."""
        argv = [sys.executable, "-m", "tests.auth.commands", json.dumps(commands)]
        env = environment(self.settings) | env
        done = subprocess.run(argv, cwd=REPOSITORY, env=env, check=False, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def client(self, user: str) -> httpx.Client:
        """A client with the user's own token, as a person gets it by their password."""
        answer = httpx.post(f"{self.url}/auth/token", json={"username": user, "password": PASSWORD}, timeout=30)
        assert answer.status_code == 201, answer.text
        token = answer.json()["access_token"]
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=120)


def create_user(name: str, role: str) -> list[str]:
    """The command that makes a user, as docs/how-to/give-people-access.md gives it."""
    return ["airflow", "users", "create", "--username", name, "--role", role, "--password", PASSWORD,
            "--firstname", name, "--lastname", "Test", "--email", f"{name}@example.com"]  # fmt: skip


@contextmanager
def running(folder: Path, config: str = "") -> Iterator[Server]:
    """Start it, and stop it; `config` is its webserver_config.py."""
    releases = folder / "releases"
    stg, orders = node("model", "stg"), node("model", "orders", "model.shop.stg")
    for team in load_teams(TEAMS):
        for project in team.projects:
            write_release(releases, team, project, manifest(stg, orders))
    (folder / "webserver_config.py").write_text(config)
    with Postgres(folder / "postgres", roles={"airflow": "airflow"}, databases={"airflow": "airflow"}) as postgres:
        server = Server(settings(folder, postgres, releases))
        server.run(
            ["airflow", "db", "migrate"],
            ["wherry", "roles", "--apply", "--teams", str(TEAMS)],
            create_user("admin", "Admin"),
            create_user("ana", "team-finance"),
            create_user("jonas", "team-growth"),
            ["airflow", "dags", "reserialize"],
        )
        processes = Processes(folder)
        try:
            processes.start(program(server.settings, "api-server"))
            AirflowApi(server.url, PASSWORD).wait_until_ready(processes.check, timeout=600)
            with server.client("admin") as admin:
                for dag_id in DAGS.values():
                    give_history(admin, dag_id, folder / "logs")
            _give_tries(postgres)
            yield server
        finally:
            processes.stop()


def give_history(admin: httpx.Client, dag_id: str, logs: Path) -> None:
    """A run with a failed task, its result and log, and a backfill: something to look at and to meddle with."""
    task = f"/api/v2/dags/{dag_id}/dagRuns/{RUN}/taskInstances/{TASK}"
    secret = f"only for those who may see {dag_id}"
    for method, path, body in (
        ("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "dag_run_id": RUN}),
        ("PATCH", task, {"new_state": "failed"}),
        ("POST", f"{task}/xcomEntries", {"key": "return_value", "value": secret}),
        ("POST", "/api/v2/backfills", backfill(dag_id)),
    ):
        answer = admin.request(method, path, json=body)
        assert answer.is_success, answer.text
    log = logs / f"dag_id={dag_id}/run_id={RUN}/task_id={TASK}/attempt=1.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"{secret}\n")


def backfill(dag_id: str) -> dict[str, Any]:
    """The body of a request for a backfill of two runs."""
    return {"dag_id": dag_id, "from_date": "2025-06-01T00:00:00Z", "to_date": "2025-06-02T00:00:00Z"}


def _give_tries(postgres: Postgres) -> None:
    """What only a scheduler and a dag-processor write: a first try, and a warning about each DAG."""
    with closing(psycopg2.connect(postgres.url("airflow"))) as connection, connection, connection.cursor() as cursor:
        cursor.execute("update task_instance set try_number = 1")
        for dag_id in DAGS.values():
            cursor.execute("insert into dag_warning values (%s, 'non-existent pool', %s, now())", (dag_id, dag_id))


def settings(folder: Path, postgres: Postgres, releases: Path) -> AirflowSettings:
    more = {
        "AIRFLOW__CORE__AUTH_MANAGER": FAB,
        "AIRFLOW__FAB__CONFIG_FILE": str(folder / "webserver_config.py"),
        "WHERRY_RELEASES": str(releases),
    }
    return AirflowSettings(
        home=folder, dags=REPOSITORY / "dags", database=postgres.url("airflow", driver="postgresql+psycopg2"),
        port=free_port(0), password=PASSWORD, secret=secrets.token_hex(32), fernet_key=Fernet.generate_key().decode(),
        environment=more,
    )  # fmt: skip
