"""The DAG of a release: rendered by Cosmos, completed by the plan, and the same task by task."""

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, BaseOperator
from airflow.serialization.serialized_objects import DagSerialization
from cosmos import DbtDag, ExecutionConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, LoadMode, SourceRenderingBehavior, TestBehavior, TestIndirectSelection

from tests.graph.conftest import TEAM, WriteRelease, fields, with_digest
from tests.graph.shop import chain, manifest, node, shop
from wherry.graph import dags, tasks
from wherry.graph.dags import build_dag, build_task
from wherry.release.model import Release, ReleaseSettings
from wherry.release.plan import Plan

BEHAVIOURS = ("build", "after_each", "after_all", "none")


def edges(dag: DAG) -> set[tuple[str, str]]:
    return {(before, task.task_id) for task in dag.tasks for before in task.upstream_task_ids}


@pytest.mark.parametrize("tests", BEHAVIOURS)
def test_the_dag_is_the_plan(tests: str, write_release: WriteRelease) -> None:
    """What Cosmos renders, with what the plan adds, is what the plan says: the same ids and the same dependencies."""
    dag = build_dag(write_release(tests=tests))
    plan = Plan(shop(), "shop", tests, freshness=True)  # type: ignore[arg-type]
    assert set(dag.task_dict) == set(plan.tasks)
    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == plan.upstream
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == plan.downstream


@pytest.mark.parametrize("tests", BEHAVIOURS)
@pytest.mark.parametrize("freshness", [True, False])
def test_a_task_is_the_same_in_its_own_process(tests: str, freshness: bool, write_release: WriteRelease) -> None:
    """Built alone or with all others, a task has the same id, neighbours, pool, retries, pod and texts."""
    release = write_release(tests=tests, freshness=freshness)
    whole = build_dag(release)
    for task_id, task in whole.task_dict.items():
        alone = build_task(release, task_id)
        assert list(alone.task_dict) == [task_id]
        assert fields(alone.task_dict[task_id]) == fields(task)
        assert (alone.dag_id, alone.start_date, alone.timetable) == (whole.dag_id, whole.start_date, whole.timetable)


@pytest.mark.parametrize("tests", BEHAVIOURS)
def test_a_task_builds_one_operator_and_gives_cosmos_no_node(
    tests: str, write_release: WriteRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task's own process makes one operator, renders nothing and reads no manifest, however many nodes there are."""
    made: list[str] = []
    make = tasks.TaskFactory.make

    def count(self: Any, planned: Any, dag: Any, group: Any) -> BaseOperator:
        made.append(planned.spec.id)
        return make(self, planned, dag, group)

    monkeypatch.setattr(tasks.TaskFactory, "make", count)
    monkeypatch.setattr(dags, "build_airflow_graph", lambda **_: pytest.fail("Cosmos was asked to render"))
    monkeypatch.setattr(dags, "read_manifest", lambda _: pytest.fail("the manifest was read"))
    dag = build_task(
        write_release(chain(300), tests=tests), task_id := f"model_150.{'build' if tests == 'build' else 'run'}"
    )
    assert made == [task_id] == list(dag.task_dict)


def test_cosmos_makes_the_same_of_the_same_project(write_release: WriteRelease) -> None:
    """Our tasks and edges are those of Cosmos' own DbtDag, where it runs all tests at the right time."""
    project = manifest(*(one for one in chain(12)["nodes"].values()))
    release = write_release(project, tests="after_each")
    theirs = DbtDag(
        dag_id="theirs",
        start_date=dags._START,
        schedule=None,
        project_config=ProjectConfig(manifest_path=release.manifest_path, project_name="shop"),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.KUBERNETES,
            dbt_project_path="project",
            test_indirect_selection=TestIndirectSelection.CAUTIOUS,
        ),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=TestBehavior.AFTER_EACH,
            source_rendering_behavior=SourceRenderingBehavior.WITH_TESTS_OR_FRESHNESS,
        ),
        operator_args={"image": "x"},
    )
    ours = build_dag(release)
    assert edges(ours) == edges(theirs)
    for task_id, task in theirs.task_dict.items():
        if task_id.endswith(".run"):
            assert task.select == ours.task_dict[task_id].select


def test_a_tests_own_task_is_made_for_that_test(write_release: WriteRelease) -> None:
    """A relationship test's pod knows which test it runs, and asks dbt for that test only."""
    task = build_dag(write_release()).task_dict["relationships_lines_order_id_test"]
    assert task.plan.node == "test.shop.relationships_lines_order_id.d1"
    assert task.arguments == ["test", "--select", "fqn:shop.marts.relationships_lines_order_id.d1"]


