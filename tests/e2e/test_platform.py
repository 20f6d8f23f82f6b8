"""Trouble on a real cluster, one kind after the other: what fails, what goes on, and what is left behind."""

import subprocess

import pytest

from tests.e2e.drill import BAD, DAG, NAMESPACE, Drill, until
from wherry.cluster import kind
from wherry.cluster.settings import AIRFLOW
from wherry.errors import WherryError
from wherry.release import Release

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


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
    with drill.held():
        run = drill.begin()
        name = drill.pod("slow.build")["metadata"]["name"]
        drill.cluster.kube.kubectl("delete", "pod", name, "--namespace", NAMESPACE)  # waits until it is gone
    assert drill.end(run) == "success"
    assert drill.tries(run, "slow.build") == 2


def test_a_cleared_task_takes_its_pod_and_its_query_along(drill: Drill, slow: Release) -> None:
    """Clearing a running task ends its pod and cancels its query; the next one starts from the beginning."""
    drill.clear_while_it_runs()


def test_a_failed_run_leaves_no_pod(drill: Drill, slow: Release) -> None:
    """Marking a run as failed in the UI ends what runs of it, on the warehouse too."""
    with drill.held():
        run = drill.begin()
        pod = drill.pod("slow.build")
        until(drill.queries, 60)
        drill.cluster.api.fail_run(DAG, run)
        until(lambda: drill.is_gone(pod), 90)
        until(lambda: not drill.queries(), 30)


def test_a_drained_node_costs_one_try(drill: Drill, slow: Release) -> None:
    """An evicted pod is run again once a node takes pods."""
    options = ("--force", "--delete-emptydir-data", "--pod-selector", "wherry.dev/team=drill", "--timeout=120s")
    with drill.held():
        run = drill.begin()
        node = drill.pod("slow.build")["spec"]["nodeName"]
        try:
            drill.cluster.kube.kubectl("drain", node, *options, timeout=150)
        finally:
            drill.cluster.kube.kubectl("uncordon", node)
    assert drill.end(run) == "success"
    assert drill.tries(run, "slow.build") == 2


@pytest.mark.parametrize("component", ["api-server", "postgres"])
def test_a_restart_of_airflow_is_not_noticed_by_a_running_node(drill: Drill, slow: Release, component: str) -> None:
    """The node's pod goes on while Airflow's API server, or its database, is away; its run ends green."""
    with drill.held():
        run = drill.begin()
        pod = drill.pod("slow.build")
        selector = f"app.kubernetes.io/component={component}"
        drill.cluster.kube.kubectl("delete", "pod", "--namespace", AIRFLOW, "--selector", selector)
        assert not drill.is_gone(pod)
        drill.cluster.api.wait_until_ready(drill.cluster.check, timeout=300)
    assert drill.end(run) == "success"


def restart_kubernetes(drill: Drill) -> None:
    """Kill the API server of Kubernetes; the node starts it again."""
    (node, *_) = [name for name in kind.nodes(drill.cluster.settings.name) if "control-plane" in name]
    subprocess.run(["docker", "exec", node, "pkill", "-x", "kube-apiserver"], check=True)


def test_a_restart_of_kubernetes_api_server_costs_nothing(drill: Drill, slow: Release) -> None:
    """The operator waits until the API server is back, and finds its pod."""
    with drill.held():
        run = drill.begin()
        drill.pod("slow.build")
        restart_kubernetes(drill)
        until(lambda: is_ready(drill), 180)
    assert drill.end(run) == "success"
    assert drill.tries(run, "slow.build") == 1


def test_pods_that_are_asked_for_while_kubernetes_api_server_restarts(drill: Drill) -> None:
    """They come later, in the same try: nobody answers at first, and then a server that knows no roles yet."""
    drill.release({f"models/wide_{n}.sql": "select 1 as id" for n in range(6)})
    restart_kubernetes(drill)
    run = drill.begin()
    assert drill.end(run) == "success"
    tries = {found["task_id"]: found["try_number"] for found in drill.cluster.api.task_instances(DAG, run)}
    assert set(tries.values()) == {1}, tries


def is_ready(drill: Drill) -> bool:
    """Whether the API server of Kubernetes takes requests."""
    try:
        return drill.cluster.kube.kubectl("get", "--raw", "/readyz") == "ok"
    except WherryError:
        return False
