"""One embedded cluster for all tests, a namespace and an image for each."""

import itertools
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.execution_time import task_runner

from tests.operator.airflow_side import RUN, Supervisor, in_a_dag, run_task
from tests.pod.examples import FINANCE
from wherry.localcluster import LocalCluster
from wherry.operator import DbtBuildPodOperator, PodOperator, operators
from wherry.operator.kube import Patience, PodApi, connect
from wherry.pod import PodPlan
from wherry.results.store import ResultKey, ResultStore

RUNNER = Path(__file__).with_name("fake_runner.py")
SECRET = "hunter2-not-for-logs"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with LocalCluster(folder / "data", folder / "images") as running:
        yield running


@dataclass
class Try:
    """What one try came to."""

    state: str
    error: str
    result: dict[str, Any]


@dataclass
class World:
    """A team's namespace, one task, and Airflow."""

    cluster: LocalCluster
    folder: Path
    plan: PodPlan
    supervisor: Supervisor = field(default_factory=Supervisor)
    apis: list[PodApi] = field(default_factory=list)
    operator: type[PodOperator] = DbtBuildPodOperator
    select: str = "fqn:finance.fct_orders"

    def image(self, *steps: str, later: dict[int, list[str]] | None = None, **env: str) -> None:
        """What the team's image does, and what it does on later tries."""
        tries = {f"STEPS_{number}": json.dumps(steps) for number, steps in (later or {}).items()}
        self.cluster.put_image(
            self.plan.image,
            entrypoint=[sys.executable, str(RUNNER)],
            env={"STEPS": json.dumps(steps), "TRACE": str(self.folder / "trace"), **tries, **env},
        )

    def run(self, try_number: int = 1, *, retries: int = 3, clears: int = 0, **arguments: Any) -> Try:
        """Run one try of the task."""
        with in_a_dag():
            task = self.operator(
                task_id="fct_orders.build", plan=self.plan, project_dir="project", select=self.select,
                retries=retries, **arguments,
            )  # fmt: skip
        state, error = run_task(task, self.supervisor, try_number=try_number, retries=retries, clears=clears)
        return Try(state, str(error or ""), self.supervisor.xcoms.pop("return_value", {}))

    def until_done(self, retries: int = 3, **arguments: Any) -> list[Try]:
        """Run tries as Airflow does, until the task succeeds or fails."""
        tries = []
        for number in range(1, retries + 2):
            tries.append(self.run(number, retries=retries, **arguments))
            if tries[-1].state != "up_for_retry":
                break
        return tries

    def pods(self) -> list[dict[str, Any]]:
        return connect(self.plan.namespace).find("")

    def running_pod(self) -> dict[str, Any]:
        """Wait until the task's pod runs."""
        return self.until(lambda: next((pod for pod in self.pods() if pod["status"]["phase"] == "Running"), None))

    def until(self, found: Any, seconds: float = 20) -> Any:
        """Wait until the function returns something."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := found():
                return value
            time.sleep(0.02)
        raise AssertionError("it didn't come to that in time")

    def recorded(self, try_number: int = 1) -> dict[str, Any] | None:
        return ResultStore(self.folder / "results").get(
            ResultKey("finance__finance", RUN, "fct_orders.build", try_number)
        )

    def records(self) -> list[dict[str, Any]]:
        return list(ResultStore(self.folder / "results").of_run("finance__finance", RUN))

    def trace(self) -> list[str]:
        path = self.folder / "trace"
        return path.read_text().splitlines() if path.exists() else []

    def follows_log(self, pod: str) -> bool:
        """Whether a thread still follows the log of the pod of this name."""
        return f"log of {pod}" in {thread.name for thread in threading.enumerate()}

    def assert_clean(self) -> None:
        """No pod is left; one that is on its way out may take a moment."""
        self.until(lambda: not self.pods())


def later(world: World, act: Callable[[], Any], begun: Callable[[], Any] | None = None) -> threading.Thread:
    """Act as soon as the task's pod runs and has begun."""

    def wait_and_act() -> None:
        world.running_pod()
        world.until(begun or world.trace)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


@pytest.fixture
def world(cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    number = next(_numbers)
    plan = replace(
        FINANCE, namespace=f"team-{number}", image=f"wherry.local/finance:{number}", grace=timedelta(seconds=5)
    )
    cluster.create_namespace(
        plan.namespace, secrets={"warehouse": {"DBT_ENV_SECRET_PASSWORD": SECRET}}, service_accounts=["runner"]
    )
    made = World(cluster, tmp_path, plan)

    def spied(namespace: str) -> PodApi:
        made.apis.append(connect(namespace))
        return made.apis[-1]

    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setenv("WHERRY_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", made.supervisor, raising=False)
    monkeypatch.setattr(operators, "connect", spied)
    monkeypatch.setattr(PodOperator, "patience", Patience(api=5, log=5, margin=1))
    logging.getLogger("dbt").setLevel(logging.INFO)
    yield made
    cluster.faults.clear()


@pytest.fixture
def dbt_log(caplog: pytest.LogCaptureFixture) -> Any:
    """The lines that reached the task's log, as dbt printed them."""
    caplog.set_level(logging.INFO, logger="dbt")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "dbt"]
