"""What the one screen shows of what Kubernetes and Airflow say."""

import pytest
from rich.console import Console

from wherry.cluster import status
from wherry.cluster.tools import TOOLS, check
from wherry.demo.layout import REPOSITORY
from wherry.errors import WherryError
from wherry.teams import load_team

GROWTH = load_team(REPOSITORY / "k8s/teams/growth.yaml")


def workload(ready: int | None) -> dict:
    said = {} if ready is None else {"readyReplicas": ready}
    return {
        "metadata": {"namespace": "airflow", "name": "airflow-scheduler"},
        "spec": {"replicas": 1},
        "status": said,
    }


def pod(name: str, *, restarts: int = 0, waiting: str = "", phase: str = "Running") -> dict:
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    return {
        "metadata": {"namespace": "team-growth", "name": name},
        "status": {"phase": phase, "containerStatuses": [{"restartCount": restarts, "state": state}]},
    }


def test_a_component_counts_its_own_pods_restarts() -> None:
    """And is not ready where Kubernetes says nothing of ready replicas."""
    pods = [pod("airflow-scheduler-1", restarts=2), pod("airflow-postgres-0", restarts=5)]
    assert status.component(workload(1), pods) == status.Component("airflow", "airflow-scheduler", 1, 1, 2)
    assert not status.Status([status.component(workload(None), pods)], [], []).healthy


def test_a_pod_that_waits_says_for_what() -> None:
    """An image that can't be pulled is seen at a glance."""
    assert status.team_pod(pod("growth-x", waiting="ErrImagePull", phase="Pending")).why == "ErrImagePull"
    assert status.team_pod({"metadata": {"namespace": "n", "name": "p"}, "status": {}}).why == ""


def test_the_screen_shows_everything() -> None:
    """Components, the teams with their slots and last run, and pods."""
    run = {"state": "failed", "start_date": "2026-11-22T06:00:03.123Z"}
    found = status.Status(
        [status.component(workload(1), [])],
        [status.team_run(GROWTH, "growth__growth", run), status.team_run(GROWTH, "growth__other", None)],
        [status.team_pod(pod("growth-stg-users-1"))],
    )
    console = Console(width=120)
    with console.capture() as captured:
        console.print(status.render(found))
    shown = captured.get()
    for word in ("airflow/airflow-scheduler", "1/1", "failed", "2026-11-22 06:00:03", "main 6", "none", "Running"):
        assert word in shown


def test_missing_programs_are_named_all_at_once() -> None:
    """Each with where to get it; nothing is said where all work."""
    check(works=lambda _: True)
    with pytest.raises(WherryError) as raised:
        check(works=lambda tool: tool.name == "docker")
    said = str(raised.value)
    assert [tool.name in said for tool in TOOLS] == [False, True, True, True]
    assert "https://helm.sh" in said
