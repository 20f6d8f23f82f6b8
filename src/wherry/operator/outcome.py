"""What became of a pod, and what follows from it. Pure: the pod's last known state goes in, the outcome comes out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from wherry.pod import CONTAINER
from wherry.results.codec import NodeResult, Record, Status

Json = Mapping[str, Any]


class Cause(StrEnum):
    """Why a try ended as it did."""

    SUCCESS = "success"
    WARN = "warn"
    DBT_ERROR = "dbt_error"
    TEST_FAILED = "test_failed"
    BROKEN_RELEASE = "broken_release"
    REFUSED = "refused"
    DEADLINE = "deadline"
    OUT_OF_MEMORY = "out_of_memory"
    MEMORY_CEILING = "memory_ceiling"
    TRANSIENT = "transient"
    EVICTED = "evicted"
    LOST = "lost"
    GONE = "gone"
    IMAGE = "image"
    CONFIG = "config"
    NEVER_STARTED = "never_started"
    NO_RECORD = "no_record"
    QUOTA = "quota"
    API = "api"
    KILLED = "killed"


@dataclass(frozen=True)
class Effect:
    """What a cause means, in a person's words, and whether another try makes sense."""

    when: str
    then: str
    retry: bool = False


EFFECTS: Final[Mapping[Cause, Effect]] = {
    Cause.SUCCESS: Effect("dbt did its work", "success"),
    Cause.WARN: Effect("a test or a freshness check warned", "success; the warnings stand in the task's log"),
    Cause.DBT_ERROR: Effect("dbt's own error: SQL, compilation, contract", "fails at once with dbt's message"),
    Cause.TEST_FAILED: Effect("a data test or unit test failed", "fails at once with dbt's message"),
    Cause.BROKEN_RELEASE: Effect("dbt never began: the release or its use is wrong", "fails at once"),
    Cause.REFUSED: Effect("no right, no namespace, or a policy against it", "fails at once with Kubernetes' words"),
    Cause.DEADLINE: Effect("the node ran longer than its timeout", "dbt cancels its query; fails, the timeout named"),
    Cause.OUT_OF_MEMORY: Effect(
        "killed for memory", "tries again with twice the memory, up to the team's limit", retry=True
    ),
    Cause.MEMORY_CEILING: Effect("killed for memory with the team's limit already", "fails, the limit named"),
    Cause.TRANSIENT: Effect("the warehouse was away, busy or dropped the connection", "tries again", retry=True),
    Cause.EVICTED: Effect("evicted or preempted by Kubernetes", "tries again", retry=True),
    Cause.LOST: Effect("its node went away, or something killed it", "tries again", retry=True),
    Cause.GONE: Effect("deleted by somebody before its result was read", "says so, tries again", retry=True),
    Cause.IMAGE: Effect("its image can't be pulled", "tries again, the image named", retry=True),
    Cause.CONFIG: Effect("its Secret or configuration is missing", "tries again, what is missing named", retry=True),
    Cause.NEVER_STARTED: Effect("no node took it in time", "tries again, the reason named", retry=True),
    Cause.NO_RECORD: Effect("it ended without a readable result", "tries again, the exit code named", retry=True),
    Cause.QUOTA: Effect("the namespace's quota was full", "waits for room; then tries again", retry=True),
    Cause.API: Effect(
        "the Kubernetes API was away or overloaded", "asks again, less and less often; then tries again", retry=True
    ),
    Cause.KILLED: Effect(
        "the task was cleared, marked or its worker stopped",
        "pod deleted, query cancelled; Airflow decides",
        retry=True,
    ),
}


@dataclass(frozen=True)
class Outcome:
    """How one try ended: the cause, and a message that a person reads first."""

    cause: Cause
    message: str

    @property
    def ok(self) -> bool:
        """Whether the task is a success."""
        return self.cause in (Cause.SUCCESS, Cause.WARN)

    @property
    def retry(self) -> bool:
        """Whether another try makes sense."""
        return EFFECTS[self.cause].retry


_DBT_SAID: Final = {
    Status.SUCCESS: Cause.SUCCESS,
    Status.WARN: Cause.WARN,
    Status.ERROR: Cause.DBT_ERROR,
    Status.FAIL: Cause.TEST_FAILED,
    Status.BROKEN: Cause.BROKEN_RELEASE,
    Status.TRANSIENT: Cause.TRANSIENT,
}
_POD_REASONS: Final = {
    "DeadlineExceeded": Cause.DEADLINE,
    "Evicted": Cause.EVICTED,
    "Preempting": Cause.EVICTED,
    "Preempted": Cause.EVICTED,
    "NodeLost": Cause.LOST,
    "NodeShutdown": Cause.LOST,
    "Shutdown": Cause.LOST,
    "Terminated": Cause.LOST,
    "NodeAffinity": Cause.NEVER_STARTED,
    "UnexpectedAdmissionError": Cause.NEVER_STARTED,
    "OutOfcpu": Cause.NEVER_STARTED,
    "OutOfmemory": Cause.NEVER_STARTED,
    "OutOfpods": Cause.NEVER_STARTED,
}
_WAITING_REASONS: Final = {
    "ImagePullBackOff": Cause.IMAGE,
    "ErrImagePull": Cause.IMAGE,
    "ErrImageNeverPull": Cause.IMAGE,
    "InvalidImageName": Cause.IMAGE,
    "ImageInspectError": Cause.IMAGE,
    "RegistryUnavailable": Cause.IMAGE,
    "CreateContainerConfigError": Cause.CONFIG,
    "CreateContainerError": Cause.CONFIG,
    "RunContainerError": Cause.CONFIG,
}


