"""A team of its own on the cluster that `task up` made, with models that are good, bad and as slow as a test wants."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from tests.charts.conftest import CHARTS
from wherry.cluster import manifests
from wherry.cluster.settings import AIRFLOW, WAREHOUSES
from wherry.cluster.up import Cluster
from wherry.demo.run import wait_for_release
from wherry.release import Release

DAG = "drill__drill"
NAMESPACE = "team-drill"
TEAM = """\
name: drill
namespace: team-drill
owners: [drill@example.com]
secret: warehouse
warehouses:
  main: {type: postgres, host: {env: POSTGRES_HOST}, port: {env: POSTGRES_PORT}, user: drill, database: drill,
         schema: analytics, slots: 4}
projects:
  drill: {path: dbt/drill, warehouse: main, retries: 2, retry_delay: 5s}
"""
PROJECT = {
    "dbt_project.yml": "name: drill\nprofile: drill\nversion: 1.0.0\nmodels: {drill: {+materialized: table}}\n",
    "models/good.sql": "select 1 as id",
    "models/after_good.sql": "select * from {{ ref('good') }}",
}
BAD = {"models/bad.sql": "select nothing_like_it", "models/after_bad.sql": "select * from {{ ref('bad') }}"}
SLOW = {
    "models/slow.sql": "select public.slowly() as slept",
    "models/after_slow.sql": "select * from {{ ref('slow') }}",
}
SLOWLY = """\
create table if not exists public.hold (n int);
create sequence if not exists public.begun;
create or replace function public.slowly() returns text language plpgsql volatile as $$
begin
  perform nextval('public.begun');  -- counted also where the statement is cancelled
  while exists (select from public.hold) loop perform pg_sleep(0.2); end loop;
  return 'done';
end $$;
"""
"""What makes a model slow: it takes as long as the table holds a row, and counts how often it began."""
WORKLOADS = [f"deployment/airflow-{name}" for name in ("api-server", "scheduler", "dag-processor", "triggerer")]
Json = dict[str, Any]


@dataclass
class Drill:
    """The team's project on the cluster."""

    cluster: Cluster
    root: Path

    def release(self, *files: dict[str, str]) -> Release:
        """Release these files, and wait until Airflow has read them."""
        made = self.build(*files)
        until(lambda: DAG in self.cluster.api.dag_ids(), 180)
        wait_for_release(self.cluster.api, DAG, made.id, timeout=180)
        return made

    def build(self, *files: dict[str, str]) -> Release:
        """Make a release of these files, with its image on the nodes."""
        folder = self.root / "dbt/drill"
        for old in folder.rglob("*.*"):
            old.unlink()
        for name, text in {name: text for part in (PROJECT, *files) for name, text in part.items()}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return self.cluster.release(self.cluster.team("drill"), "drill")

    def begin(self) -> str:
        self.cluster.api.unpause(DAG)
        return self.cluster.api.trigger(DAG)

    def end(self, run: str, seconds: float = 400) -> str:
        until(lambda: self.cluster.api.run_state(DAG, run) in ("success", "failed"), seconds)
        return self.cluster.api.run_state(DAG, run)

    def states(self, run: str) -> dict[str, str]:
        return {found["task_id"]: found["state"] for found in self.cluster.api.task_instances(DAG, run)}

    def tries(self, run: str, task: str) -> int:
        found = {found["task_id"]: found["try_number"] for found in self.cluster.api.task_instances(DAG, run)}
        return int(found[task])

    def commit(self, run: str | None = None) -> str | None:
        """The commit of the deploy repository that a run is bound to, or that new runs will be."""
        path = f"/dags/{DAG}/dagRuns/{run}" if run else f"/dags/{DAG}"
        found: str | None = self.cluster.api._call("GET", path)["bundle_version"]
        return found

    def pod(self, task: str) -> Json:
        """Wait until a task's pod runs."""
        return until(lambda: next((pod for pod in self.pods(task) if pod["status"]["phase"] == "Running"), None), 180)

    def pods(self, task: str) -> list[Json]:
        return self.cluster.kube.items("pods", "--namespace", NAMESPACE, "--selector", f"wherry.dev/task={task}")

    def is_gone(self, pod: Json) -> bool:
        found = self.cluster.kube.get("pod", pod["metadata"]["name"], NAMESPACE)
        return found is None or found["metadata"]["uid"] != pod["metadata"]["uid"]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep slow models slow for so long."""
        self.sql("delete from public.hold; insert into public.hold values (1)")
        try:
            yield
        finally:
            self.sql("delete from public.hold")  # not truncate: it would wait for those whom it is to let go

    def clear_while_it_runs(self) -> Json:
        """Clear the slow model while its query runs; the run ends well. Returns the pod of its first try."""
        with self.held():
            run = self.begin()
            pod = self.pod("slow.build")
            (query,) = until(self.queries, 60)
            self.cluster.api.clear(DAG, run, ["slow.build"])
            until(lambda: self.is_gone(pod), 90)
            until(lambda: query not in self.queries(), 30)
        assert self.end(run) == "success"
        return pod

    def begun(self) -> int:
        """How often a slow model began."""
        ((count,),) = self.sql("select last_value - (not is_called)::int from public.begun")
        return int(count)

    def queries(self) -> list[tuple[int]]:
        """The server processes that work for a slow model."""
        working = "state = 'active' and query like '%public.slowly() as%' and pid <> pg_backend_pid()"
        return self.sql(f"select pid from pg_stat_activity where {working}")

    def sql(self, text: str) -> list[Any]:
        """Run it in the team's database, as the team."""
        secret = self.cluster.kube.get("secret", "warehouse", NAMESPACE)
        assert secret is not None
        password = manifests.read_secret(secret)["DBT_ENV_SECRET_PASSWORD"]
        with self.cluster.kube.forward(WAREHOUSES, "service/postgres", manifests.POSTGRES[1]) as port:
            login = {"host": "127.0.0.1", "port": port, "user": "drill", "password": password, "dbname": "drill"}
            connection = psycopg2.connect(**login)
            try:
                with connection, connection.cursor() as cursor:
                    cursor.execute(text)
                    return cursor.fetchall() if cursor.description else []
            finally:
                connection.close()


def latest(drill: Drill) -> Any:
    """The newest revision of Airflow's Helm release."""
    return json.loads(drill.cluster.kube.helm("history", "airflow", "--namespace", AIRFLOW, "--output", "json"))[-1]


def upgrade(drill: Drill, values: Json) -> None:
    """Install Airflow's chart again with changed values, and wait until every pod of it is a new one."""
    command = ("upgrade", "airflow", str(CHARTS / "airflow"), "--namespace", AIRFLOW, "--reset-then-reuse-values")
    drill.cluster.kube.helm(*command, "--values", "-", values=values)
    drill.cluster.kube.wait_rolled_out(AIRFLOW, WORKLOADS)


def until(found: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(1)
    raise AssertionError(f"it did not come to that within {seconds:.0f} s")
