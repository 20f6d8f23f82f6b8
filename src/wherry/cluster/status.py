"""The cluster on one screen: what is asked of it, and how it is shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wherry.cluster.kube import Kube
from wherry.cluster.settings import AIRFLOW, WAREHOUSES
from wherry.demo.airflow import AirflowApi
from wherry.demo.table import STYLES
from wherry.teams import Team

Json = dict[str, Any]
_POD_STYLES = {"Running": "cyan", "Succeeded": "green", "Failed": "bold red", "Pending": "yellow"}


@dataclass(frozen=True)
class Component:
    """A Deployment or StatefulSet of the platform."""

    namespace: str
    name: str
    ready: int
    wanted: int
    restarts: int


@dataclass(frozen=True)
class TeamRun:
    """A team's project and its latest run; state "" where there has been none."""

    team: str
    dag_id: str
    state: str
    began: str
    slots: str


@dataclass(frozen=True)
class Pod:
    """A team's pod."""

    namespace: str
    name: str
    phase: str
    why: str


@dataclass(frozen=True)
class Status:
    """All of it."""

    components: Sequence[Component]
    runs: Sequence[TeamRun]
    pods: Sequence[Pod]

    @property
    def healthy(self) -> bool:
        """Whether every component is ready."""
        return all(component.ready >= component.wanted for component in self.components)


def read(kube: Kube, api: AirflowApi, teams: Iterable[Team]) -> Status:
    """Ask Kubernetes, then Airflow. Raises WherryError where one of them doesn't answer."""
    teams = tuple(teams)
    workloads = [
        component(item, kube.items("pods", "--namespace", namespace))
        for namespace in (AIRFLOW, WAREHOUSES)
        for item in kube.items("deployments,statefulsets", "--namespace", namespace)
    ]
    pods = kube.items("pods", "--all-namespaces", "--selector", "app.kubernetes.io/managed-by=wherry")
    api.log_in()
    known = api.dag_ids()
    runs = [
        team_run(team, dag_id, api.latest_run(dag_id) if dag_id in known else None)
        for team in teams
        for dag_id in team.dag_ids().values()
    ]
    return Status(workloads, runs, [team_pod(item) for item in pods])


def component(workload: Json, pods: Iterable[Json]) -> Component:
    """A component out of its workload and the pods of its namespace."""
    meta, wanted = workload["metadata"], workload["spec"].get("replicas", 1)
    own = [pod for pod in pods if pod["metadata"]["name"].startswith(f"{meta['name']}-")]
    statuses = [status for pod in own for status in pod["status"].get("containerStatuses", ())]
    restarts = sum(status["restartCount"] for status in statuses)
    return Component(meta["namespace"], meta["name"], workload["status"].get("readyReplicas", 0), wanted, restarts)


def team_run(team: Team, dag_id: str, run: Json | None) -> TeamRun:
    """A project's line out of its latest run."""
    slots = ", ".join(f"{name.removeprefix(f'{team.name}__')} {count}" for name, count in team.pools().items())
    began = str((run or {}).get("start_date") or "")[:19].replace("T", " ")
    return TeamRun(team.name, dag_id, (run or {}).get("state") or "", began, slots)


def team_pod(pod: Json) -> Pod:
    """A pod's line; `why` is what its container waits for."""
    states = [status.get("state", {}) for status in pod["status"].get("containerStatuses", ())]
    why = next((state["waiting"]["reason"] for state in states if "waiting" in state), "")
    return Pod(pod["metadata"]["namespace"], pod["metadata"]["name"], pod["status"].get("phase", ""), why)


def render(status: Status) -> RenderableType:
    """The screen."""
    parts = _table("component", "ready", "restarts"), _table("team", "dag", "last run", "began (UTC)", "slots")
    for item in status.components:
        style = "green" if item.ready >= item.wanted else "bold red"
        ready = Text(f"{item.ready}/{item.wanted}", style)
        parts[0].add_row(f"{item.namespace}/{item.name}", ready, str(item.restarts or ""))
    for run in status.runs:
        state = Text(run.state or "none", STYLES.get(run.state, "dim"))
        parts[1].add_row(run.team, run.dag_id, state, run.began, run.slots)
    pods = _table("pod", "phase", "")
    for pod in status.pods:
        pods.add_row(f"{pod.namespace}/{pod.name}", Text(pod.phase, _POD_STYLES.get(pod.phase, "dim")), pod.why)
    return Group(
        parts[0], Text(), parts[1], Text(), pods if status.pods else Text("no pod of a team at the moment", "dim")
    )


def _table(*titles: str) -> Table:
    return Table(*titles, box=None, pad_edge=False, header_style="bold")
