"""The platform's other forms on a real cluster: Celery behind PgBouncer, people's logins, one pod for a project."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.drill import DAG, SLOW, TEAM, Drill, until, upgrade
from wherry.cluster.settings import AIRFLOW
from wherry.cluster.up import Cluster
from wherry.release import Release

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PASSWORD = "of a test alone"


def test_celery_workers_run_nodes_behind_pgbouncer(drill: Drill, slow: Release, before: str) -> None:
    """Two values make it; a worker that is replaced in mid-run is waited for, and its node runs once."""
    little = {"replicas": 1, "resources": {"requests": {"cpu": "25m"}}}
    upgrade(drill, {"executor": "CeleryExecutor", "pgbouncer": {"enabled": True, **little}, "workers": little})
    workloads = ["statefulset/airflow-redis", "deployment/airflow-pgbouncer", "deployment/airflow-workers"]
    drill.cluster.kube.wait_rolled_out(AIRFLOW, workloads)
    count = drill.begun()
    with drill.held():
        run = drill.begin()
        pod = drill.pod("slow.build")
        drill.cluster.kube.kubectl("rollout", "restart", "deployment/airflow-workers", "--namespace", AIRFLOW)
        until(lambda: len(workers(drill)) > 1, 120)
        assert not drill.is_gone(pod)
    assert drill.end(run) == "success"
    assert set(drill.states(run).values()) == {"success"}
    assert drill.begun() == count + 1
    assert "Succeeded" in drill.cluster.kube.helm("test", "airflow", "--namespace", AIRFLOW)


def workers(drill: Drill) -> list[str]:
    """The Celery workers that there are, those that end included."""
    found = drill.cluster.kube.items("pods", "--namespace", AIRFLOW, "-l", "app.kubernetes.io/component=workers")
    return [pod["metadata"]["name"] for pod in found]


def test_a_person_sees_and_runs_the_own_teams_dag_only(drill: Drill, slow: Release, before: str) -> None:
    """The bootstrap job makes the teams' roles; nothing else is to be done but to give them to people."""
    team = (drill.cluster.layout.repository / "k8s/teams/drill.yaml").read_text()
    upgrade(drill, {"auth": {"manager": "fab"}, "teams": {"drill": team}})
    drill.cluster.api.log_in()
    everything = drill.cluster.api.dag_ids()
    assert len(everything) > 1
    until(lambda: "team-drill" in airflow(drill, "roles", "list"), 180)
    who = ("--username", "dora", "--firstname", "Dora", "--lastname", "Drill", "--email", "dora@example.com")
    airflow(drill, "users", "create", "--role", "team-drill", "--password", PASSWORD, *who)
    try:
        with httpx.Client(base_url=drill.cluster.settings.url, timeout=60) as http:
            token = http.post("/auth/token", json={"username": "dora", "password": PASSWORD}).json()["access_token"]
            http.headers["Authorization"] = f"Bearer {token}"
            seen = {dag["dag_id"] for dag in http.get("/api/v2/dags?limit=100").json()["dags"]}
            foreign = next(dag for dag in everything if dag != DAG)
            refused = http.post(f"/api/v2/dags/{foreign}/dagRuns", json={"logical_date": None})
            begun = http.post(f"/api/v2/dags/{DAG}/dagRuns", json={"logical_date": None})
        assert (seen, refused.status_code, begun.status_code) == ({DAG}, 403, 200)
        drill.cluster.api.unpause(DAG)
        assert drill.end(begun.json()["dag_run_id"]) == "success"
    finally:
        airflow(drill, "users", "delete", "--username", "dora")


def airflow(drill: Drill, *arguments: str) -> str:
    """Run Airflow's command where the API server runs."""
    return drill.cluster.kube.kubectl(
        "exec", "--namespace", AIRFLOW, "deployment/airflow-api-server", "--", "airflow", *arguments, timeout=180
    )


@pytest.mark.parametrize("name", ["cleanup", "reaper"])
def test_a_housekeeping_job_succeeds(drill: Drill, name: str) -> None:
    """Airflow's old rows and pods that nobody waits for are taken away by CronJobs; here they run now."""
    kube = drill.cluster.kube
    job = f"drill-{name}"
    kube.kubectl("create", "job", job, "--from", f"cronjob/airflow-{name}", "--namespace", AIRFLOW)
    try:
        until(lambda: (kube.get("job", job, AIRFLOW) or {})["status"].get("succeeded"), 240)
    finally:
        print(kube.kubectl("logs", "--namespace", AIRFLOW, f"job/{job}", "--tail=30"))
        kube.kubectl("delete", "job", job, "--namespace", AIRFLOW)


@pytest.fixture
def watched(drill: Drill) -> Iterator[Drill]:
    """The same team, whose project runs in one pod that a task a node watches."""
    file = drill.cluster.layout.teams / "drill.yaml"
    file.write_text(TEAM.replace("retries: 2", "execution: watcher_kubernetes, retries: 2"))
    yield Drill(Cluster(drill.cluster.settings, drill.cluster.console), drill.root)
    file.write_text(TEAM)


def test_one_pod_runs_all_nodes_and_a_task_watches_each(watched: Drill) -> None:
    """`execution: watcher_kubernetes` is one line in the team file."""
    watched.cluster.api.log_in()
    watched.release(SLOW)
    run = watched.begin()
    assert watched.end(run) == "success"
    states = watched.states(run)
    assert set(states.values()) == {"success"}
    assert {"dbt_producer_watcher", "slow.build", "good.build"} <= set(states), json.dumps(states)
