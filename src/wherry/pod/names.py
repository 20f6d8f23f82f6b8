"""Names and labels that Kubernetes accepts, made of ids that it wouldn't: deterministic, readable, never two alike."""

import hashlib
import json
import re

from wherry.pod.plan import PodPlan, TaskTry

PREFIX = "wherry.dev"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
INSTANCE_LABEL = f"{PREFIX}/instance"
WAITS = "waits-"  # what the instance label of a pod that waits for work begins with
_LIMIT = 63  # characters of a DNS label and of a label's value


def instance_hash(attempt: TaskTry) -> str:
    """Ten hex digits of the task instance, the same for all its tries."""
    return _hash(json.dumps([attempt.dag_id, attempt.run_id, attempt.task_id, attempt.map_index]))


def instance_selector(attempt: TaskTry) -> str:
    """The label selector of all pods of the task instance, whatever their try."""
    return f"{MANAGED_BY_LABEL}=wherry,{INSTANCE_LABEL}={instance_hash(attempt)}"


def pod_name(plan: PodPlan, attempt: TaskTry) -> str:
    """`<team>-<node>-<hash>-<try>`, a DNS label: one name a try, so that the API server refuses a second pod for it."""
    node = "-".join(plan.node.split(".")[2:]) or attempt.task_id
    return _name(f"{plan.team}-{node}", f"-{instance_hash(attempt)}-{attempt.try_number}")


def waiting_name(plan: PodPlan, seed: str) -> str:
    """`<team>-<project>-waits-<hash>`, a DNS label: one name a seed, so that of those who ask at once one is served."""
    return _name(f"{plan.team}-{plan.project}", f"-waits-{_hash(json.dumps([plan.release_id, seed]))}")


def waiting_value(spec: str) -> str:
    """The instance label of pods that wait: another for whatever makes another pod."""
    return f"{WAITS}{_hash(spec)}"


def label_value(text: str) -> str:
    """The text as a label's value; what had to be changed gets a hash of the whole, so that two stay two."""
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    if clean == text and len(text) <= _LIMIT:
        return text
    return f"{clean[: _LIMIT - 11].strip('-._') or 'x'}-{_hash(text)}"


def _name(text: str, suffix: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "pod"
    return words[: _LIMIT - len(suffix)].strip("-") + suffix


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]
