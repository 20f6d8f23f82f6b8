"""The arms side by side on a real Airflow: one DAG run after the other, in turns."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any, Final

from rich.console import Console

from bench.arms import BARE, SHELL, WARM, Arm
from bench.figures import medians_by_stage
from bench.stack import BenchStack
from wherry.demo.layout import RUNNER_PYTHON
from wherry.demo.run import wait_for_dags
from wherry.errors import WherryError
from wherry.operator.kube import PodApi, connect
from wherry.results.store import ResultStore

Sample = tuple[str, str, str, float]
_RUN_SECONDS = 3600.0
_WARM_UP = 5.0  # seconds in which the last pods that wait have imported dbt


@dataclass(frozen=True)
class Part:
    """Which runs count by their green nodes alone.

    One that is ended after so many seconds; a red one in which so many nodes were green. 0: none.
    """

    seconds: float = 0.0
    green: int = 0

    def counts(self, green: int, *, cut: bool) -> bool:
        """Whether a run that wasn't green to its end does, with so many green nodes."""
        return green > 0 if cut else 0 < self.green <= green


WHOLE: Final = Part()


@dataclass(frozen=True)
class Run:
    """One DAG run of one arm: its task instances as Airflow has them, and what it cost; `nodes` is dbt's count.

    Of one that counts in part, those that were green.
    """

    arm: Arm
    project: str
    green: bool
    tasks: tuple[Mapping[str, Any], ...]
    results: tuple[Mapping[str, Any], ...]
    calls: int
    pods: int
    cpu: Mapping[str, float]
    nodes: int
    memory: tuple[float, ...]


