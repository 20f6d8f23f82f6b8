"""One broken model on a real Airflow: it is red, what depends on it waits, and nothing else notices."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from wherry.demo.layout import REPOSITORY, Layout
from wherry.demo.run import begin, wait_for_dags, wait_for_release
from wherry.demo.stack import Stack
from wherry.release import read_manifest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

DAG = "growth__growth"
BROKEN = "stg_web__users"


@dataclass(frozen=True)
class Instance:
    """What the test compares of a task instance."""

    state: str
    try_number: int
    start_date: str


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the growth team only, whose dbt project may be broken."""
    root = tmp_path_factory.mktemp("repository")
    (root / "k8s/teams").mkdir(parents=True)
    shutil.copy(REPOSITORY / "k8s/teams/growth.yaml", root / "k8s/teams")
    shutil.copytree(REPOSITORY / "dbt/growth", root / "dbt/growth", ignore=shutil.ignore_patterns("target", "logs"))
    shutil.copytree(REPOSITORY / "dags", root / "dags")
    return root


@pytest.fixture(scope="module")
def stack(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A demo of that checkout, with its DAG unpaused."""
    state = tmp_path_factory.mktemp("state")
    with Stack(Layout(state, repository), Console(file=(state / "console.log").open("w"))) as running:
        wait_for_dags(running, frozenset({DAG}))
        yield running


def run_to_its_end(stack: Stack, run: str) -> str:
    deadline = time.monotonic() + 300
    while (state := stack.api.run_state(DAG, run)) in ("queued", "running"):
        stack.check()
        assert time.monotonic() < deadline, f"{run} is still {state}"
        time.sleep(0.5)
    return state


def instances(stack: Stack, run: str) -> dict[str, Instance]:
    return {
        found["task_id"]: Instance(found["state"], found["try_number"], found["start_date"])
        for found in stack.api.task_instances(DAG, run)
    }


def tasks_in_state(found: dict[str, Instance], state: str) -> set[str]:
    return {task for task, instance in found.items() if instance.state == state}


def release(stack: Stack) -> dict[str, object]:
    made = stack.release(stack.teams[0], "growth")
    wait_for_release(stack.api, DAG, made.id)
    return read_manifest(made)


def downstream(manifest: dict, name: str) -> set[str]:
    """The names of what has a task and depends on a model, by dbt's own graph: nodes, and tests of several nodes."""
    nodes = {
        key: node
        for key, node in manifest["nodes"].items()
        if node["resource_type"] != "test" or len(node["depends_on"]["nodes"]) > 1
    }
    reached = {key for key, node in nodes.items() if node["name"] == name}
    while more := {key for key, node in nodes.items() if reached & set(node["depends_on"]["nodes"])} - reached:
        reached |= more
    return {nodes[key]["name"] for key in reached} - {name}


def named(tasks: set[str]) -> set[str]:
    """Node names from task ids: `stg_events.build` belongs to `stg_events`, `relationships_a_b_test` to that test."""
    return {task.split(".")[0] if "." in task else task.removesuffix("_test") for task in tasks}


def test_it_listens_on_this_machine_only(stack: Stack):
    """No program of the demo, nor one that it has started, answers another machine."""
    programs = psutil.Process().children(recursive=True)
    listening = [
        (address.laddr.ip, program.name())
        for program in programs
        for address in program.net_connections("inet")
        if address.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 4
    assert {address for address, _ in listening} == {"127.0.0.1"}, listening


def test_a_broken_model_stops_exactly_what_depends_on_it(stack: Stack, repository: Path):
    """It is failed, its downstream upstream_failed, all else green; mended and cleared, exactly those run again."""
    model = next((repository / "dbt/growth/models").rglob(f"{BROKEN}.sql"))
    good = model.read_text()
    model.write_text(good + "\n-- broken by a test\nwhere no_such_column = 1\n")
    manifest = release(stack)
    run = begin(stack, DAG)

    assert run_to_its_end(stack, run) == "failed"
    before = instances(stack, run)
    failed = tasks_in_state(before, "failed")
    waiting = tasks_in_state(before, "upstream_failed")
    assert named(failed) == {BROKEN}
    assert named(waiting) == downstream(manifest, BROKEN)
    assert tasks_in_state(before, "success") == set(before) - failed - waiting
    assert len(before) - len(failed) - len(waiting) > 0

    (red,) = failed
    log = "\n".join(stack.api.log_lines(DAG, run, red, before[red].try_number))
    assert 'column "no_such_column" does not exist' in log, "the task's log shows what dbt said"

    model.write_text(good)
    release(stack)
    stack.api.clear(DAG, run, [red])
    assert run_to_its_end(stack, run) == "success"
    after = instances(stack, run)
    assert set(after.values()) <= {i for i in after.values() if i.state == "success"}
    ran_again = {task for task in after if after[task].start_date != before[task].start_date}
    assert ran_again == failed | waiting
