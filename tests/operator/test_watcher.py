"""One pod builds all nodes and tasks watch it: Cosmos' producer and watchers on the embedded cluster's pods."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from airflow.sdk.execution_time import comms, task_runner
from kubernetes.client import ApiClient

from tests.operator.airflow_side import RUN, Supervisor, in_a_dag, run_task
from tests.operator.conftest import World
from tests.pod.examples import FINANCE, FIRST
from wherry.operator.operators import PodOperator
from wherry.operator.watcher import DbtBuildWatcherPodOperator, DbtProducerPodOperator, DbtRunWatcherPodOperator
from wherry.pod import make_pod

ORDERS, ITEMS = "model.finance.orders", "model.finance.items"
TEST = "test.finance.unique_orders.1"
PRODUCER = "dbt_producer_watcher"


def said(name: str, unique_id: str, status: str) -> str:
    """A line of dbt's JSON log, as a step of the fake runner."""
    kind = unique_id.partition(".")[0]
    node = {"unique_id": unique_id, "node_status": status, "resource_type": kind, "node_path": "orders.sql"}
    line = {"info": {"name": name, "msg": f"{unique_id} is {status}", "level": "info"}, "data": {"node_info": node}}
    return f"print:{json.dumps(line)}"


class Airflow(Supervisor):
    """A supervisor that knows the producer's XComs and its state, as Airflow's database would."""

    def __init__(self, xcoms: dict[str, Any], state: str | None) -> None:
        super().__init__()
        self.told, self.producer = xcoms, state

    def send(self, msg: Any) -> Any:
        match msg:
            case comms.GetXComSequenceSlice():
                return comms.XComSequenceSliceResult(root=[self.told[msg.key]] if msg.key in self.told else [])
            case comms.GetXCom():
                return comms.XComResult(key=msg.key, value=self.told.get(msg.key))
            case comms.GetTaskStates():
                return comms.TaskStatesResult(task_states={RUN: {PRODUCER: self.producer}} if self.producer else {})
        return super().send(msg)