class Bench:
    """Measures on a stack that runs."""

    def __init__(self, stack: BenchStack, arms: Sequence[Arm], part: Part, console: Console) -> None:
        """Wait until Airflow has read the arms' DAGs, and unpause them."""
        self._stack, self._arms, self._part, self._console = stack, arms, part, console
        self._projects = tuple(stack.teams[0].projects)
        self.remarks: list[str] = []
        dags = frozenset(arm.dag_id(name) for arm in arms for name in self._projects)
        wait_for_dags(stack, dags, timeout=300)
        for dag_id in dags:
            stack.api.unpause(dag_id)

    def rounds(self, count: int, *, warm_up: bool) -> Iterator[Run]:
        """Run each arm on each project `count` times, interleaved, after a round that isn't counted, to warm up.

        Each begins when no other's pod is there: what waits would hold room that its own need. Where pods shall wait, a
        run that isn't counted leaves them. A run that fails isn't counted either; `remarks` say which.
        """
        for number in range(0 if warm_up else 1, count + 1):
            for name in self._projects:
                for arm in self._arms:
                    self._make_room()
                    if arm is WARM:
                        self._run(arm, name)
                    done = self._run(arm, name)
                    self._say(done, number)
                    if not done.green:
                        self.remarks.append(f"{arm.name}: round {number} of {name} failed and is not counted")
                    elif number:
                        yield done

    def _make_room(self) -> None:
        for team in self._stack.teams:
            make_room(connect(team.namespace))

    def _say(self, done: Run, number: int) -> None:
        word, color = f"round {number}" if number else "to warm up", "dim" if done.green else "red"
        took = f"{wall(done):.1f} s" if done.green else f"failed; see {self._stack.layout.state}/airflow/logs"
        self._console.print(f"[{color}]{word}: {done.project}, {done.arm.name}: {took}[/]")

    def _run(self, arm: Arm, name: str) -> Run:
        api, dag_id = self._stack.api, arm.dag_id(name)
        before, began = self._stack.cpu(), time.monotonic()
        run_id = api.trigger(dag_id)
        memory: list[float] = []
        cut = False
        while (state := api.run_state(dag_id, run_id)) not in ("success", "failed"):
            self._stack.check()
            if time.monotonic() > began + _RUN_SECONDS:
                raise WherryError(f"{dag_id}: run {run_id} is {state} after {_RUN_SECONDS:.0f} s")
            if cut := 0 < self._part.seconds < time.monotonic() - began:
                api.fail_run(dag_id, run_id)
                break
            memory += self._stack.waiting_memory()
            time.sleep(0.5)
        time.sleep(1.0)  # processes that are ending still count
        after = dict(self._stack.cpu())
        if arm is WARM:
            time.sleep(_WARM_UP)
            after["pods"] = self._stack.cpu()["pods"]
        calls, tasks, nodes = self._calls(dag_id, run_id), api.task_instances(dag_id, run_id), self._stack.nodes(name)
        green = [task for task in tasks if task["state"] == "success"]
        if partly := state != "success" and self._part.counts(len(green), cut=cut):
            tasks = green
            self.remarks.append(f"{arm.name}, {name}: {len(tasks)} of {nodes:,} nodes were green")
            nodes = len(tasks)
        return Run(
            arm=arm,
            project=name,
            green=state == "success" or partly,
            tasks=tuple(tasks),
            results=tuple(ResultStore(self._stack.layout.results).of_run(dag_id, run_id)),
            calls=len(calls),
            pods=sum(method == "POST" and path.endswith("/pods") for method, path in calls),
            cpu={part: after[part] - before[part] for part in after},
            nodes=nodes,
            memory=tuple(memory),
        )

    def _calls(self, dag_id: str, run_id: str) -> list[tuple[str, str]]:
        lines = [line.split("\t") for line in self._stack.bench.calls.read_text().splitlines()]
        return [(line[2], line[3]) for line in lines if line[:2] == [dag_id, run_id]]

    def floors(self, count: int) -> Iterator[Sample]:
        """What a node costs at least: a bare pod of the same image, and dbt in a shell on this machine."""
        self._make_room()
        name = self._projects[0]
        api = connect(self._stack.teams[0].namespace)
        for _ in range(count):
            yield "a bare pod, created to ended", BARE, "s", _bare_pod(api, *self._stack.bare(name))
            yield from self._shell(name)

    def _shell(self, name: str) -> Iterator[Sample]:
        folder = self._stack.bench.stock / name
        node = next(path.stem for path in sorted((folder / "project/models").rglob("*.sql")))
        secret = self._stack.secret
        environment = {**os.environ, **secret, "DBT_PROFILES_DIR": str(folder / "profiles")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [str(RUNNER_PYTHON.parent / "dbt"), "--no-send-anonymous-usage-stats", "run", "--select", node]
        before, began = os.times(), time.perf_counter()
        done = subprocess.run(
            [*command, "--target", "prod"], env=environment, cwd=folder / "project", capture_output=True, check=False
        )
        wall_seconds, after = time.perf_counter() - began, os.times()
        if done.returncode:
            raise WherryError(f"dbt in a shell failed: {done.stdout.decode(errors='replace')[-2000:]}")
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        yield "dbt run --select in a shell", SHELL, "s", wall_seconds
        yield "dbt run --select in a shell: CPU", SHELL, "CPU-s", spent


def samples(runs: Iterable[Run]) -> Iterator[Sample]:
    """What each run tells, as samples. Pure."""
    all_runs = tuple(runs)
    queries = [seconds for run in all_runs for seconds in _query_seconds(run)]
    query = median(queries) if queries else 0.0
    for run in all_runs:
        name, arm, nodes = run.project, run.arm.name, run.nodes
        yield f"{name}: whole run", arm, "s", wall(run)
        yield f"{name}: nodes a second", arm, "nodes/s", nodes / wall(run)
        yield f"{name}: CPU a node, Airflow and pods", arm, "CPU-s", sum(run.cpu.values()) / nodes
        yield f"{name}: of that the pods", arm, "CPU-s", run.cpu["pods"] / nodes
        if run.memory:
            yield f"{name}: memory of a task's process, not shared", arm, "MB", median(run.memory)
        if run.pods:
            yield f"{name}: calls of the Kubernetes API a pod", arm, "calls", run.calls / run.pods
            yield f"{name}: pods", arm, "pods", run.pods
        if run.arm.per_node:
            for instance in run.tasks:
                yield f"{name}: overhead of a pod's task", arm, "s", overhead(instance, query)


def stages(runs: Iterable[Run]) -> dict[str, dict[str, float]]:
    """Where the time of a task goes: what Airflow knows of each, and what ours recorded. Pure.

    By arm; where several projects were run, by project and arm.
    """
    all_runs = tuple(runs)
    several = len({run.project for run in all_runs}) > 1
    found: dict[str, list[dict[str, float]]] = {}
    for run in all_runs:
        if run.arm.per_node:
            results = {result["task_id"]: result for result in run.results}
            title = f"{run.project}: {run.arm.name}" if several else run.arm.name
            found.setdefault(title, []).extend(
                _stages(instance, results.get(instance["task_id"])) for instance in run.tasks
            )
    return {title: medians_by_stage(nodes) for title, nodes in found.items()}


def wall(run: Run) -> float:
    """Seconds from a run's first task being queued to its last one's end: what the run took, without its trigger."""
    began = min(_at(task["queued_when"]) for task in run.tasks if task["queued_when"])
    return max(_at(task["end_date"]) for task in run.tasks if task["end_date"]) - began


def overhead(instance: Mapping[str, Any], query: float) -> float:
    """Seconds from queued to ended, less the query's."""
    return _at(instance["end_date"]) - _at(instance["queued_when"]) - query


def _stages(instance: Mapping[str, Any], result: Mapping[str, Any] | None) -> dict[str, float]:
    queued, started, ended = (_at(instance[key]) for key in ("queued_when", "start_date", "end_date"))
    if not result or not result.get("breakdown"):
        return {"queue": started - queued, "task": ended - started}
    own: Mapping[str, float] = result["breakdown"]
    return {"queue": started - queued, **own, "close": ended - started - sum(own.values())}


def _query_seconds(run: Run) -> Iterator[float]:
    return (result["timings"]["query"] for result in run.results if "query" in result.get("timings", {}))


def _at(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def make_room(api: PodApi, patience: float = 120.0) -> None:
    """Delete all pods of a namespace and see them gone. Raises WherryError for one that stays for so many seconds."""
    deadline = time.monotonic() + patience
    for pod in api.find(""):
        api.delete(pod["metadata"]["name"])
    while left := api.find(""):
        if time.monotonic() > deadline:
            name = left[0]["metadata"]["name"]
            raise WherryError(f"pod {name} in {api.namespace} is there {patience:.0f} s after its deletion")
        time.sleep(0.2)


def _bare_pod(api: PodApi, image: str, resources: Mapping[str, Any]) -> float:
    """Create a pod that runs `true`, watch it to its end, delete it; the seconds up to its end."""
    from kubernetes.client import models as k8s

    name = f"bare-{time.time_ns()}"
    room = k8s.V1ResourceRequirements(**resources)
    container = k8s.V1Container(name="bare", image=image, command=["true"], resources=room)
    spec = k8s.V1PodSpec(containers=[container], restart_policy="Never", service_account_name="runner")
    began = time.perf_counter()
    pod = api.create(k8s.V1Pod(api_version="v1", kind="Pod", metadata=k8s.V1ObjectMeta(name=name), spec=spec))
    for _, now in api.watch(name, pod["metadata"]["resourceVersion"], 120):
        if now["status"].get("phase") in ("Succeeded", "Failed"):
            break
    seconds = time.perf_counter() - began
    api.delete(name)
    return seconds