@pytest.mark.parametrize(
    ("tests", "task_id", "arguments"),
    [
        ("build", "orders.build", ["build", "--indirect-selection", "cautious", "--select", "fqn:shop.marts.orders"]),
        (
            "build",
            "countries.build",
            ["build", "--indirect-selection", "cautious", "--select", "fqn:shop.seeds.countries"],
        ),
        ("build", "raw_orders.source", ["source", "freshness", "--select", "source:shop.raw.orders"]),
        ("after_each", "orders.run", ["run", "--select", "fqn:shop.marts.orders"]),
        (
            "after_each",
            "orders.test",
            ["test", "--indirect-selection", "cautious", "--select", "fqn:shop.marts.orders"],
        ),
        ("none", "countries.seed", ["seed", "--select", "fqn:shop.seeds.countries"]),
        ("none", "lines_v2.run", ["run", "--select", "fqn:shop.marts.lines.v2"]),
        ("none", "orders_history.snapshot", ["snapshot", "--select", "fqn:shop.snapshots.orders_history"]),
        ("after_all", "shop_test", ["test"]),
    ],
)
def test_what_dbt_is_asked_for(tests: str, task_id: str, arguments: list[str], write_release: WriteRelease) -> None:
    """Each kind of task asks dbt for its own node, and for the tests that look at no other."""
    assert build_task(write_release(tests=tests), task_id).task_dict[task_id].arguments == arguments


@pytest.mark.parametrize(
    ("tests", "publisher"),
    [("build", "orders.build"), ("after_each", "orders.test"), ("after_all", "orders.run"), ("none", "orders.run")],
)
def test_a_public_model_is_an_asset(tests: str, publisher: str, write_release: WriteRelease) -> None:
    """The task after which others may read it updates `wherry://<team>/<project>/<model>`; no other task any asset."""
    public = shop()
    for name in ("orders", "int_joined"):  # the second one is ephemeral: there is nothing to read
        public["nodes"][f"model.shop.{name}"]["config"]["access"] = "public"
    tasks = build_dag(write_release(public, tests=tests)).task_dict
    assert {task_id: task.outlets for task_id, task in tasks.items() if task.outlets} == {
        publisher: [Asset("wherry://acme-data/shop/orders")]
    }
    consumer = build_dag(write_release(project="reports", schedule=None, assets=["wherry://acme-data/shop/orders"]))
    assert list(consumer.timetable.asset_condition.objects) == tasks[publisher].outlets


def test_an_ephemeral_model_is_a_task_without_a_pod(release: Release) -> None:
    """It is part of its children's SQL; the task keeps the graph together."""
    task = build_dag(release).task_dict["int_joined.build"]
    assert type(task).__name__ == "EmptyOperator"
    assert task.upstream_task_ids == {"stg_orders.build", "stg_items.build"}


def test_the_policy_of_a_node_reaches_its_task(release: Release) -> None:
    """Pool, priority, retries and timeouts come from the team's rules, the node's config and its meta."""
    tasks_by_id = build_dag(release).task_dict
    orders, lines, totals = (tasks_by_id[f"{name}.build"] for name in ("orders", "lines_v2", "totals"))
    assert (orders.pool, lines.pool, totals.pool) == ("acme-data__heavy", "acme-data__transform", "acme-data__heavy")
    assert (orders.priority_weight, lines.priority_weight, totals.priority_weight) == (1, 7, 10)
    assert (orders.retries, lines.retries, totals.retries) == (2, 0, 1)
    assert totals.plan.timeout == timedelta(hours=1)
    assert totals.execution_timeout > totals.plan.timeout + totals.plan.startup_timeout + totals.plan.grace
    assert orders.retry_exponential_backoff == 2
    assert {task.owner for task in tasks_by_id.values()} == {"acme-data"}


def warm_dag(release: Release) -> DAG:
    settings = ReleaseSettings(team=release.settings.team.model_copy(update={"warm_pods": 3}))
    return build_dag(replace(release, settings=settings))


def test_pods_wait_for_nodes_whose_pods_are_alike(write_release: WriteRelease) -> None:
    """As many as the team file says, and none by default; none for a node with resources of its own."""
    release = write_release(nodes=[{"select": "tag:heavy", "resources": {"memory": "768Mi"}}])
    assert {task.plan.warm for task in build_dag(release).tasks if hasattr(task, "plan")} == {0}
    dag = warm_dag(release)
    assert [dag.task_dict[name].plan.warm for name in ("orders.build", "totals.build")] == [3, 0]


def test_no_pod_waits_where_one_builds_all_nodes(write_release: WriteRelease) -> None:
    """The watcher's pod is one a run."""
    release = write_release(chain(3), execution="watcher_kubernetes", nodes=[], freshness=False)
    assert {task.plan.warm for task in warm_dag(release).tasks} == {0}


def test_the_pod_is_the_releases(release: Release) -> None:
    """Namespace, account, Secret and image come from the team and the release; an image's digest is used when known."""
    plan = build_dag(release).task_dict["orders.build"].plan
    assert (plan.namespace, plan.service_account, plan.secret) == ("team-acme", "runner", "warehouse")
    assert (plan.image, plan.node, plan.release_id) == (release.image, "model.shop.orders", release.id)
    pinned = build_dag(with_digest(release, "sha256:" + "a" * 64)).task_dict["orders.build"].plan
    assert pinned.image == f"{release.image}@sha256:{'a' * 64}"


