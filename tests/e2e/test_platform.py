"""Trouble on a real cluster, one kind after the other: what fails, what goes on, and what is left behind.

A team of its own, with models that are good, bad and slow, is brought to the cluster that `task up` made.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from rich.console import Console

from wherry.cluster import kind, manifests
from wherry.cluster.settings import AIRFLOW, WAREHOUSES, Settings
from wherry.cluster.up import Cluster
from wherry.demo.layout import Layout
from wherry.demo.run import wait_for_release
from wherry.release import Release

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

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
SLOW_SECONDS = 40
PROJECT = {
    "dbt_project.yml": "name: drill\nprofile: drill\nversion: 1.0.0\nmodels: {drill: {+materialized: table}}\n",
    "models/good.sql": "select 1 as id",
    "models/after_good.sql": "select * from {{ ref('good') }}",
}
BAD = {"models/bad.sql": "select nothing_like_it", "models/after_bad.sql": "select * from {{ ref('bad') }}"}
SLOW = {"models/slow.sql": f"select pg_sleep({SLOW_SECONDS})::text as slept"}
Json = dict[str, Any]


@dataclass
class Drill:
    """The team's project on the cluster."""

    cluster: Cluster
    root: Path

    def release(self, *files: dict[str, str]) -> Release:
        """Release these files, and wait until Airflow has read them."""
        folder = self.root / "dbt/drill"
        for old in folder.rglob("*.*"):
            old.unlink()
        for name, text in {name: text for part in (PROJECT, *files) for name, text in part.items()}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        made = self.cluster.release(self.cluster.team("drill"), "drill")
        until(lambda: DAG in self.cluster.api.dag_ids(), 180)
        wait_for_release(self.cluster.api, DAG, made.id, timeout=180)
        return made

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

    def pod(self, task: str) -> Json:
        """Wait until a task's pod runs."""
        return until(lambda: next((pod for pod in self.pods(task) if pod["status"]["phase"] == "Running"), None), 180)

    def pods(self, task: str) -> list[Json]:
        return self.cluster.kube.items("pods", "--namespace", NAMESPACE, "--selector", f"wherry.dev/task={task}")

    def is_gone(self, pod: Json) -> bool:
        found = self.cluster.kube.get("pod", pod["metadata"]["name"], NAMESPACE)
        return found is None or found["metadata"]["uid"] != pod["metadata"]["uid"]

    def queries(self) -> list[tuple[int]]:
        """The server processes that sleep for the slow model."""
        sql = "select pid from pg_stat_activity where state = 'active' and query like '%%pg_sleep(%%' and usename = %s"
        forward = self.cluster.kube.forward(WAREHOUSES, "service/postgres", manifests.POSTGRES[1])
        with forward as port:
            secret = self.cluster.kube.get("secret", "postgres", WAREHOUSES)
            assert secret is not None
            password = manifests.read_secret(secret)["password"]
            connection = psycopg2.connect(
                host="127.0.0.1", port=port, user="postgres", password=password, dbname="postgres"
            )
            try:
                with connection.cursor() as cursor:
                    cursor.execute(sql, ["drill"])
                    return cursor.fetchall()
            finally:
                connection.close()


