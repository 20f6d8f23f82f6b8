"""Airflow as the demo runs it: its settings, its four programs, and the few REST calls that drive it."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from wherry.demo.processes import Program, inherited_environment
from wherry.errors import WherryError

USER = "admin"
_PATIENCE_SECONDS = 120.0
NO_LOG_SERVER = ("--skip-serve-logs",)
"""For a scheduler or triggerer: the API server reads the log files itself; theirs would listen on every address."""


@dataclass(frozen=True)
class AirflowSettings:
    """What Airflow needs to know of the demo; secrets are made once for each state folder."""

    home: Path
    dags: Path
    database: str
    port: int
    password: str
    secret: str
    fernet_key: str
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        """Where the UI answers."""
        return f"http://127.0.0.1:{self.port}"


def environment(settings: AirflowSettings) -> dict[str, str]:
    """The environment of every Airflow program: Airflow's own variables first, then the demo's."""
    bundle = {
        "name": "wherry",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(settings.dags), "refresh_interval": 5},
    }
    values = {
        "API__BASE_URL": settings.url,
        "API__HOST": "127.0.0.1",
        "API__PORT": str(settings.port),
        "API__SECRET_KEY": settings.secret,
        "API__WORKERS": "1",
        "API_AUTH__JWT_SECRET": settings.secret,
        "CORE__DAGBAG_IMPORT_TIMEOUT": "180",  # seconds on the clock: a busy laptop needs more than the 30 of a server
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "CORE__EXECUTION_API_SERVER_URL": f"{settings.url}/execution/",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__FERNET_KEY": settings.fernet_key,
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__PARALLELISM": str(max(8, 2 * (os.cpu_count() or 1))),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(settings.home / "passwords.json"),
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "COSMOS__ENABLE_CACHE": "False",
        "COSMOS__ENABLE_TELEMETRY": "False",
        "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "200",
        "DATABASE__SQL_ALCHEMY_CONN": settings.database,
        "LOGGING__BASE_LOG_FOLDER": str(settings.home / "logs"),
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "WORKERS__EXECUTION_API_TIMEOUT": "60",  # one API server for all tasks of a busy laptop: 5 s fail their tries
    }
    inherited = {k: v for k, v in inherited_environment().items() if not k.startswith("AIRFLOW_")}
    own = {f"AIRFLOW__{key}": value for key, value in values.items()}
    return {**inherited, **own, "AIRFLOW_HOME": str(settings.home), **settings.environment}


def write_password_file(settings: AirflowSettings) -> None:
    """Set the admin's password where Airflow's simple auth manager reads it."""
    settings.home.mkdir(parents=True, exist_ok=True)
    file = settings.home / "passwords.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps({USER: settings.password}))


def program(settings: AirflowSettings, *command: str, niceness: int = 0) -> Program:
    """One `airflow` command of this environment."""
    argv = [sys.executable, "-m", "airflow", *command]
    return Program(f"airflow-{command[0]}", argv, environment(settings), niceness)


def warm_up(settings: AirflowSettings, patience: float = _PATIENCE_SECONDS) -> None:
    """Ask an API server that starts for the health of its execution API, and wait for the answer; none is no error.

    The first request builds every version of that API: 6 s of CPU in which the server answers nobody, and at which the
    first tasks of all would otherwise meet.
    """
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{settings.url}/execution/health/ping", timeout=patience)
            return
        time.sleep(0.2)


class AirflowApi:
    """The REST calls that the demo makes, as the admin."""

    def __init__(self, url: str, password: str) -> None:
        self._url = url
        self._password = password
        self._http = httpx.Client(base_url=f"{url}/api/v2", timeout=30)

    def wait_until_ready(self, check: Callable[[], None], timeout: float = 120) -> None:
        """Wait until the API server answers, then log in; `check` raises when a program has died."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            check()
            try:
                answer = httpx.get(f"{self._url}/api/v2/version", timeout=5)
            except httpx.TransportError:
                time.sleep(0.2)
                continue
            if answer.is_success:
                return self.log_in()
            time.sleep(0.2)
        raise WherryError(f"Airflow's API server did not answer on {self._url} within {timeout:.0f} s.")

    def log_in(self) -> None:
        """Get a token; tokens that run out are renewed by themselves."""
        login = {"username": USER, "password": self._password}
        answer = self._request("POST", f"{self._url}/auth/token", login, again=True)
        if answer.is_error:
            raise WherryError(f"Airflow at {self._url} refused the login of {USER}: {answer.status_code}")
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def set_pools(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """Create or update pools in one call; `entries` as `wherry.teams.pool_entries` gives them."""
        entities = [{"name": name, **entry} for name, entry in entries.items()]
        action = {"action": "create", "entities": entities, "action_on_existence": "overwrite"}
        self._call("PATCH", "/pools", {"actions": [action]})

    def pools(self) -> frozenset[str]:
        """The names of the pools that there are."""
        return frozenset(pool["name"] for pool in self._call("GET", "/pools?limit=1000")["pools"])

    def dag_ids(self) -> frozenset[str]:
        """The DAGs that Airflow knows by now."""
        return frozenset(dag["dag_id"] for dag in self._call("GET", "/dags?limit=1000")["dags"])

    def dag_docs(self, dag_id: str) -> str:
        """A DAG's documentation as Airflow has it; empty where it has none."""
        return self._call("GET", f"/dags/{dag_id}/details")["doc_md"] or ""

    def import_errors(self) -> list[str]:
        """What went wrong while DAG files were read."""
        return [error["stack_trace"] for error in self._call("GET", "/importErrors")["import_errors"]]

    def active_runs(self, dag_id: str) -> dict[str, datetime]:
        """The runs that are queued or running, with the time at which they were queued."""
        runs = self._call("GET", f"/dags/{dag_id}/dagRuns?state=running&state=queued&limit=100")["dag_runs"]
        return {run["dag_run_id"]: datetime.fromisoformat(run["queued_at"]) for run in runs}

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run, and what of it has not ended, as failed."""
        self._call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", {"state": "failed"})

    def is_due(self, dag_id: str) -> bool:
        """Whether the schedule starts a run as soon as the DAG is unpaused."""
        due = self._call("GET", f"/dags/{dag_id}")["next_dagrun_run_after"]
        return due is not None and datetime.fromisoformat(due) <= datetime.now(UTC)

    def trigger(self, dag_id: str) -> str:
        """Start a run now; returns its id."""
        run: str = self._call("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None})["dag_run_id"]
        return run

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run the DAG."""
        self._call("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def latest_run(self, dag_id: str) -> dict[str, Any] | None:
        """The run of a DAG that began last; None where there has been none."""
        runs: list[dict[str, Any]] = self._call("GET", f"/dags/{dag_id}/dagRuns?order_by=-run_after&limit=1")[
            "dag_runs"
        ]
        return runs[0] if runs else None

    def pause(self, dag_id: str) -> None:
        """Let the scheduler start no run of the DAG."""
        self._call("PATCH", f"/dags/{dag_id}", {"is_paused": True})

    def run_state(self, dag_id: str, run_id: str) -> str:
        """A run's state: queued, running, success or failed.

        Out of a list of all DAGs' runs: asked for one run, Airflow loads all its task instances; asked for those of one
        DAG, all its tasks. At 10,000 that keeps its API server from everything else for half a second.
        """
        query = urlencode({"dag_id_prefix_pattern": dag_id, "run_id_prefix_pattern": run_id, "limit": 100})
        for run in self._call("GET", f"/dags/~/dagRuns?{query}")["dag_runs"]:
            if (run["dag_id"], run["dag_run_id"]) == (dag_id, run_id):
                return str(run["state"])
        raise WherryError(f"Airflow has no run {run_id} of {dag_id}: it was deleted")

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """All task instances of a run."""
        instances: list[dict[str, Any]] = []
        while True:
            page = self._call(
                "GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=1000&offset={len(instances)}"
            )
            instances += page["task_instances"]
            if not page["task_instances"] or len(instances) >= page["total_entries"]:
                return instances

    def clear(self, dag_id: str, run_id: str, task_ids: list[str], *, downstream: bool = True) -> None:
        """Run tasks of a run again, by default with everything downstream of them."""
        self._call(
            "POST",
            f"/dags/{dag_id}/clearTaskInstances",
            {
                "dry_run": False,
                "dag_run_id": run_id,
                "task_ids": task_ids,
                "include_downstream": downstream,
                "only_failed": False,
                "reset_dag_runs": True,
            },
        )

    def log_lines(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> list[str]:
        """A task's log as text, a line each."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}?full_content=true"
        content = self._call("GET", path)["content"]
        return [line["event"] if isinstance(line, dict) else str(line) for line in content]

    def reparse(self, dag_id: str) -> None:
        """Ask the dag-processor to read the DAG's file now rather than at its next turn."""
        token = self._call("GET", f"/dags/{dag_id}")["file_token"]
        self._call("PUT", f"/parseDagFile/{token}", done=httpx.codes.CONFLICT)  # it is asked already, and unread yet

    def _call(self, method: str, path: str, body: Any = None, done: httpx.codes | None = None) -> Any:
        """Return the answer. `done` is the refusal that says that there is nothing to do any more.

        A login that ran out is a 401; one that another auth manager gave, before an upgrade, is a 403.
        """
        answer = self._request(method, path, body, again=method == "GET")
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            self.log_in()
            answer = self._http.request(method, path, json=body)
        if answer.status_code == done:
            return None
        if answer.is_error:
            raise WherryError(f"Airflow refused {method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def _request(self, method: str, path: str, body: Any, *, again: bool) -> httpx.Response:
        """Send it, and `again` for a while where the server restarts or is overloaded."""
        deadline = time.monotonic() + (_PATIENCE_SECONDS if again else 0)
        while True:
            try:
                answer = self._http.request(method, path, json=body)
            except httpx.TransportError as error:
                if time.monotonic() > deadline:
                    raise WherryError(f"Airflow at {self._url} does not answer: {type(error).__name__}") from None
            else:
                if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR or time.monotonic() > deadline:
                    return answer
            time.sleep(1)
