"""The pod as a whole, and what must never be in it."""

import json
from dataclasses import replace
from typing import Any

import pytest
from kubernetes.client import ApiClient

from tests.pod.examples import FINANCE, FIRST, GROWTH, finance_spec
from wherry.pod import PodPlan, TaskTry, make_pod

ARGS = ["build", "--select", "fqn:finance.fct_orders"]


def as_json(
    plan: PodPlan, attempt: TaskTry = FIRST, args: list[str] = ARGS, memory: str | None = None
) -> dict[str, Any]:
    return ApiClient().sanitize_for_serialization(make_pod(plan, attempt, args, memory))  # type: ignore[no-any-return]


def env(pod: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in pod["spec"]["containers"][0]["env"]}


def test_the_pod_of_a_finance_model() -> None:
    """The whole object that is sent to Kubernetes for one model of a team with a Secret."""
    assert as_json(FINANCE) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "finance-fct-orders-ca1104f3f1-1",
            "namespace": "team-finance",
            "labels": {
                "app.kubernetes.io/managed-by": "wherry",
                "wherry.dev/instance": "ca1104f3f1",
                "wherry.dev/release": "0123456789abcdef",
                "wherry.dev/team": "finance",
                "wherry.dev/project": "finance",
                "wherry.dev/dag": "finance__finance",
                "wherry.dev/run": "manual__2026-11-22T06-00-00-00-00-fb0f689429",
                "wherry.dev/node": "model.finance.fct_orders",
                "wherry.dev/task": "fct_orders.build",
                "wherry.dev/try": "1",
            },
            "annotations": {
                "wherry.dev/team": "finance",
                "wherry.dev/project": "finance",
                "wherry.dev/dag": "finance__finance",
                "wherry.dev/run": "manual__2026-11-22T06:00:00+00:00",
                "wherry.dev/node": "model.finance.fct_orders",
                "wherry.dev/task": "fct_orders.build",
                "wherry.dev/try": "1",
                "wherry.dev/map-index": "-1",
                "wherry.dev/clears": "0",
            },
        },
        "spec": finance_spec(
            1800,
            ["build", "--select", "fqn:finance.fct_orders"],
            {
                "WHERRY_TEAM": "finance",
                "WHERRY_PROJECT": "finance",
                "WHERRY_DAG_ID": "finance__finance",
                "WHERRY_RUN_ID": "manual__2026-11-22T06:00:00+00:00",
                "WHERRY_TASK_ID": "fct_orders.build",
                "WHERRY_TRY": "1",
                "WHERRY_NODE": "model.finance.fct_orders",
                "WHERRY_RELEASE_ID": "0123456789abcdef",
                "WHERRY_QUERY_TAG": '{"team":"finance","project":"finance","dag":"finance__finance",'
                '"run":"manual__2026-11-22T06:00:00+00:00","node":"model.finance.fct_orders"}',
                "WHERRY_WAREHOUSE": "TRANSFORM_WH",
            },
        ),
    }


def test_the_pod_of_growth_tests_with_more_memory() -> None:
    """What differs for a pod without node and Secret, on a mapped third try, after an out-of-memory kill."""
    attempt = TaskTry("growth__web", "scheduled__1", "tests", 4, 3, clears=2)
    pod = as_json(GROWTH, attempt, ["test"], "4Gi")
    container = pod["spec"]["containers"][0]
    assert "envFrom" not in container
    assert container["resources"] == {
        "requests": {"cpu": "1", "memory": "4Gi", "ephemeral-storage": "128Mi"},
        "limits": {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "2Gi"},
    }
    assert container["image"] == "wherry.local/growth-web@sha256:abc"
    assert pod["spec"]["serviceAccountName"] == "dbt"
    assert (pod["spec"]["activeDeadlineSeconds"], pod["spec"]["terminationGracePeriodSeconds"]) == (3600, 45)
    assert "wherry.dev/node" not in pod["metadata"]["labels"]
    assert pod["metadata"]["annotations"]["wherry.dev/map-index"] == "4"
    assert pod["metadata"]["annotations"]["wherry.dev/clears"] == "2"
    assert env(pod)["WHERRY_NODE"] == ""
    assert env(pod)["WHERRY_TRY"] == "3"


def test_the_same_input_gives_the_same_pod() -> None:
    """Pure: nothing of the clock or of chance is in it."""
    assert as_json(FINANCE) == as_json(FINANCE)


@pytest.mark.parametrize("text", ["$(DBT_ENV_SECRET_PASSWORD)", "a$b $(X) $$(Y)"])
def test_kubernetes_expands_nothing_that_came_from_outside(text: str) -> None:
    """`$(NAME)` in an argument or value would be replaced by a Secret's key: it is escaped as Kubernetes defines it."""
    pod = as_json(replace(FINANCE, node=text), replace(FIRST, run_id=text, task_id=text), ["build", "--select", text])
    values = [*pod["spec"]["containers"][0]["args"], *env(pod).values()]
    assert [value for value in values if "$" in value]
    for value in values:
        assert value.replace("$$", "").count("$(") == 0
    assert pod["spec"]["containers"][0]["args"][-1].replace("$$", "$") == text


@pytest.mark.parametrize("text", ["é" * 5000, '"*/ drop table x; --', "\\" * 3000, "\n\t\0" * 500, "\ud800" * 400])
def test_the_query_tag_stays_short_and_whole(text: str) -> None:
    """It is at most 2,000 characters of JSON, on one line, and can't end an SQL comment."""
    tag = env(as_json(replace(FINANCE, node=text), replace(FIRST, run_id=text, dag_id=text)))["WHERRY_QUERY_TAG"]
    assert len(tag) <= 2000
    assert set(json.loads(tag)) == {"team", "project", "dag", "run", "node"}
    assert "*/" not in tag
    assert "\n" not in tag
