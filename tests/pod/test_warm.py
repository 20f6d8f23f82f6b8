"""The pod that waits and the change that hands it its node, as a whole."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kubernetes.client import ApiClient

from tests.pod.examples import FINANCE, FIRST, GROWTH, finance_spec
from tests.pod.test_names import DNS_LABEL, LABEL_VALUE
from wherry.localcluster.patch import MERGE, patched
from wherry.localcluster.selectors import label_predicate
from wherry.pod import (
    arguments,
    claimable,
    launch_selector,
    make_claim,
    make_pod,
    make_waiting_pod,
    team_selector,
    waiting_label,
    waits_for_project,
)
from wherry.teams import Resources

ARGS = ["build", "--select", "fqn:finance.fct_orders"]
NOW = datetime(2026, 11, 22, 6, 5, tzinfo=UTC)
Json = dict[str, Any]


def as_json(pod: Any) -> Json:
    return ApiClient().sanitize_for_serialization(pod)  # type: ignore[no-any-return]


def waiting(**metadata: Any) -> Json:
    """A waiting pod as the API shows it after five minutes."""
    pod = as_json(make_waiting_pod(FINANCE, "1"))
    stamps = {"resourceVersion": "41", "creationTimestamp": "2026-11-22T06:00:00Z"}
    status = {"phase": "Running", "startTime": "2026-11-22T06:00:02Z"}
    return {**pod, "metadata": {**pod["metadata"], **stamps, **metadata}, "status": status}


def test_the_pod_that_waits_for_a_finance_node() -> None:
    """The whole object: the pod of a node, but for arguments, environment, deadline, and the file that brings work."""
    known = {"WHERRY_TEAM": "finance", "WHERRY_PROJECT": "finance", "WHERRY_RELEASE_ID": "0123456789abcdef"}
    expected = finance_spec(605400, ["wait", "/var/run/wherry/node", "600"], known)
    mount = {"name": "work", "mountPath": "/var/run/wherry", "readOnly": True}
    item = {"path": "node", "fieldRef": {"fieldPath": "metadata.annotations['wherry.dev/work']"}}
    expected["containers"][0]["volumeMounts"].append(mount)
    expected["volumes"].append({"name": "work", "downwardAPI": {"items": [item]}})
    assert as_json(make_waiting_pod(FINANCE, "1")) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "finance-finance-waits-1c7f5eebe9",
            "namespace": "team-finance",
            "labels": {
                "app.kubernetes.io/managed-by": "wherry",
                "wherry.dev/instance": waiting_label(FINANCE),
                "wherry.dev/release": "0123456789abcdef",
                "wherry.dev/team": "finance",
                "wherry.dev/project": "finance",
            },
            "annotations": {"wherry.dev/team": "finance", "wherry.dev/project": "finance"},
        },
        "spec": expected,
    }


def test_the_claim_for_a_finance_node() -> None:
    """The whole change: conditional on what was seen; labels and annotations of the node's own pod, its work, its time.

    298 seconds have passed since the pod's start, and the node may take 30 minutes.
    """
    claim = make_claim(FINANCE, FIRST, ARGS, waiting(), NOW)
    work = claim["metadata"]["annotations"].pop("wherry.dev/work")
    own = as_json(make_pod(FINANCE, FIRST, ARGS))
    assert claim == {
        "metadata": {
            "resourceVersion": "41",
            "labels": own["metadata"]["labels"],
            "annotations": own["metadata"]["annotations"],
        },
        "spec": {"activeDeadlineSeconds": 1800 + 298},
    }
    assert json.loads(work) == {
        "args": ["build", "--select", "fqn:finance.fct_orders"],
        "env": {
            "WHERRY_DAG_ID": "finance__finance",
            "WHERRY_RUN_ID": "manual__2026-11-22T06:00:00+00:00",
            "WHERRY_TASK_ID": "fct_orders.build",
            "WHERRY_TRY": "1",
            "WHERRY_NODE": "model.finance.fct_orders",
            "WHERRY_QUERY_TAG": '{"team":"finance","project":"finance","dag":"finance__finance",'
            '"run":"manual__2026-11-22T06:00:00+00:00","node":"model.finance.fct_orders"}',
            "WHERRY_WAREHOUSE": "TRANSFORM_WH",
        },
    }


@pytest.mark.parametrize(("plan", "args"), [(FINANCE, ARGS), (GROWTH, ["test"]), (FINANCE, ["build", "a$(X) é\ud800"])])
def test_a_claimed_pod_says_what_the_nodes_own_pod_says(plan: Any, args: list[str]) -> None:
    """The same labels, annotations, arguments and environment, as if it had been made for the node."""
    seen = {**as_json(make_waiting_pod(plan, "1")), "status": {}}
    seen["metadata"]["resourceVersion"] = "1"
    claim = make_claim(plan, FIRST, args, seen, NOW)
    claimed, own = patched(seen, claim, MERGE), as_json(make_pod(plan, FIRST, args))
    assert claimed["metadata"]["labels"] == own["metadata"]["labels"]
    assert own["metadata"]["annotations"].items() <= claimed["metadata"]["annotations"].items()
    assert arguments(claimed) == arguments(own) == own["spec"]["containers"][0]["args"]
    given = {item["name"]: item["value"] for item in seen["spec"]["containers"][0]["env"]}
    work = json.loads(claimed["metadata"]["annotations"]["wherry.dev/work"])
    assert given | work["env"] == {item["name"]: item["value"] for item in own["spec"]["containers"][0]["env"]}
    assert len(json.dumps(work)) < 20_000


@pytest.mark.parametrize(
    "changes",
    [
        {"image": "wherry.local/finance-finance:fedcba9876543210"},
        {"release_id": "fedcba9876543210"},
        {"secret": "other"},
        {"service_account": "other"},
        {"resources": Resources(memory_limit="2Gi")},
        {"grace": timedelta(seconds=31)},
    ],
)
def test_whatever_makes_another_pod_waits_under_another_label(changes: Json) -> None:
    """A node never gets a pod that isn't what its own would be, whatever has been released meanwhile."""
    assert waiting_label(replace(FINANCE, **changes)) != waiting_label(FINANCE)


