"""dbt's own word on what our tasks run: every node and every test exactly once, none before what it looks at."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from tests.graph.conftest import fields, release_writer
from wherry.graph.dags import build_dag, build_task
from wherry.release.manifest import slim
from wherry.settings import runner_python

HERE = Path(__file__).parent
BEHAVIOURS = ("build", "after_each", "after_all", "none")


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A dbt that has parsed the project and waits for commands to list."""
    python = HERE.parents[1] / runner_python()
    target = tmp_path_factory.mktemp("target")
    project = [f"--project-dir={HERE / 'every_test'}", f"--profiles-dir={HERE / 'every_test' / 'profiles'}"]
    command = [
        str(python),
        str(HERE / "list_selections.py"),
        *project,
        f"--log-path={target}",
        "--target-path",
        str(target),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def manifest(dbt: subprocess.Popen[str]) -> dict[str, Any]:
    """The project's slim manifest."""
    assert dbt.stdout
    full = json.loads(Path(dbt.stdout.readline().strip()).read_text())
    return slim(full, {})


@pytest.fixture(scope="module")
def selections(dbt: subprocess.Popen[str], manifest: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """For each test behaviour: the DAG, and what dbt selects for each of its tasks."""
    write = release_writer(tmp_path_factory.mktemp("releases"))
    found = {tests: build_dag(write(manifest, project=tests, tests=tests)) for tests in BEHAVIOURS}
    commands = {
        (tests, task.task_id): json.dumps(task.arguments)
        for tests, dag in found.items()
        for task in dag.tasks
        if hasattr(task, "arguments")
    }
    assert dbt.stdin
    assert dbt.stdout
    dbt.stdin.write(json.dumps(sorted(set(commands.values()))) + "\n")
    dbt.stdin.flush()
    selected = json.loads(dbt.stdout.readline())
    return {
        tests: (dag, {task: selected.get(commands.get((tests, task), ""), []) for task in dag.task_dict})
        for tests, dag in found.items()
    }


def _tests(manifest: dict[str, Any]) -> dict[str, Any]:
    return {k: n for k, n in manifest["nodes"].items() if n["resource_type"] == "test"} | manifest["unit_tests"]


@pytest.mark.parametrize("tests", BEHAVIOURS)
def test_every_node_is_built_exactly_once(tests: str, selections: Any, manifest: dict[str, Any]) -> None:
    """Each model, seed and snapshot that is more than SQL in others is run by one task; no task runs a second one."""
    _, selected = selections[tests]
    runs = Counter(
        node for nodes in selected.values() for node in nodes if node.split(".")[0] not in ("test", "unit_test")
    )
    expected = {
        unique_id
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] != "test" and node["config"].get("materialized") != "ephemeral"
    }
    assert runs == Counter(expected | {"source.every_test.raw.orders"})


@pytest.mark.parametrize("tests", ["build", "after_each", "after_all"])
def test_every_test_runs_exactly_once(tests: str, selections: Any, manifest: dict[str, Any]) -> None:
    """No test is dropped and none runs twice: sources' and unit tests, those of several nodes and of none."""
    _, selected = selections[tests]
    runs = Counter(node for nodes in selected.values() for node in nodes if node.split(".")[0] in ("test", "unit_test"))
    assert runs == Counter(_tests(manifest).keys())
    assert len(runs) == 18


def test_none_runs_no_test(selections: Any) -> None:
    """A team that wants no tests gets none."""
    _, selected = selections["none"]
    assert not [node for nodes in selected.values() for node in nodes if "test." in node.split("every_test")[0]]


@pytest.mark.parametrize("tests", ["build", "after_each", "after_all"])
def test_no_test_runs_before_what_it_looks_at(tests: str, selections: Any, manifest: dict[str, Any]) -> None:
    """Whatever a test reads has been built by its own task or by one that this task waits for."""
    dag, selected = selections[tests]
    of_tests = _tests(manifest)
    ephemeral = {k for k, n in manifest["nodes"].items() if n["config"].get("materialized") == "ephemeral"}
    for task_id, nodes in selected.items():
        before = dag.task_dict[task_id].get_flat_relative_ids(upstream=True) | {task_id}
        built: set[str] = reduce(set.union, (selected[other] for other in before), set())
        for test in of_tests.keys() & set(nodes):
            parents = {p for p in of_tests[test]["depends_on"]["nodes"] if not p.startswith("source.")}
            assert parents - ephemeral <= built, (task_id, test)


@pytest.fixture(scope="module", params=["finance", "growth"])
def sample(request: pytest.FixtureRequest, sample_manifest: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """A sample team's project, parsed by dbt, as a slim manifest."""
    return slim(sample_manifest(request.param), {})


def test_every_task_of_the_sample_projects_is_the_same_alone(sample: dict[str, Any], tmp_path: Path) -> None:
    """For both sample teams and all test behaviours, a task built alone equals the one in the whole DAG."""
    write = release_writer(tmp_path)
    for tests in BEHAVIOURS:
        release = write(sample, project=tests, tests=tests)
        whole = build_dag(release)
        assert len(whole.tasks) > 15
        for task_id, task in whole.task_dict.items():
            assert fields(build_task(release, task_id).task_dict[task_id]) == fields(task)
