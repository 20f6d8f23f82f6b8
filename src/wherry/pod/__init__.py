"""The pod that we ask Kubernetes for: pure functions, no I/O."""

from wherry.pod.memory import more_memory
from wherry.pod.names import INSTANCE_LABEL, MANAGED_BY_LABEL, PREFIX, instance_hash, instance_selector, pod_name
from wherry.pod.plan import PodPlan, TaskTry
from wherry.pod.spec import CONTAINER, environment, make_pod
from wherry.pod.warm import (
    WORK_ANNOTATION,
    arguments,
    claimable,
    fresh,
    in_vain,
    launch_selector,
    make_claim,
    make_waiting_pod,
    preference,
    team_selector,
    waiting_label,
    waits_for_project,
)

__all__ = [
    "CONTAINER",
    "INSTANCE_LABEL",
    "MANAGED_BY_LABEL",
    "PREFIX",
    "WORK_ANNOTATION",
    "PodPlan",
    "TaskTry",
    "arguments",
    "claimable",
    "environment",
    "fresh",
    "in_vain",
    "instance_hash",
    "instance_selector",
    "launch_selector",
    "make_claim",
    "make_pod",
    "make_waiting_pod",
    "more_memory",
    "pod_name",
    "preference",
    "team_selector",
    "waiting_label",
    "waits_for_project",
]