def test_nodes_that_differ_in_their_work_share_what_waits() -> None:
    """The node, its timeout and its warehouse come with the claim."""
    other = replace(FINANCE, node="model.finance.other", timeout=timedelta(hours=3), compute="HEAVY_WH")
    assert waiting_label(other) == waiting_label(FINANCE)
    assert LABEL_VALUE.fullmatch(waiting_label(FINANCE))


def test_one_selector_finds_a_trys_pods_and_those_that_wait() -> None:
    """Not those of other tries' instances, nor those of another release."""
    matches = label_predicate(launch_selector(FIRST, waiting_label(FINANCE)))
    other = replace(FINANCE, release_id="fedcba9876543210")
    assert matches(as_json(make_pod(FINANCE, FIRST, ARGS)))
    assert matches(as_json(make_waiting_pod(FINANCE, "1")))
    assert not matches(as_json(make_pod(FINANCE, replace(FIRST, task_id="other"), ARGS)))
    assert not matches(as_json(make_waiting_pod(other, "1")))


def test_what_waits_for_a_project_is_found_whatever_its_release() -> None:
    """For a pod that needs its room; none that has a node is among them."""
    plan = replace(FINANCE, release_id="fedcba9876543210")
    of_team, own = label_predicate(team_selector(plan)), as_json(make_pod(FINANCE, FIRST, ARGS))
    others = [as_json(make_waiting_pod(each, "1")) for each in (replace(FINANCE, project="other"), GROWTH)]
    pods = [as_json(make_waiting_pod(FINANCE, "1")), own, *others]
    assert [of_team(pod) for pod in pods] == [True, True, True, False]
    assert [waits_for_project(pod, plan) for pod in pods] == [True, False, False, False]


@pytest.mark.parametrize("project", ["x" * 60, "a_", "finance"])
def test_a_waiting_pods_name_is_its_seeds(project: str) -> None:
    """A DNS label, one for each seed and release: the API server refuses the second that is asked for."""
    plan = replace(FINANCE, project=project, team="t" * 40)
    names = {
        make_waiting_pod(each, seed).metadata.name for seed in "ab" for each in (plan, replace(plan, release_id="2"))
    }
    assert len(names) == 4
    assert all(DNS_LABEL.fullmatch(name) and len(name) <= 63 for name in names)
    assert all(LABEL_VALUE.fullmatch(value) for value in make_waiting_pod(plan, "a").metadata.labels.values())


@pytest.mark.parametrize(
    ("status", "metadata", "expected"),
    [
        ({"phase": "Running"}, {}, True),
        ({"phase": "Pending"}, {}, True),
        ({"phase": "Succeeded"}, {}, False),
        ({"phase": "Failed"}, {}, False),
        ({"phase": "Running"}, {"deletionTimestamp": "2026-11-22T06:04:00Z"}, False),
        ({"phase": "Running"}, {"creationTimestamp": "2026-11-22T05:55:50Z"}, False),
        ({"phase": "Running"}, {"creationTimestamp": "2026-11-22T06:05:09Z"}, True),
    ],
)
def test_only_a_pod_that_will_live_is_claimed(status: Json, metadata: Json, expected: bool) -> None:
    """Not one that ended, is being deleted, or will soon have waited enough; a clock that is ahead does no harm."""
    pod = {**waiting(**metadata), "status": status}
    assert claimable(pod, NOW, FINANCE.idle) is expected


@pytest.mark.parametrize("said", ["", "[]", "{}", '{"args": 7}', '{"args": [7]}', "[" * 100_000, "{"])
def test_work_that_nobody_can_read_is_no_work(said: str) -> None:
    """An annotation is text that others may have written: it gives no arguments, and no error."""
    assert arguments(waiting(annotations={"wherry.dev/work": said})) == []
