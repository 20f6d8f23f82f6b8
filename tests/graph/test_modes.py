"""The execution modes: the same tasks, each made as its mode makes them; and who may choose which."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk import DAG

from tests.graph.conftest import TEAM, WriteRelease, fields
from tests.graph.shop import manifest, node, shop
from wherry.graph.dags import build_dag, build_task
from wherry.graph.load import load_dags
from wherry.operator.local import LocalOperator, VirtualenvOperator
from wherry.operator.watcher import DbtProducerPodOperator, WatchingOperator
from wherry.release import ReleaseError
from wherry.release.model import Release, ReleaseSettings
from wherry.release.plan import PRODUCER
from wherry.release.policy import resolve
from wherry.teams import Team

WATCHED: dict[str, Any] = {"execution": "watcher_kubernetes", "freshness": False, "nodes": []}
MODES = ("local", "virtualenv")


@pytest.fixture(autouse=True)
def platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_EXECUTIONS_ALLOWED", "kubernetes,watcher_kubernetes,local,virtualenv")
    monkeypatch.setenv("WHERRY_DBT_EXECUTABLE", "/opt/dbt/bin/dbt")


@pytest.fixture
def write(write_release: WriteRelease) -> WriteRelease:
    """Write a release with the profile that dbt needs where it runs beside Airflow."""

    def write(*arguments: Any, **settings: Any) -> Release:
        release = write_release(*arguments, **settings)
        profiles = release.manifest_path.parent / "image" / "profiles" / "profiles.yml"
        profiles.parent.mkdir(parents=True)
        profiles.write_text(yaml.safe_dump({"shop_profile": {"target": "prod", "outputs": {"prod": {}}}}))
        return release

    return write


def shape(dag: DAG) -> dict[str, Any]:
    """All that a mode may not change of a DAG."""
    same = ("upstream", "downstream", "label", "group", "retry_delay", "max_retry_delay", "owner", "pool", "priority")
    tasks = {task_id: fields(task) for task_id, task in dag.task_dict.items()}
    texts = {task_id: (task.retries, task.task_display_name, task.doc_md) for task_id, task in dag.task_dict.items()}
    return {
        "dag": (dag.dag_id, dag.tags, dag.schedule, dag.max_active_runs, dag.max_active_tasks),
        "tasks": {task_id: {key: values[key] for key in same} for task_id, values in tasks.items()},
        "texts": texts,
    }


@pytest.mark.parametrize("tests", ["build", "after_each", "after_all", "none"])
@pytest.mark.parametrize("mode", MODES)
def test_a_worker_runs_the_tasks_that_pods_would(mode: str, tests: str, write: WriteRelease) -> None:
    """The same ids, edges, pools, priorities, retries, texts and tags, and dbt is asked for the same."""
    pods = build_dag(write(tests=tests))
    here = build_dag(write(project="shop", tests=tests, execution=mode))
    assert shape(here) == shape(pods)
    for task_id, task in here.task_dict.items():
        if type(task).__name__ != "EmptyOperator":
            assert isinstance(task, VirtualenvOperator if mode == "virtualenv" else LocalOperator)
            assert [word for word in task.arguments if word != "--no-partial-parse"] == pods.task_dict[
                task_id
            ].arguments


@pytest.mark.parametrize("mode", MODES)
def test_dbt_gets_the_releases_files(mode: str, write: WriteRelease) -> None:
    """Project and profile come from the release, dbt from another environment; dbt installs and emits nothing."""
    release = write(execution=mode)
    task = build_task(release, "orders.build").task_dict["orders.build"]
    content = release.manifest_path.parent / "image"
    assert task.project_dir == str(content / "project")
    assert task.profile_config.profiles_yml_filepath == content / "profiles" / "profiles.yml"
    assert (task.profile_config.profile_name, task.profile_config.target_name) == ("shop_profile", "prod")
    assert task.dbt_executable_path == "/opt/dbt/bin/dbt"
    assert (task.install_deps, task.emit_datasets, task.env) == (False, False, None)
    assert task.execution_timeout == timedelta(minutes=30)
    assert set(task.template_fields) == {"arguments", "compiled_sql"}


@pytest.mark.parametrize("mode", MODES)
def test_a_worker_builds_the_one_task_that_it_runs(mode: str, write: WriteRelease) -> None:
    """In its own process a task is what it is in the whole DAG."""
    release = write(execution=mode)
    for task_id, task in build_dag(release).task_dict.items():
        assert fields(build_task(release, task_id).task_dict[task_id]) == fields(task)


def test_a_release_without_files_says_what_is_missing(write_release: WriteRelease, tmp_path: Path) -> None:
    """Where only manifests are deployed, its DAG stands in and names the file."""
    write_release(execution="local")
    (dag,) = load_dags(tmp_path).values()
    assert "profiles.yml: No such file" in dag.doc_md.replace("\\", "")


@pytest.mark.parametrize("mode", MODES)
def test_the_platform_decides_whether_its_worker_runs_dbt(
    mode: str, write: WriteRelease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default a team that chooses it gets no DAG but the reason; one variable brings it for every team."""
    monkeypatch.delenv("WHERRY_EXECUTIONS_ALLOWED")
    release = write(execution=mode)
    with pytest.raises(ReleaseError, match=f"execution: found '{mode}', expected one of: kubernetes, watcher_kuberne"):
        build_dag(release)
    (broken,) = load_dags(tmp_path).values()
    assert broken.tags == {"broken release"}
    monkeypatch.setenv("WHERRY_EXECUTION", mode)
    assert isinstance(build_dag(release).task_dict["orders.build"], LocalOperator)
    monkeypatch.setenv("WHERRY_EXECUTION", "kubernetes")
    assert build_dag(release).task_dict["orders.build"].plan.namespace == "team-acme"
    monkeypatch.setenv("WHERRY_EXECUTION", "watcher_kubernetes")
    with pytest.raises(ReleaseError, match="WHERRY_EXECUTION: found 'watcher_kubernetes', expected one of: kuber"):
        build_dag(release)


