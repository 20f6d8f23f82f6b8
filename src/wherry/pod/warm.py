"""Pods that have imported dbt and wait for a node: what they are, and how one is handed its node.

A waiting pod is a pod of its release without a node. A claim makes of it, in one conditional change, what `make_pod`
would have made: labels, annotations and deadline, and the work itself, as an annotation that the pod reads as a file.
"""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from kubernetes.client import models as k8s

from wherry.pod.names import (
    INSTANCE_LABEL,
    MANAGED_BY_LABEL,
    PREFIX,
    instance_hash,
    label_value,
    waiting_name,
    waiting_value,
)
from wherry.pod.plan import PodPlan, TaskTry
from wherry.pod.spec import CONTAINER, annotations, assemble, environment, labels, literal, made_of, make_spec

WORK_ANNOTATION: Final = f"{PREFIX}/work"
_FOLDER: Final = "/var/run/wherry"
_FILE: Final = "node"
_LONGEST: Final = timedelta(hours=168)  # the longest timeout of a team file: a claim can only bring the deadline nearer
_ITS_OWN: Final = ("WHERRY_TEAM", "WHERRY_PROJECT", "WHERRY_RELEASE_ID")  # what a waiting pod knows already
_WARM_UP: Final = timedelta(seconds=10)  # in which a pod starts and imports dbt
_UNUSABLE: Final = 0.9  # of the idle time: who waits longer may end while it is claimed


def make_waiting_pod(plan: PodPlan, seed: str) -> k8s.V1Pod:
    """Return a pod that waits for a node of the plan's release. Pure; its name follows from the seed.

    It is what `make_pod` makes but for its arguments, the environment of a try, and the file by which work comes.
    """
    spec = _waiting_spec(plan)
    facts = {f"{PREFIX}/team": plan.team, f"{PREFIX}/project": plan.project}
    return assemble(plan, waiting_name(plan, seed), made_of(plan, _value(spec), facts), facts, spec)


def waiting_label(plan: PodPlan) -> str:
    """The instance label of the pods that wait for a node such as the plan's."""
    return _value(_waiting_spec(plan))


def launch_selector(attempt: TaskTry, waiting: str) -> str:
    """The label selector of the task instance's own pods and of those that wait under the label."""
    return f"{MANAGED_BY_LABEL}=wherry,{INSTANCE_LABEL} in ({instance_hash(attempt)},{waiting})"


def team_selector(plan: PodPlan) -> str:
    """The label selector of all pods of the plan's team."""
    return f"{MANAGED_BY_LABEL}=wherry,{PREFIX}/team={label_value(plan.team)}"


def waits_for_project(pod: Mapping[str, Any], plan: PodPlan) -> bool:
    """Whether a pod of the team waits for work of the plan's project, whatever its release: it has no task."""
    labels = pod["metadata"]["labels"]
    mine = labels.get(f"{PREFIX}/project") == label_value(plan.project)
    return mine and INSTANCE_LABEL in labels and f"{PREFIX}/task" not in labels


def make_claim(plan: PodPlan, attempt: TaskTry, args: Sequence[str], pod: Mapping[str, Any], now: datetime) -> Any:
    """Return the merge patch that hands the try's work to a waiting pod, if it is still as it was seen. Pure.

    Kubernetes counts a pod's deadline from its start, and lets it be brought nearer.
    """
    env = {key: value for key, value in environment(plan, attempt).items() if key not in _ITS_OWN}
    work = json.dumps({"args": list(args), "env": env}, separators=(",", ":"))
    deadline = _age(pod["status"].get("startTime"), now) + plan.timeout
    return {
        "metadata": {
            "resourceVersion": pod["metadata"]["resourceVersion"],
            "labels": labels(plan, attempt),
            "annotations": {**annotations(plan, attempt), WORK_ANNOTATION: work},
        },
        "spec": {"activeDeadlineSeconds": math.ceil(deadline.total_seconds())},
    }


def claimable(pod: Mapping[str, Any], now: datetime, idle: timedelta) -> bool:
    """Whether a waiting pod may be handed work: it lives, and will for a while."""
    gone = pod["metadata"].get("deletionTimestamp") or pod["status"].get("phase") in ("Succeeded", "Failed", "Unknown")
    return not gone and _age(pod["metadata"].get("creationTimestamp"), now) < idle * _UNUSABLE


def preference(pod: Mapping[str, Any], attempt: TaskTry, now: datetime) -> tuple[bool, bool, str]:
    """Of several waiting pods a try takes the least: one that runs, and has had the time to import dbt.

    Among these each try has an order of its own. So tries don't get into each other's way; and two processes of one
    try, which Airflow doesn't start, would want the same pod, and only one of them would get it.
    """
    order = f"{instance_hash(attempt)} {attempt.try_number} {pod['metadata']['uid']}"
    return pod["status"].get("phase") != "Running", fresh(pod, now), sha256(order.encode()).hexdigest()


def fresh(pod: Mapping[str, Any], now: datetime) -> bool:
    """Whether a waiting pod may still be importing dbt."""
    return _age(pod["metadata"].get("creationTimestamp"), now) < _WARM_UP


def in_vain(pod: Mapping[str, Any], now: datetime, idle: timedelta) -> bool:
    """Whether a waiting pod has ended, or should have long ago."""
    ended = pod["status"].get("phase") in ("Succeeded", "Failed")
    return ended or _age(pod["metadata"].get("creationTimestamp"), now) > 2 * idle


def arguments(pod: Mapping[str, Any]) -> list[str]:
    """dbt's arguments of a pod, as a container has them, whether it was made with them or handed them."""
    said = (pod["metadata"].get("annotations") or {}).get(WORK_ANNOTATION)
    if said is None:
        return next((c.get("args") or [] for c in pod["spec"]["containers"] if c["name"] == CONTAINER), [])
    try:
        return [literal(word) for word in json.loads(said)["args"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return []


def _waiting_spec(plan: PodPlan) -> k8s.V1PodSpec:
    known = {"WHERRY_TEAM": plan.team, "WHERRY_PROJECT": plan.project, "WHERRY_RELEASE_ID": plan.release_id}
    args = ["wait", f"{_FOLDER}/{_FILE}", str(int(plan.idle.total_seconds()))]
    spec = make_spec(plan, args, known, _LONGEST + plan.idle)
    spec.containers[0].volume_mounts.append(k8s.V1VolumeMount(name="work", mount_path=_FOLDER, read_only=True))
    field = k8s.V1ObjectFieldSelector(field_path=f"metadata.annotations['{WORK_ANNOTATION}']")
    file = k8s.V1DownwardAPIVolumeFile(path=_FILE, field_ref=field)
    spec.volumes.append(k8s.V1Volume(name="work", downward_api=k8s.V1DownwardAPIVolumeSource(items=[file])))
    return spec


def _value(spec: k8s.V1PodSpec) -> str:
    return waiting_value(json.dumps(spec.to_dict(), sort_keys=True))


def _age(since: str | None, now: datetime) -> timedelta:
    return max(timedelta(), now - datetime.fromisoformat(since)) if since else timedelta()