def until(found: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(1)
    raise AssertionError(f"it did not come to that within {seconds:.0f} s")


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    """The team on the cluster; afterwards its DAG and rights are taken out, and its namespace."""
    kubeconfig = os.environ.get("WHERRY_E2E_KUBECONFIG")
    settings = Settings.read()
    if not kubeconfig or not settings.layout.kubeconfig.exists():
        pytest.skip("no cluster of `task up`: run `task up`, then `task e2e`")
    if Path(kubeconfig).absolute() != settings.layout.kubeconfig:
        pytest.skip(f"{kubeconfig} is not the cluster of `task up`, whose state is in {settings.layout.state}")
    root = tmp_path_factory.mktemp("repository")
    (root / "k8s/teams").mkdir(parents=True)
    (root / "k8s/teams/drill.yaml").write_text(TEAM)
    (root / "dbt/drill").mkdir(parents=True)
    settings = replace(settings, layout=Layout(settings.layout.state, root))
    cluster = Cluster(settings, Console(quiet=True))
    team = cluster.team("drill")
    cluster.apply_team(team)
    cluster.apply_pools()
    cluster.load_raw_of(team)
    yield Drill(cluster, root)
    cluster.remove_team("drill")
    cluster.kube.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def slow(drill: Drill) -> Release:
    """A release with a model that takes its time."""
    return drill.release(SLOW)


def test_a_broken_model_stops_nothing_but_what_depends_on_it(drill: Drill) -> None:
    """The node is red at its first try, its child waits, and all others are green."""
    drill.release(BAD)
    run = drill.begin()
    assert drill.end(run) == "failed"
    assert drill.states(run) == {
        "good.build": "success",
        "after_good.build": "success",
        "bad.build": "failed",
        "after_bad.build": "upstream_failed",
    }
    assert drill.tries(run, "bad.build") == 1


def test_a_release_and_its_rollback(drill: Drill) -> None:
    """A mended model runs green; the old files give the old release again, and its image is there."""
    broken = drill.release(BAD)
    mended = drill.release({**BAD, "models/bad.sql": "select 2 as id"})
    assert mended.id != broken.id
    assert drill.end(drill.begin()) == "success"
    again = drill.release(BAD)
    assert (again.id, again.image) == (broken.id, broken.image)
    assert drill.end(drill.begin()) == "failed"


def test_a_pod_that_someone_deletes_is_tried_again(drill: Drill, slow: Release) -> None:
    """What isn't dbt's own error is worth another try, and that one is green."""
    run = drill.begin()
    pod = drill.pod("slow.build")
    drill.cluster.kube.kubectl("delete", "pod", pod["metadata"]["name"], "--namespace", NAMESPACE, "--wait=false")
    assert drill.end(run) == "success"
    assert drill.tries(run, "slow.build") == 2


def test_a_cleared_task_takes_its_pod_and_its_query_along(drill: Drill, slow: Release) -> None:
    """Clearing a running task ends its pod and cancels its query; the next one starts from the beginning."""
    run = drill.begin()
    pod = drill.pod("slow.build")
    (query,) = until(drill.queries, 60)
    drill.cluster.api.clear(DAG, run, ["slow.build"])
    until(lambda: drill.is_gone(pod), 90)
    until(lambda: query not in drill.queries(), 30)
    assert drill.end(run) == "success"


def test_a_failed_run_leaves_no_pod(drill: Drill, slow: Release) -> None:
    """Marking a run as failed in the UI ends what runs of it, on the warehouse too."""
    run = drill.begin()
    pod = drill.pod("slow.build")
    until(drill.queries, 60)
    drill.cluster.api.fail_run(DAG, run)
    until(lambda: drill.is_gone(pod), 90)
    until(lambda: not drill.queries(), 30)


def test_a_drained_node_costs_one_try(drill: Drill, slow: Release) -> None:
    """An evicted pod is run again once a node takes pods."""
    run = drill.begin()
    pod = drill.pod("slow.build")
    node = pod["spec"]["nodeName"]
    options = ("--force", "--delete-emptydir-data", "--pod-selector", "wherry.dev/team=drill", "--timeout=120s")
    try:
        drill.cluster.kube.kubectl("drain", node, *options, timeout=150)
    finally:
        drill.cluster.kube.kubectl("uncordon", node)
    assert drill.end(run) == "success"
    assert drill.tries(run, "slow.build") == 2


@pytest.mark.parametrize("component", ["api-server", "postgres"])
def test_a_restart_of_airflow_is_not_noticed_by_a_running_node(drill: Drill, slow: Release, component: str) -> None:
    """The node's pod goes on while Airflow's API server, or its database, is away; its run ends green."""
    run = drill.begin()
    pod = drill.pod("slow.build")
    selector = f"app.kubernetes.io/component={component}"
    drill.cluster.kube.kubectl("delete", "pod", "--namespace", AIRFLOW, "--selector", selector)
    assert not drill.is_gone(pod)
    drill.cluster.api.wait_until_ready(drill.cluster.check, timeout=300)
    assert drill.end(run) == "success"


def test_a_restart_of_kubernetes_api_server_costs_nothing(drill: Drill, slow: Release) -> None:
    """The operator waits until the API server is back, and finds its pod."""
    run = drill.begin()
    drill.pod("slow.build")
    (node, *_) = [name for name in kind.nodes(drill.cluster.settings.name) if "control-plane" in name]
    subprocess.run(["docker", "exec", node, "pkill", "-x", "kube-apiserver"], check=True)
    assert drill.end(run) == "success"
    assert drill.tries(run, "slow.build") == 1