Run = Callable[..., tuple[str, str, Airflow]]


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run one try of a task: its state, why, and what Airflow was told."""

    def run(make: Callable[[], Any], xcoms: Any = None, producer: str | None = None, try_number: int = 1) -> Any:
        airflow = Airflow(xcoms or {}, producer)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", airflow, raising=False)
        with in_a_dag():
            task = make()
        state, error = run_task(task, airflow, try_number=try_number, retries=2)
        return state, str(error or ""), airflow

    return run


@pytest.fixture
def producer(world: World) -> Callable[[], DbtProducerPodOperator]:
    plan = replace(world.plan, node="")
    return lambda: DbtProducerPodOperator(
        task_id=PRODUCER, plan=plan, project_dir="project", tests_per_model={ORDERS: [TEST]}, retries=1
    )


@pytest.fixture
def watcher(world: World) -> Callable[..., Callable[[], Any]]:
    def make(operator: type = DbtRunWatcherPodOperator, *, for_tests: bool = False) -> Callable[[], Any]:
        return lambda: operator(
            task_id="orders.run",
            plan=replace(world.plan, node=ORDERS),
            project_dir="project",
            select="fqn:finance.orders",
            watched=ORDERS,
            for_tests=for_tests,
            retries=2,
        )

    return make


def test_the_pod_that_builds_all_nodes() -> None:
    """It is the pod of any node, but for the node: the same rights, limits, Secret, labels; and it is asked for all."""
    with in_a_dag():
        task = DbtProducerPodOperator(task_id=PRODUCER, plan=replace(FINANCE, node=""), project_dir="project")
    attempt = replace(FIRST, task_id=PRODUCER)
    pod = ApiClient().sanitize_for_serialization(make_pod(task.plan, attempt, task.arguments))
    usual = ApiClient().sanitize_for_serialization(make_pod(FINANCE, attempt, ["build"]))
    assert pod["spec"]["containers"][0]["args"] == ["build", "--log-format", "json"]
    usual["metadata"]["name"] = "finance-dbt-producer-watcher-85a3557f32-1"
    del usual["metadata"]["labels"]["wherry.dev/node"]
    usual["metadata"]["annotations"]["wherry.dev/node"] = ""
    usual["spec"]["containers"][0]["args"] = ["build", "--log-format", "json"]
    for entry in usual["spec"]["containers"][0]["env"]:
        if entry["name"] == "WHERRY_NODE":
            entry["value"] = ""
        if entry["name"] == "WHERRY_QUERY_TAG":
            entry["value"] = entry["value"].replace("model.finance.fct_orders", "")
    assert pod == usual


def test_the_producer_tells_how_each_node_is(run: Run, producer: Any, world: World) -> None:
    """By XCom, from its pod's log; of a node's tests when all have ended. The pod's result is kept as any other's."""
    world.image(
        said("NodeFinished", ORDERS, "success"),
        said("NodeFinished", TEST, "pass"),
        "print:a line that is no JSON",
        said("NodeFinished", ITEMS, "error"),
        "finish:error=items failed",
    )
    state, error, airflow = run(producer)
    assert (state, "items failed" in error) == ("failed", True)
    assert airflow.xcoms["model__finance__orders_status"]["status"] == "success"
    assert airflow.xcoms["model__finance__orders_tests_status"] == "pass"
    assert airflow.xcoms["model__finance__items_status"]["status"] == "error"
    (kept,) = world.records()
    assert (kept["task_id"], kept["status"]) == (PRODUCER, "error")
    world.assert_clean()


def test_a_producer_is_not_run_twice(run: Run, producer: Any, world: World) -> None:
    """On a further try Cosmos skips it, and the watchers build what is missing."""
    world.image("finish:success")
    state, _, _ = run(producer, try_number=2)
    assert state == "skipped"
    assert world.trace() == []


@pytest.mark.parametrize(
    ("xcoms", "state"),
    [
        ({"model__finance__orders_status": {"status": "success", "outlet_uris": []}}, "success"),
        ({"model__finance__orders_status": {"status": "error", "outlet_uris": []}}, "up_for_retry"),
        ({}, "deferred"),
    ],
)
def test_a_watcher_is_what_its_node_is(run: Run, watcher: Any, world: World, xcoms: Any, state: str) -> None:
    """Without a pod; while nothing is known it waits in the triggerer."""
    world.image("finish:success")
    found, _, _ = run(watcher(), xcoms, "running")
    assert found == state
    assert world.trace() == []


def test_a_node_is_done_when_its_tests_are(run: Run, watcher: Any, world: World) -> None:
    """With tests: build, the node's own success isn't enough."""
    built = {"model__finance__orders_status": {"status": "success", "outlet_uris": []}}
    make = watcher(DbtBuildWatcherPodOperator, for_tests=True)
    assert run(make, built, "running")[0] == "deferred"
    assert run(make, built | {"model__finance__orders_tests_status": "pass"}, "running")[0] == "success"
    assert run(make, built | {"model__finance__orders_tests_status": "fail"}, "running")[0] == "up_for_retry"


def test_a_node_that_failed_is_tried_again_in_a_pod_of_its_own(run: Run, watcher: Any, world: World) -> None:
    """With all that pods have: its own error is final, and what became of it is kept."""
    failed = {"model__finance__orders_status": {"status": "error", "outlet_uris": []}}
    world.image("args:", "finish:error=no such column")
    state, error, _ = run(watcher(), failed, "failed", 2)
    assert (state, "no such column" in error) == ("failed", True)
    (kept,) = world.records()
    assert (kept["task_id"], kept["node"], kept["try"]) == ("orders.run", ORDERS, 2)
    world.image("finish:success")
    assert run(watcher(), failed, "failed", 3)[0] == "success"
    world.assert_clean()


def test_no_watcher_shows_or_renders_a_teams_text(watcher: Any) -> None:
    """Its template fields are those of every pod."""
    with in_a_dag():
        task = watcher()()
    assert set(task.template_fields) == set(PodOperator.template_fields)
