"""A DAG out of a release: all of it, rendered by Cosmos, or one task of it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, Asset, BaseOperator, TaskGroup
from airflow.sdk.exceptions import AirflowFailException
from cosmos.airflow.graph import build_airflow_graph
from cosmos.config import ExecutionConfig, ProjectConfig, RenderConfig
from cosmos.constants import (
    DbtResourceType,
    ExecutionMode,
    InvocationMode,
    LoadMode,
    SourceRenderingBehavior,
    TestBehavior,
    TestIndirectSelection,
)
from cosmos.dbt.graph import DbtGraph, DbtNode

from wherry.graph.docs import broken_doc, dag_doc
from wherry.graph.modes import mode_of
from wherry.graph.tasks import TaskFactory
from wherry.release.execution import execution_of, is_watched
from wherry.release.model import Release, read_manifest
from wherry.release.plan import Plan, one_line
from wherry.release.policy import Refusal
from wherry.release.tasks import check_tasks, plan_of, read_task
from wherry.teams import Execution

log = logging.getLogger(__name__)

REFUSED_TAG: Final = "refused settings"
BROKEN_TAG: Final = "broken release"
BROKEN_TASK: Final = "broken_release"
_START: Final = datetime(2025, 1, 1, tzinfo=UTC)
_TAG_LENGTH: Final = 100


class ReleaseDag(DAG):
    """A DAG that is its own key.

    Airflow's hash of a DAG covers all its task ids, and is taken for each dependency that is set: quadratic.
    """

    __hash__ = object.__hash__


class TaskDag(ReleaseDag):
    """A DAG of the one task that this process runs. The task knows its neighbours' ids; they aren't built."""

    def check_cycle(self) -> None:
        """Do nothing: the dag-processor has checked the whole DAG, and here the neighbours are missing."""


class _ReleaseGraph(DbtGraph):  # type: ignore[misc,unused-ignore]
    """Cosmos' manifest loader, on a manifest that has been read and verified already."""

    def __init__(self, manifest: dict[str, Any], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._manifest = manifest

    def _load_manifest_from_file(self, manifest_path: Any) -> dict[str, Any]:  # noqa: ARG002
        return self._manifest


def build_dag(release: Release) -> DAG:
    """The whole DAG. Raises ReleaseError when the manifest or the file of tasks doesn't match its checksum."""
    check_tasks(release)
    execution = execution_of(release.settings)
    factory = TaskFactory(release, mode_of(execution, release))
    plan = plan_of(read_manifest(release), release.settings, execution)
    refusals = factory.refusals(plan)
    for refusal in refusals:
        log.warning("%s: ignored: %s", release.dag_id, one_line(str(refusal), 500))
    dag = ReleaseDag(release.dag_id, **_dag_arguments(release, execution, refusals))
    _render(factory, plan, dag)
    _complete(factory, plan, dag)
    return dag


def build_task(release: Release, task_id: str) -> DAG:
    """The DAG with this task alone, its fields as in the whole one; the whole one when there is no such task."""
    execution = execution_of(release.settings)
    planned = read_task(release, task_id, execution)
    if planned is None:
        return build_dag(release)
    dag = TaskDag(release.dag_id, **_dag_arguments(release, execution, ()))
    group = TaskGroup(planned.spec.group, dag=dag) if planned.spec.group else None
    task = TaskFactory(release, mode_of(execution, release)).make(planned, dag, group)
    task.upstream_task_ids = set(planned.upstream)
    task.downstream_task_ids = set(planned.downstream)
    return dag


def broken_dag(dag_id: str, reason: str) -> DAG:
    """What stands in for a release that can't be run: where people look for it, with the reason, doing nothing."""

    def fail() -> None:
        raise AirflowFailException(reason)

    with ReleaseDag(
        dag_id, schedule=None, start_date=_START, catchup=False, tags=[BROKEN_TAG], doc_md=broken_doc(reason)
    ) as dag:
        PythonOperator(task_id=BROKEN_TASK, python_callable=fail)
    return dag


def _dag_arguments(release: Release, execution: Execution, refusals: Sequence[Refusal]) -> dict[str, Any]:
    team, project = release.settings.team, release.settings.project
    # The pools say how many run at once, and Airflow's default of 16 a DAG must not. Watchers are in no pool of the
    # team's: the producer has its warehouse's slots.
    warehouses = [team.warehouses[project.warehouse]] if is_watched(execution) else team.warehouses.values()
    tags = [team.name, release.project, "dbt", *([REFUSED_TAG] if refusals else [])]
    return {
        "schedule": [Asset(uri) for uri in project.assets] or project.schedule,
        "start_date": _START,
        "catchup": False,
        "max_active_runs": 1,
        "max_active_tasks": sum(warehouse.slots for warehouse in warehouses),
        "tags": [tag[:_TAG_LENGTH] for tag in tags],
        "description": f"dbt project {release.project} of team {team.name}",
        "doc_md": dag_doc(release, execution, refusals),
        "default_args": {"owner": team.name},
    }


def _render(factory: TaskFactory, plan: Plan, dag: DAG) -> None:
    """Let Cosmos lay out tasks, task groups and dependencies; each task itself is made by the factory."""
    make = _converter(factory, plan)
    render = RenderConfig(
        test_behavior=TestBehavior(plan.tests),
        load_method=LoadMode.DBT_MANIFEST,
        invocation_mode=InvocationMode.SUBPROCESS,  # the other one asks for dbt beside Airflow
        source_rendering_behavior=SourceRenderingBehavior.WITH_TESTS_OR_FRESHNESS,
        node_converters={DbtResourceType(kind): make for kind in ("model", "seed", "snapshot", "source", "test")},
        node_conversion_by_task_group=False,
        normalize_task_id=_task_id(plan),
        emit_datasets=False,
        enable_owner_inheritance=False,
    )
    execution = ExecutionConfig(
        execution_mode=ExecutionMode.KUBERNETES,
        dbt_project_path="project",
        test_indirect_selection=TestIndirectSelection.CAUTIOUS,
    )
    project = ProjectConfig(manifest_path=factory.release.manifest_path, project_name=plan.project)
    graph = _ReleaseGraph(_for_cosmos(plan), project=project, render_config=render, execution_config=execution)
    graph.load(LoadMode.DBT_MANIFEST, ExecutionMode.KUBERNETES)
    for node in graph.filtered_nodes.values():
        vars(node)["checksum"] = None  # else Cosmos looks for each seed's file, and warns: it is in the image
    build_airflow_graph(
        nodes=graph.filtered_nodes,
        dag=dag,
        execution_mode=ExecutionMode.KUBERNETES,
        task_args={},
        test_indirect_selection=TestIndirectSelection.CAUTIOUS,
        dbt_project_name=plan.project,
        render_config=render,
    )


def _converter(factory: TaskFactory, plan: Plan) -> Callable[..., BaseOperator]:
    """Cosmos' `node_converters` seam: what Cosmos would make a task of, the factory makes, from the plan by its id."""

    def convert(*, dag: DAG, task_group: TaskGroup | None, task_id: str, **_: Any) -> BaseOperator:
        full_id = f"{task_group.group_id}.{task_id}" if task_group else task_id
        return factory.make(plan.planned(full_id), dag, task_group)

    return convert


def _task_id(plan: Plan) -> Callable[[DbtNode], str]:
    ids = {_cosmos_id(plan, unique_id): plan.task_of(unique_id) for unique_id in plan.nodes}
    return lambda node: ids.get(node.unique_id, node.name)  # Cosmos asks for tests too, and doesn't use it


def _cosmos_id(plan: Plan, unique_id: str) -> str:
    return f"{plan.nodes[unique_id]['resource_type']}.dbt.{plan.names[unique_id]}"


def _for_cosmos(plan: Plan) -> dict[str, Any]:
    """The manifest as Cosmos needs it: nodes that have a task, under names that are valid ids, without a word of meta.

    In place of a node's tests stands one: it is what makes Cosmos add their task. Tests that Cosmos would run too
    early, twice or never (with several parents, of sources, of ephemeral models) are added by `_complete`.
    """
    nodes: dict[str, Mapping[str, Any]] = {}
    for unique_id in filter(plan.runs, plan.nodes):
        cosmos_id = _cosmos_id(plan, unique_id)
        parents = [_cosmos_id(plan, parent) for parent in plan.parents(unique_id) if plan.runs(parent)]
        nodes[cosmos_id] = _cosmos_node(plan.nodes[unique_id], parents)
        if plan.is_grouped(unique_id):
            nodes[f"test.dbt.{plan.names[unique_id]}"] = _cosmos_node({"resource_type": "test"}, [cosmos_id])
    return {"metadata": {}, "nodes": nodes}


def _cosmos_node(node: Mapping[str, Any], parents: list[str]) -> dict[str, Any]:
    return {
        "resource_type": node["resource_type"],
        "original_file_path": "project",  # Cosmos leaves out what has none
        "depends_on": {"nodes": parents},
        "freshness": node.get("freshness"),
    }


def _complete(factory: TaskFactory, plan: Plan, dag: DAG) -> None:
    """Add the tasks of the plan that Cosmos doesn't render, and see that there are no others."""
    missing = plan.tasks.keys() - dag.task_dict.keys()
    for task_id in sorted(missing):
        factory.make(plan.planned(task_id), dag, dag.task_group)
    for task_id, task in dag.task_dict.items():
        if unset := plan.upstream[task_id] - task.upstream_task_ids:
            task.set_upstream([dag.task_dict[other] for other in sorted(unset)])