def test_the_dag_says_what_it_is(release: Release) -> None:
    """Its tags, docs and schedule are the team's."""
    dag = build_dag(release)
    assert dag.dag_id == "acme-data__shop"
    assert dag.tags == {"acme-data", "shop", "dbt"}
    assert (dag.catchup, dag.max_active_runs, dag.schedule) == (False, 1, "0 6 * * *")
    for word in (release.id, "0123456789abcdef", "ana\\.lopes\\@example\\.com", "\\#acme\\-data"):
        assert word in dag.doc_md


def test_only_the_pools_bound_how_many_run_at_once(release: Release) -> None:
    """The DAG's own bound is the slots of all the team's pools: Airflow's default, 16, would hold a wide level back."""
    slots = [warehouse["slots"] for warehouse in TEAM["warehouses"].values()]
    assert build_dag(release).max_active_tasks == sum(slots)


def test_a_dag_may_wait_for_assets(write_release: WriteRelease) -> None:
    """A team may name the assets that start a run; or nothing, for runs by hand only."""
    dag = build_dag(write_release(schedule=None, assets=["s3://acme/orders"]))
    assert list(dag.schedule) == [Asset("s3://acme/orders")]
    assert build_dag(write_release(project="by_hand", schedule=None)).schedule is None


def test_what_a_dbt_author_may_not_set_is_ignored_and_reported(
    write_release: WriteRelease, caplog: pytest.LogCaptureFixture
) -> None:
    """Cosmos' own meta and foreign pools never reach a task; the DAG is tagged, and its docs and the log say why."""
    operator_kwargs = {"namespace": "kube-system", "image": "evil", "service_account_name": "admin", "pool": "theirs"}
    release = write_release(
        manifest(
            node("model", "a", config={"meta": {"cosmos": {"operator_kwargs": operator_kwargs}}}),
            node("model", "b", config={"meta": {"cosmos": "nonsense", "owner": "root"}}),
            node("model", "c", config={"meta": {"wherry": {"pool": "other-team__transform", "image": "evil"}}}),
            node("model", "d", config={"meta": {"cosmos": {"profile_config": {"target_name": "other"}}}}),
        )
    )
    dag = build_dag(release)
    for task in dag.tasks:
        assert (task.pool, task.owner) == ("acme-data__transform", "acme-data")
        assert (task.plan.namespace, task.plan.image, task.plan.service_account) == (
            "team-acme",
            release.image,
            "runner",
        )
    assert dags.REFUSED_TAG in dag.tags
    assert "Ignored" in dag.doc_md
    assert "kube" not in str([fields(task) for task in dag.tasks])
    assert "meta.wherry.pool" in caplog.text


def test_a_hundred_refusals_dont_drown_the_docs(write_release: WriteRelease) -> None:
    """The docs show the first refusals and count the others."""
    nodes = (node("model", f"m{index}", config={"meta": {"cosmos": {}}}) for index in range(100))
    assert "and 80 more" in build_dag(write_release(manifest(*nodes))).doc_md


def test_a_teams_words_are_neither_rendered_nor_markup(write_release: WriteRelease) -> None:
    """Names and descriptions are shown sign by sign: no Jinja, HTML or Markdown, and no file is read in their stead."""
    evil = (
        "{{ conn.x.password }} <script>alert(1)</script> [go](javascript:x) ![i](http://x/y) \x00\n# h\n/etc/passwd.md"
    )
    release = write_release(manifest(node("model", evil, description=evil, tags=[evil] * 3)))
    dag = build_dag(release)
    (task,) = dag.tasks
    for shown in (task.doc_md, dag.doc_md):
        assert "<script" not in shown
        assert "{{" not in shown
        assert "](" not in shown
        assert not shown.endswith(".md")
    assert "\n" not in task.task_display_name
    DagSerialization.to_dict(dag)


@pytest.mark.parametrize("tests", BEHAVIOURS)
def test_what_the_scheduler_reads_is_what_was_built(tests: str, write_release: WriteRelease) -> None:
    """Pools, retries, priorities, owners, tags and texts survive Airflow's serialisation."""
    dag = build_dag(write_release(tests=tests))
    read = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert (read.tags, read.doc_md, read.max_active_runs) == (dag.tags, dag.doc_md, 1)
    for task_id, task in dag.task_dict.items():
        found = read.task_dict[task_id]
        for field in ("pool", "retries", "priority_weight", "owner", "task_display_name", "doc_md", "retry_delay"):
            assert getattr(found, field) == getattr(task, field), (task_id, field)
        assert found.upstream_task_ids == task.upstream_task_ids
        assert found.execution_timeout == task.execution_timeout


def test_an_unknown_task_is_looked_for_in_the_whole_dag(release: Release) -> None:
    """An id that the plan doesn't know builds everything, so that Airflow itself says that it is missing."""
    assert set(build_task(release, "gone.build").task_dict) == set(build_dag(release).task_dict)


def test_rendering_is_quiet(release: Release, caplog: pytest.LogCaptureFixture) -> None:
    """No warning for what isn't wrong: seeds' files lie in the image, not beside Airflow."""
    with caplog.at_level(logging.WARNING):
        build_dag(release)
    assert not caplog.records
