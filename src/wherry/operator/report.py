"""What is told about a try: to the person who reads the task, and to the record that is kept. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from wherry.operator.outcome import Cause, dbt_message, started_at, terminated
from wherry.operator.run import Ending
from wherry.pod import PodPlan, TaskTry
from wherry.results.breakdown import breakdown
from wherry.results.codec import EXIT_CODES, Record, as_dict
from wherry.teams import format_duration


def result(ending: Ending, plan: PodPlan, attempt: TaskTry, memory: str) -> dict[str, Any]:
    """The result of a try, JSON-safe: the runner's record, if there is one, and what is known of the pod."""
    pod = ending.pod
    known = {
        "outcome": ending.outcome.cause.value,
        "why": ending.outcome.message,
        "team": plan.team,
        "project": plan.project,
        "release": plan.release_id,
        "dag_id": attempt.dag_id,
        "run_id": attempt.run_id,
        "task_id": attempt.task_id,
        "map_index": attempt.map_index,
        "try": attempt.try_number,
        "namespace": plan.namespace,
        "pod": pod.get("metadata", {}).get("name"),
        "kubernetes_node": pod.get("spec", {}).get("nodeName"),
        "exit_code": _exit_code(ending),
        "memory_limit": memory,
        "adopted": ending.adopted,
        "times": times(ending),
        "breakdown": dict(breakdown(ending.marks, ending.record).stages),
        "node": plan.node,
    }
    return known | (as_dict(ending.record) if ending.record else {}) | {"node": plan.node}


def times(ending: Ending) -> dict[str, str]:
    """When each stage was reached, in ISO 8601: our own clock's, and Kubernetes' (`pod_*`, whole seconds)."""
    metadata, status = ending.pod.get("metadata", {}), ending.pod.get("status", {})
    conditions: Sequence[Mapping[str, Any]] = status.get("conditions") or ()
    scheduled = [c for c in conditions if c.get("type") == "PodScheduled" and c.get("status") == "True"]
    found = {
        "pod_created": metadata.get("creationTimestamp"),
        "pod_scheduled": scheduled[0].get("lastTransitionTime") if scheduled else None,
        "pod_started": started_at(ending.pod),
        "pod_finished": (terminated(ending.pod) or {}).get("finishedAt"),
    }
    ours = {what: _iso(at) for what, at in ending.marks.items()}
    return ours | {what: at for what, at in found.items() if at}


def explain(ending: Ending, plan: PodPlan, memory: str, more: str | None) -> str:
    """The message of a failed try: what happened first, then where to look."""
    what, cause = plan.node or "dbt", ending.outcome.cause
    match cause:
        case Cause.DEADLINE:
            told = f"{what} ran longer than its timeout of {format_duration(plan.timeout)}"
        case Cause.OUT_OF_MEMORY:
            told = f"{what} ran out of memory at {memory}; the next try gets {more}"
        case Cause.MEMORY_CEILING:
            told = f"{what} ran out of memory at {memory}, the most that its team allows"
        case _:
            told = ending.outcome.message
    pod = ending.pod.get("metadata", {}).get("name")
    where = f"pod {pod} in namespace {plan.namespace}" if pod else f"namespace {plan.namespace}, no pod"
    return f"{told}\n({cause.value}; {where}; image {plan.image}; what dbt printed is in the log above)"


def warnings(record: Record) -> list[str]:
    """The warnings of a run that is a success, a line each."""
    return dbt_message(record).splitlines()


def _exit_code(ending: Ending) -> int | None:
    """Kubernetes' word, or where its container was done before Kubernetes saw that, the record's."""
    found: int | None = (terminated(ending.pod) or {}).get("exitCode")
    return EXIT_CODES[ending.record.status] if found is None and ending.record else found


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
