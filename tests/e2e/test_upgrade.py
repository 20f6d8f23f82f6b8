"""Upgrades and rollbacks of the charts on a real cluster, with a run in flight."""

import pytest

from tests.e2e.drill import WORKLOADS, Drill, until, upgrade
from wherry.cluster.settings import AIRFLOW
from wherry.release import Release

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.mark.parametrize("release", ["airflow", "team-drill"])
def test_the_charts_own_tests_are_green(drill: Drill, release: str) -> None:
    """`helm test` is what a person runs after an installation."""
    said = drill.cluster.kube.helm("test", release, "--namespace", AIRFLOW)
    assert "Succeeded" in said


def setting(drill: Drill, name: str) -> str:
    """What Airflow's programs are told."""
    config = drill.cluster.kube.get("configmap", "airflow-config", AIRFLOW)
    assert config is not None
    return str(config["data"][name])


def test_an_upgrade_and_a_rollback_with_a_run_in_flight(drill: Drill, slow: Release, before: str) -> None:
    """The node that runs goes on beside the old and the new Airflow; what follows it comes after, and nothing twice.

    It stays one try unless the roll-outs together take longer than the old scheduler waits for its tasks (120 s).
    """
    count = drill.begun()
    old = setting(drill, "AIRFLOW__CORE__PARALLELISM")
    with drill.held():
        run = drill.begin()
        pod = drill.pod("slow.build")
        upgrade(drill, {"parallelism": int(old) + 1})
        assert setting(drill, "AIRFLOW__CORE__PARALLELISM") == str(int(old) + 1)
        drill.cluster.kube.helm("rollback", "airflow", before, "--namespace", AIRFLOW)
        drill.cluster.kube.wait_rolled_out(AIRFLOW, WORKLOADS)
        assert setting(drill, "AIRFLOW__CORE__PARALLELISM") == old
        assert not drill.is_gone(pod)
    assert drill.end(run) == "success"
    assert set(drill.states(run).values()) == {"success"}
    assert drill.begun() == count + 1
    assert drill.tries(run, "slow.build") <= 2


def test_a_scheduler_that_is_not_given_the_time_to_wait(drill: Drill, slow: Release, before: str) -> None:
    """Its task's process dies with it. The next try takes over the pod that runs: the node is not run again."""
    count = drill.begun()
    soon = {"orphaned_tasks_check_interval": 20}  # a scheduler looks after the heartbeats of its own tasks only
    upgrade(drill, {"scheduler": {"terminationGracePeriodSeconds": 1}, "config": {"scheduler": soon}})
    with drill.held():
        run = drill.begin()
        pod = drill.pod("slow.build")
        drill.cluster.kube.kubectl(
            "delete", "pod", "--namespace", AIRFLOW, "--selector", "app.kubernetes.io/component=scheduler"
        )
        until(lambda: drill.tries(run, "slow.build") == 2 and drill.states(run)["slow.build"] == "running", 400)
        assert not drill.is_gone(pod)
    assert drill.end(run) == "success"
    assert drill.begun() == count + 1
