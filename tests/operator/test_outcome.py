"""From a pod's last state to what follows: a table, and the order in which its rules count."""

from pathlib import Path
from typing import Any

import pytest

from wherry.operator.outcome import EFFECTS, Cause, Outcome, classify, finished, stuck
from wherry.results.codec import NodeResult, Record, Status

DOCUMENT = Path(__file__).parents[2] / "docs/explanation/outcomes.md"


def pod(phase: str = "Running", state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    statuses = [{"name": "dbt", "state": state}] if state else []
    return {"metadata": {"name": "p"}, "status": {"phase": phase, "containerStatuses": statuses, **status}}


def ended(code: int, reason: str = "Error", **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, **more}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def unscheduled(message: str) -> dict[str, Any]:
    return {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}


def disrupted(reason: str) -> dict[str, Any]:
    return {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "words"}


@pytest.mark.parametrize(
    ("state", "status", "cause"),
    [
        (ended(0, "Completed"), Status.SUCCESS, Cause.SUCCESS),
        (ended(0, "Completed"), Status.WARN, Cause.WARN),
        (ended(1), Status.ERROR, Cause.DBT_ERROR),
        (ended(1), Status.FAIL, Cause.TEST_FAILED),
        (ended(2), Status.BROKEN, Cause.BROKEN_RELEASE),
        (ended(3), Status.TRANSIENT, Cause.TRANSIENT),
        (ended(130), Status.CANCELLED, Cause.LOST),
        (ended(137), None, Cause.LOST),
        (ended(143), None, Cause.LOST),
        (ended(137, "OOMKilled"), None, Cause.OUT_OF_MEMORY),
        (ended(0, "Completed"), None, Cause.NO_RECORD),
        (ended(1), None, Cause.NO_RECORD),
        (ended(128, "StartError", message="exec: no such file"), None, Cause.CONFIG),
        (None, None, Cause.NEVER_STARTED),
    ],
)
def test_a_container_that_ended(state: dict[str, Any] | None, status: Status | None, cause: Cause) -> None:
    """What the container reported decides, and its exit where it reported nothing."""
    assert classify(pod("Failed", state), Record(status) if status else None).cause is cause


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("DeadlineExceeded", Cause.DEADLINE),
        ("Evicted", Cause.EVICTED),
        ("Preempting", Cause.EVICTED),
        ("NodeLost", Cause.LOST),
        ("Terminated", Cause.LOST),
        ("NodeShutdown", Cause.LOST),
        ("OutOfmemory", Cause.NEVER_STARTED),
        ("UnexpectedAdmissionError", Cause.NEVER_STARTED),
    ],
)
@pytest.mark.parametrize("record", [None, Record(Status.CANCELLED)])
def test_a_pod_that_kubernetes_ended(reason: str, cause: Cause, record: Record | None) -> None:
    """The pod's own reason decides, also when dbt still had the time to say that it was cancelled."""
    found = classify(pod("Failed", ended(130), reason=reason, message="the node was low on memory"), record)
    assert found.cause is cause
    assert "the node was low on memory" in found.message


@pytest.mark.parametrize(("why", "cause"), [("EvictionByEvictionAPI", Cause.EVICTED), ("DeletionByPodGC", Cause.LOST)])
def test_a_disruption_counts_before_a_deletion(why: str, cause: Cause) -> None:
    """A drained node deletes its pods: that is an eviction, not somebody's hand."""
    assert classify(pod(conditions=[disrupted(why)]), None, gone=True).cause is cause


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.ERROR, Status.FAIL])
def test_what_dbt_finished_stays_finished(status: Status) -> None:
    """A pod that is evicted or deleted after dbt's end is judged by what dbt reported: it must not run again."""
    found = classify(pod("Failed", ended(1), reason="Evicted"), Record(status), gone=True)
    assert found.cause not in (Cause.EVICTED, Cause.GONE)


def test_a_deleted_pod_without_a_result() -> None:
    """Somebody deleted it: said so, and tried again."""
    found = classify(pod(state={"running": {}}), None, gone=True)
    assert (found.cause, found.retry, found.ok) == (Cause.GONE, True, False)
    assert "before its result was read" in found.message


def test_a_pod_without_a_node_says_why() -> None:
    """The scheduler's own words are passed on."""
    found = classify(pod("Pending", conditions=[unscheduled("0/3 nodes are available: 3 Insufficient memory.")]), None)
    assert found == Outcome(Cause.NEVER_STARTED, "Unschedulable: 0/3 nodes are available: 3 Insufficient memory.")


def test_a_pod_whose_sandbox_fails_says_why() -> None:
    """What stands only in the pod's events is passed on: the last warning."""
    events = [
        {"type": "Warning", "reason": "FailedCreatePodSandBox", "message": "no IP addresses available"},
        {"type": "Normal", "reason": "Scheduled", "message": "assigned"},
    ]
    found = classify(pod("Pending", waiting("ContainerCreating")), None, events)
    assert found.message == "FailedCreatePodSandBox: no IP addresses available"
    assert classify(pod("Pending", waiting("ContainerCreating")), None).message == "ContainerCreating"
    assert classify(pod("Pending"), None).message == "phase Pending"


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("ImagePullBackOff", Cause.IMAGE),
        ("ErrImagePull", Cause.IMAGE),
        ("InvalidImageName", Cause.IMAGE),
        ("CreateContainerConfigError", Cause.CONFIG),
        ("ContainerCreating", None),
        ("PodInitializing", None),
    ],
)
def test_a_pod_that_waits(reason: str, cause: Cause | None) -> None:
    """Some reasons to wait don't pass; the others are waited for."""
    found = stuck(pod("Pending", waiting(reason, 'secret "warehouse" not found')))
    assert (found.cause if found else None) is cause
    assert found is None or 'secret "warehouse" not found' in found.message


def test_a_container_beside_ours_is_not_looked_at() -> None:
    """A service mesh puts its own container into the pod, first in the list; only ours counts."""
    found = pod(state=ended(0))
    found["status"]["containerStatuses"].insert(0, {"name": "istio-proxy", "state": {"running": {}}})
    assert finished(found)
    assert classify(found, Record(Status.SUCCESS)).ok


def test_dbts_message_comes_first() -> None:
    """Of many results only the failing ones are told, each with its node's name."""
    results = (
        NodeResult("model.p.a", "success", message="OK"),
        NodeResult("test.p.not_null_a_id.abc", "fail", failures=3, message="Got 3 results, configured to fail if != 0"),
        NodeResult("test.p.unique_a_id.abc", "warn", message="Got 1 result"),
    )
    found = classify(pod("Failed", ended(1)), Record(Status.FAIL, results=results))
    assert found.message == "not_null_a_id: Got 3 results, configured to fail if != 0"
    assert (
        classify(pod(state=ended(0)), Record(Status.WARN, results=results[2:])).message == "unique_a_id: Got 1 result"
    )
    assert classify(pod(state=ended(2)), Record(Status.BROKEN, message="no slice")).message == "no slice"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Unknown"])
def test_a_finished_pod_by_its_phase(phase: str) -> None:
    """An evicted pod may have no container status at all."""
    assert finished(pod(phase))
    assert not finished(pod("Pending"))


def test_the_document_says_what_the_code_does() -> None:
    """docs/explanation/outcomes.md holds one row a cause, from the table in the code."""
    assert set(EFFECTS) == set(Cause)
    rows = [
        f"| `{cause.value}` | {effect.when} | {effect.then} | {'yes' if effect.retry else 'no'} |"
        for cause, effect in EFFECTS.items()
    ]
    assert "\n".join(rows) in DOCUMENT.read_text(encoding="utf-8")