def classify(pod: Json, record: Record | None, events: Iterable[Json] = (), *, gone: bool = False) -> Outcome:
    """Say what became of the pod.

    `record` is what the container reported, None when it reported nothing readable; `gone` tells that the pod was
    deleted by somebody else; `events` (Kubernetes Event objects) explain a pod that never started. What dbt itself
    reported as final counts before what Kubernetes did to the pod afterwards.
    """
    if record and record.status in _DBT_SAID:
        return Outcome(_DBT_SAID[record.status], dbt_message(record))
    if disrupted := _disrupted(pod):
        return disrupted
    if gone:
        return Outcome(Cause.GONE, "the pod was deleted before its result was read")
    return _container_end(pod, record) or _not_started(pod, events)


def _disrupted(pod: Json) -> Outcome | None:
    reason, detail = pod_reason(pod)
    if reason in _POD_REASONS:
        return Outcome(_POD_REASONS[reason], f"{reason}: {detail}" if detail else reason)
    if (terminated(pod) or {}).get("reason") == "OOMKilled":
        return Outcome(Cause.OUT_OF_MEMORY, "out of memory")
    return None


def _container_end(pod: Json, record: Record | None) -> Outcome | None:
    ended = terminated(pod)
    if ended is None:
        return None
    if ended.get("reason") in ("StartError", "ContainerCannotRun"):
        return Outcome(Cause.CONFIG, f"{ended['reason']}: {ended.get('message', '').strip()}")
    if (record and record.status is Status.CANCELLED) or ended.get("exitCode") in (137, 143):
        return Outcome(Cause.LOST, "something outside Airflow stopped the pod")
    return Outcome(Cause.NO_RECORD, f"the pod ended with exit code {ended.get('exitCode')} and left no result")


def stuck(pod: Json) -> Outcome | None:
    """Return why the pod will not start by waiting longer; None while there is hope."""
    waiting = _waiting(pod)
    cause = _WAITING_REASONS.get(waiting.get("reason", ""))
    if cause is None:
        return None
    return Outcome(cause, f"{waiting['reason']}: {waiting.get('message', 'no details')}")


def dbt_message(record: Record) -> str:
    """dbt's message: of the failing nodes, else of the warning ones, else of the whole."""
    told = [result for result in record.results if result.status in ("error", "fail", "runtime error")]
    told = told or [result for result in record.results if result.status == "warn"]
    lines = [f"{_short(result)}: {result.message or result.status}" for result in told]
    return "\n".join(lines) or record.message or record.status.value


def terminated(pod: Json) -> Json | None:
    """The container's terminated state, if it ended."""
    return _container_state(pod).get("terminated")


def started_at(pod: Json) -> str | None:
    """When the container started, by Kubernetes' clock."""
    state = _container_state(pod)
    found: str | None = (state.get("terminated") or state.get("running") or {}).get("startedAt")
    return found


def running(pod: Json) -> bool:
    """Whether the container runs now."""
    return "running" in _container_state(pod)


def finished(pod: Json) -> bool:
    """Whether nothing more will come of this pod: its container ended, or Kubernetes gave the whole pod up."""
    return terminated(pod) is not None or pod.get("status", {}).get("phase") in ("Succeeded", "Failed", "Unknown")


def pod_reason(pod: Json) -> tuple[str, str]:
    """Why Kubernetes ended the pod, and its words: the pod's reason, else the one that disrupted it."""
    status = pod.get("status", {})
    if status.get("reason"):
        return status["reason"], status.get("message", "")
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            words = condition.get("message", "")
            return ("NodeLost" if condition.get("reason") == "DeletionByPodGC" else "Evicted"), words
    return "", ""


def _not_started(pod: Json, events: Iterable[Json]) -> Outcome:
    conditions = pod.get("status", {}).get("conditions") or ()
    unmet = [condition for condition in conditions if condition.get("status") == "False"]
    scheduled = next((c for c in unmet if c.get("type") == "PodScheduled" and c.get("message")), None)
    warnings: Sequence[Json] = [event for event in events if event.get("type") == "Warning"]
    if scheduled:
        why = f"{scheduled.get('reason')}: {scheduled['message']}"
    elif warnings:
        why = f"{warnings[-1].get('reason')}: {warnings[-1].get('message')}"
    else:
        why = _waiting(pod).get("reason") or f"phase {pod.get('status', {}).get('phase', 'unknown')}"
    return Outcome(Cause.NEVER_STARTED, why)


def _container_state(pod: Json) -> Json:
    """Our container's state; a mesh may have put others beside it."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return next((status.get("state") or {} for status in statuses if status.get("name") == CONTAINER), {})


def _waiting(pod: Json) -> Json:
    return _container_state(pod).get("waiting") or {}


def _short(result: NodeResult) -> str:
    return ".".join(result.unique_id.split(".")[2:3]) or result.unique_id
