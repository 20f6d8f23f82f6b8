"""What is compared, and under which DAG ids. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.figures import OURS
from bench.project import TEAM, WARM_TEAM
from wherry.errors import WherryError
from wherry.teams import dag_id


@dataclass(frozen=True)
class Arm:
    """One way to run a dbt project on Airflow; `prefix` is that of its DAG ids. `per_node`: a task is a node's pod."""

    name: str
    prefix: str
    per_node: bool = True

    def dag_id(self, project: str) -> str:
        """The arm's DAG for a project."""
        return dag_id(TEAM, project) if self.name == OURS else f"{self.prefix}__{project}"


OURS_ARM: Final = Arm(OURS, TEAM)
WARM: Final = Arm("ours, warm pods", WARM_TEAM)
ONE_POD: Final = Arm("one pod, dbt build", "onepod", per_node=False)
STOCK: Final = Arm("stock Cosmos", "stock")
STOCK_BUILD: Final = Arm("stock Cosmos, tests inside", "stockbuild")
WATCHER: Final = Arm("stock watcher", "watcher", per_node=False)
QUICK: Final = (OURS_ARM, STOCK, ONE_POD, WATCHER)
FULL: Final = (OURS_ARM, WARM, STOCK, STOCK_BUILD, ONE_POD, WATCHER)
BARE: Final = "bare pod, true"
SHELL: Final = "dbt in a shell"

_OF_ALL: Final = (
    "same image, resources, namespace and Secret for all pods; each arm's DAG runs alone, in turns, when no other's pod"
    " is there any more",
    "overhead: from queued to ended as Airflow has it, less the median seconds of a query (as ours reported them)",
    "CPU: scheduler, API server, triggerer and their tasks, and the pods; not the dag-processor, which works for all",
)
_OF_ARMS: Final[Mapping[Arm, str]] = {
    WARM: "as ours, and pods with dbt imported wait, as many as run at once, those of a run just before among them; the"
    " CPU of those that are left for the next run counts",
    STOCK: "ExecutionMode.KUBERNETES with the defaults of Cosmos (a pod for a model, one for its tests) and of its"
    " operators; from dbt's manifest, with the project and its partial_parse.msgpack in the image, telemetry off",
    STOCK_BUILD: "the same with TestBehavior.BUILD, as ours",
    WATCHER: "ExecutionMode.WATCHER_KUBERNETES with its defaults: one pod runs all, a sensor waits for each node",
    ONE_POD: "one KubernetesPodOperator with its defaults, `dbt build`, four threads",
}


def chosen(keys: Sequence[str]) -> tuple[Arm, ...]:
    """The arms of these keys: "ours", or the prefix of an arm's DAG ids. WherryError names an unknown one."""
    known = {OURS if arm is OURS_ARM else arm.prefix: arm for arm in FULL}
    if unknown := [key for key in keys if key not in known]:
        raise WherryError(f"--arm: found {unknown[0]!r}, expected one of: {', '.join(known)}")
    return tuple(known[key] for key in keys)


def remarks(arms: Sequence[Arm]) -> tuple[str, ...]:
    """What a reader must know of what was compared."""
    return (*_OF_ALL, *(f"{arm.name}: {_OF_ARMS[arm]}" for arm in arms if arm in _OF_ARMS))
