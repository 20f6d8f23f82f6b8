"""The operators as a DAG's author sees them: arguments, template fields, and what is refused."""

import inspect
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.serialization.serialized_objects import DagSerialization

from tests.operator.airflow_side import in_a_dag
from tests.operator.conftest import World
from tests.pod.examples import FINANCE
from wherry import operator as room
from wherry.operator import DbtBuildPodOperator, DbtSourcePodOperator, DbtTestPodOperator, PodOperator
from wherry.operator.lean import LeanOperator

VERBS = {
    room.DbtRunPodOperator: ["run"],
    room.DbtTestPodOperator: ["test"],
    room.DbtBuildPodOperator: ["build"],
    room.DbtSeedPodOperator: ["seed"],
    room.DbtSnapshotPodOperator: ["snapshot"],
    room.DbtSourcePodOperator: ["source", "freshness"],
}
HANDED_BY_COSMOS = {
    "project_dir": "project",
    "partial_parse": True,
    "profile_config": None,
    "emit_datasets": False,
    "env": {},
    "vars": None,
    "cache_dir": None,
    "manifest_filepath": "manifest.json",
}


def make(kind: type[PodOperator] = DbtBuildPodOperator, **arguments: Any) -> PodOperator:
    return kind(task_id="fct_orders.build", plan=FINANCE, **HANDED_BY_COSMOS | arguments)


@pytest.mark.parametrize(("kind", "verb"), VERBS.items())
def test_each_operator_asks_for_its_verb(kind: type[PodOperator], verb: list[str]) -> None:
    """Cosmos' command without executable, folders, profile and target: the runner knows those."""
    assert make(kind, select="fqn:finance.fct_orders").arguments == [*verb, "--select", "fqn:finance.fct_orders"]


def test_cosmos_flags_reach_dbt() -> None:
    """What Cosmos' operators understand ends up in dbt's arguments, after the verb."""
    found = make(full_refresh=True, exclude="tag:slow", indirect_selection="buildable", fail_fast=True).arguments
    assert found == [
        "build", "--indirect-selection", "buildable", "--exclude", "tag:slow", "--fail-fast", "--full-refresh",
    ]  # fmt: skip
    assert make(DbtTestPodOperator, select=["a", "b"]).arguments == ["test", "--select", "a b"]


@pytest.mark.parametrize(
    "arguments",
    [{"image": "evil"}, {"namespace": "other"}, {"service_account_name": "admin"}, {"resourcs": {}}, {"env_vars": {}},
     {"volumes": []}, {"secrets": []}, {"on_warning_callback": print}, {"deferrable": True}],
)  # fmt: skip
@pytest.mark.parametrize("kind", [DbtBuildPodOperator, DbtSourcePodOperator])
def test_an_argument_that_nobody_reads_is_refused(kind: type[PodOperator], arguments: dict[str, Any]) -> None:
    """A slip, or an attempt on what the plan decides, is an error and not silence."""
    with pytest.raises(TypeError, match=f"fct_orders.build: unknown argument {next(iter(arguments))}"):
        make(kind, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [{"vars": {"a": 1}}, {"env": {"A": "b"}}, {"append_env": True}, {"dbt_cmd_global_flags": ["--debug"]},
     {"interceptors": [print]}],
)  # fmt: skip
def test_an_argument_that_cannot_reach_the_pod_is_refused(arguments: dict[str, Any]) -> None:
    """Cosmos would take it; our pod would not see it."""
    with pytest.raises(TypeError, match="can't reach the pod"):
        make(**arguments)


def test_the_plan_is_needed() -> None:
    """No operator without the plan that says what its pod is like."""
    with pytest.raises(TypeError, match="plan"):
        DbtBuildPodOperator(task_id="x", project_dir="p")


def test_a_teams_text_stays_literal(world: World, dbt_log: Any) -> None:
    """`{{ 7*7 }}` in a selector is shown, and handed to dbt, as it stands."""
    world.image("args:", "finish:success")
    hostile = "{{ 7*7 }}{{ conn.x.password }}{% raw %}"
    with in_a_dag():
        task = make(select=hostile, exclude="{{ var.value.y }}")
        task.plan = world.plan
    task.render_template_fields({})
    assert task.arguments == ["build", "--select", hostile, "--exclude", "{{ var.value.y }}"]


def test_what_the_ui_shows(world: World, dbt_log: Any) -> None:
    """Image, namespace and dbt's arguments, unrendered, are the task's rendered fields."""
    world.image("args:", "finish:success")
    assert world.run(exclude="{{ 7*7 }}").state == "success"
    shown = ["build", "--select", "fqn:finance.fct_orders", "--exclude", "{{ 7*7 }}"]
    assert world.supervisor.rendered == {
        "image": world.plan.image, "namespace": world.plan.namespace, "arguments": shown,
    }  # fmt: skip
    assert dbt_log() == [str(shown).replace("'", '"')]


def test_a_serialized_task_is_small() -> None:
    """A DAG of ours goes into the database without the plan, and with three template fields a task."""
    with in_a_dag() as dag:
        make(select="fqn:finance.fct_orders")
    found = DagSerialization.to_dict(dag)["dag"]["tasks"][0]["__var"]
    assert found["template_fields"] == ["image", "namespace", "arguments"]
    assert "plan" not in found
    assert len(str(found)) < 1500


@pytest.mark.parametrize("kind", VERBS)
def test_a_lean_operator_is_what_cosmos_would_construct(kind: type[PodOperator]) -> None:
    """All that Airflow and Cosmos know of an operator is as by Cosmos' own constructor; a pod's fields are missing."""
    cosmos_own = type(kind.__name__, tuple(base for base in kind.__bases__ if base is not LeanOperator), {})
    arguments = {"select": "fqn:a", "full_refresh": True, "retries": 3, "pool": "p"}
    lean, full = vars(make(kind, **arguments)), vars(make(cosmos_own, **arguments))
    made = {"_BaseOperator__init_kwargs", "start_date"}  # by each constructor; the other by Airflow's clock
    assert {name: full[name] for name in lean.keys() - made} == {name: lean[name] for name in lean.keys() - made}
    assert not {name for name in full.keys() - lean.keys() if name in inspect.signature(BaseOperator).parameters}


def test_constructing_takes_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DAG of thousands of operators is parsed again and again: no signature is looked up, few fields are set."""
    make()
    names: list[str] = []
    original = BaseOperator.__setattr__
    monkeypatch.setattr(
        BaseOperator, "__setattr__", lambda self, key, value: names.append(key) or original(self, key, value)
    )
    monkeypatch.setattr(inspect, "signature", lambda *_, **__: pytest.fail("a signature was looked up"))
    make()
    assert len(names) <= 110
