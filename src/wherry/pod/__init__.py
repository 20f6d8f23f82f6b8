"""The pod that we ask Kubernetes for: pure functions, no I/O."""

from wherry.pod.memory import more_memory
from wherry.pod.names import INSTANCE_LABEL, MANAGED_BY_LABEL, PREFIX, instance_hash, instance_selector, pod_name
from wherry.pod.plan import PodPlan, TaskTry
from wherry.pod.spec import CONTAINER, environment, make_pod

__all__ = [
    "CONTAINER",
    "INSTANCE_LABEL",
    "MANAGED_BY_LABEL",
    "PREFIX",
    "PodPlan",
    "TaskTry",
    "environment",
    "instance_hash",
    "instance_selector",
    "make_pod",
    "more_memory",
    "pod_name",
]