def watched_shop() -> dict[str, Any]:
    """The shop without what one pod can't do."""
    project = shop()
    for one in project["nodes"].values():
        one["config"] = {
            key: value for key, value in one["config"].items() if key not in ("meta", "snowflake_warehouse")
        }
        one["wherry_rules"] = []
    return project


def test_where_the_platform_overrides_the_watcher_nobody_builds_all(
    write_release: WriteRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The DAG has no task of one pod for all nodes, and each task is the same in its own process."""
    release = write_release(watched_shop(), **WATCHED)
    monkeypatch.setenv("WHERRY_EXECUTION", "kubernetes")
    whole = build_dag(release)
    assert PRODUCER not in whole.task_dict
    assert build_task(release, PRODUCER).task_dict.keys() == whole.task_dict.keys()
    for task_id, task in whole.task_dict.items():
        assert fields(build_task(release, task_id).task_dict[task_id]) == fields(task)


def test_one_pod_builds_what_the_others_watch(write_release: WriteRelease) -> None:
    """The producer takes a slot a thread of the warehouse's pool; watchers wait elsewhere, and not for its end."""
    dag = build_dag(write_release(watched_shop(), **WATCHED))
    producer = dag.task_dict[PRODUCER]
    assert isinstance(producer, DbtProducerPodOperator)
    assert producer.arguments == ["build", "--log-format", "json"]
    assert (producer.pool, producer.pool_slots, producer.retries) == ("acme-data__transform", 4, 1)
    assert (producer.plan.node, producer.plan.namespace, producer.plan.secret) == ("", "team-acme", "warehouse")
    assert producer.upstream_task_ids | producer.downstream_task_ids == set()
    watchers = {task_id: task for task_id, task in dag.task_dict.items() if isinstance(task, WatchingOperator)}
    assert {task.pool for task in watchers.values()} == {"default_pool"}
    assert watchers.keys() == {
        task_id
        for task_id in build_dag(write_release(watched_shop(), project="pods", freshness=False)).task_dict
        if task_id != "int_joined.build"  # ephemeral: there is nothing to watch
    }
    assert dag.max_active_tasks == TEAM["warehouses"]["transform"]["slots"]


@pytest.mark.parametrize("tests", ["build", "after_each", "after_all", "none"])
def test_a_watcher_waits_for_its_node_or_for_its_tests(tests: str, write_release: WriteRelease) -> None:
    """A node whose tests run with it is done when they are; the same in the task's own process."""
    release = write_release(watched_shop(), **WATCHED, tests=tests)
    dag = build_dag(release)
    watchers = {task_id: task for task_id, task in dag.task_dict.items() if isinstance(task, WatchingOperator)}
    producer = dag.task_dict[PRODUCER]
    for task in watchers.values():
        assert task.model_unique_id == task.plan.node
        assert not task.is_test_sensor or task.model_unique_id in producer._tests_per_model
    assert {task_id for task_id, task in watchers.items() if task.is_test_sensor and "orders" in task_id} == {
        "build": {"orders.build", "raw_orders.test"},
        "after_each": {"orders.test", "raw_orders.test"},
    }.get(tests, set())
    excluded = "--resource-type" in producer.arguments
    assert excluded == (tests in ("after_all", "none"))
    for task_id, task in dag.task_dict.items():
        assert fields(build_task(release, task_id).task_dict[task_id]) == fields(task)


@pytest.mark.parametrize(
    ("config", "refusal"),
    [
        ({"meta": {"wherry": {"retries": 1}}}, "meta.wherry: found {'retries': 1}, expected nothing with execution"),
        ({"snowflake_warehouse": "HEAVY_WH"}, "config.snowflake_warehouse: found 'HEAVY_WH', expected TRANSFORM_WH"),
    ],
)
def test_what_one_pod_cant_do_for_a_node_is_refused(config: dict[str, Any], refusal: str) -> None:
    """A node's own settings and a second warehouse."""
    project = {"path": "dbt/shop", "warehouse": "transform", "execution": "watcher_kubernetes"}
    settings = ReleaseSettings.of(Team.model_validate({**TEAM, "projects": {"shop": project}}), "shop")
    one = next(iter(manifest(node("model", "a", config=config))["nodes"].values()))
    policy, refusals = resolve(one, settings, ())
    assert [str(found) for found in refusals if refusal in str(found)]
    assert policy.retries == 2
