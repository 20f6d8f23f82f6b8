"""The pod itself."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta

from kubernetes.client import models as k8s

from wherry.pod.names import INSTANCE_LABEL, MANAGED_BY_LABEL, PREFIX, instance_hash, label_value, pod_name
from wherry.pod.plan import PodPlan, TaskTry

CONTAINER = "dbt"
SCRATCH = "/scratch"  # the one place where dbt may write: target, logs, temporary files
_SCRATCH_SIZE = "1Gi"
_USER = 10001
_TAG_LIMIT = 350  # characters of each value in the query tag; Snowflake takes 2,000 for the whole


def make_pod(plan: PodPlan, attempt: TaskTry, args: Sequence[str], memory: str | None = None) -> k8s.V1Pod:
    """Return the pod of one try. Pure: the same input gives the same pod, its name included.

    `args` is dbt's argument list from the verb on. `memory` overrides the plan's, as request and limit, after an
    out-of-memory kill. The pod meets Kubernetes' `restricted` pod security standard and holds no secret value.
    """
    spec = make_spec(plan, args, environment(plan, attempt), plan.timeout, memory)
    return assemble(plan, pod_name(plan, attempt), labels(plan, attempt), annotations(plan, attempt), spec)


def assemble(
    plan: PodPlan, name: str, labels: Mapping[str, str], annotations: Mapping[str, str], spec: k8s.V1PodSpec
) -> k8s.V1Pod:
    """Return the pod of these parts, in the plan's namespace."""
    metadata = k8s.V1ObjectMeta(name=name, namespace=plan.namespace, labels=dict(labels), annotations=dict(annotations))
    return k8s.V1Pod(api_version="v1", kind="Pod", metadata=metadata, spec=spec)


def make_spec(
    plan: PodPlan, args: Sequence[str], env: Mapping[str, str], timeout: timedelta, memory: str | None = None
) -> k8s.V1PodSpec:
    """What a pod is and may do, whatever its work."""
    return k8s.V1PodSpec(
        restart_policy="Never",
        active_deadline_seconds=max(1, int(timeout.total_seconds())),
        termination_grace_period_seconds=int(plan.grace.total_seconds()),
        service_account_name=plan.service_account,
        automount_service_account_token=False,
        enable_service_links=False,
        security_context=k8s.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=_USER,
            run_as_group=_USER,
            seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
        ),
        containers=[_container(plan, args, {**env, "WHERRY_SCRATCH": SCRATCH, "TMPDIR": SCRATCH}, memory)],
        volumes=[k8s.V1Volume(name="scratch", empty_dir=k8s.V1EmptyDirVolumeSource(size_limit=_SCRATCH_SIZE))],
    )


def _container(plan: PodPlan, args: Sequence[str], env: Mapping[str, str], memory: str | None) -> k8s.V1Container:
    return k8s.V1Container(
        name=CONTAINER,
        image=plan.image,
        image_pull_policy="IfNotPresent",
        args=[literal(arg) for arg in args],
        env=[k8s.V1EnvVar(name=name, value=literal(value)) for name, value in env.items()],
        env_from=[k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=plan.secret))] if plan.secret else None,
        resources=k8s.V1ResourceRequirements(
            requests={
                "cpu": plan.resources.cpu,
                "memory": memory or plan.resources.memory,
                "ephemeral-storage": "128Mi",
            },
            limits={
                "cpu": plan.resources.cpu_limit,
                "memory": memory or plan.resources.memory_limit,
                "ephemeral-storage": "2Gi",
            },
        ),
        security_context=k8s.V1SecurityContext(
            allow_privilege_escalation=False,
            capabilities=k8s.V1Capabilities(drop=["ALL"]),
            read_only_root_filesystem=True,
        ),
        termination_message_policy="File",
        volume_mounts=[k8s.V1VolumeMount(name="scratch", mount_path=SCRATCH)],
    )


def _facts(plan: PodPlan, attempt: TaskTry) -> dict[str, str]:
    return {
        "team": plan.team,
        "project": plan.project,
        "dag": attempt.dag_id,
        "run": attempt.run_id,
        "node": plan.node,
        "task": attempt.task_id,
        "try": str(attempt.try_number),
    }


def labels(plan: PodPlan, attempt: TaskTry) -> dict[str, str]:
    """What the pods of a try are found by."""
    facts = {f"{PREFIX}/{key}": value for key, value in _facts(plan, attempt).items() if value}
    return made_of(plan, instance_hash(attempt), facts)


def made_of(plan: PodPlan, instance: str, facts: Mapping[str, str]) -> dict[str, str]:
    """The labels of every pod: who made it, of which release, for which task instance, and the facts."""
    values = {key: label_value(value) for key, value in facts.items()}
    return {MANAGED_BY_LABEL: "wherry", INSTANCE_LABEL: instance, f"{PREFIX}/release": plan.release_id, **values}


def annotations(plan: PodPlan, attempt: TaskTry) -> dict[str, str]:
    """What a pod says of its try, word by word."""
    facts = {f"{PREFIX}/{key}": value for key, value in _facts(plan, attempt).items()}
    return {**facts, f"{PREFIX}/map-index": str(attempt.map_index), f"{PREFIX}/clears": str(attempt.clears)}


def environment(plan: PodPlan, attempt: TaskTry) -> dict[str, str]:
    """What dbt's environment says of the try, in a pod or out of one: literals, and nothing secret."""
    return {
        "WHERRY_TEAM": plan.team,
        "WHERRY_PROJECT": plan.project,
        "WHERRY_DAG_ID": attempt.dag_id,
        "WHERRY_RUN_ID": attempt.run_id,
        "WHERRY_TASK_ID": attempt.task_id,
        "WHERRY_TRY": str(attempt.try_number),
        "WHERRY_NODE": plan.node,
        "WHERRY_RELEASE_ID": plan.release_id,
        "WHERRY_QUERY_TAG": _query_tag(plan, attempt),
        **({"WHERRY_WAREHOUSE": plan.compute} if plan.compute else {}),
    }


def _query_tag(plan: PodPlan, attempt: TaskTry) -> str:
    facts = _facts(plan, attempt)
    tag = {key: _plain(facts[key]) for key in ("team", "project", "dag", "run", "node")}
    return json.dumps(tag, ensure_ascii=False, separators=(",", ":"))


def _plain(value: str) -> str:
    """The value cut, without the characters that JSON would escape and a query comment could end with."""
    safe = "".join(c if c.isprintable() and c not in '"\\' else "?" for c in value).replace("*/", "*?")
    return safe[:_TAG_LIMIT]


def literal(value: str) -> str:
    """The value so that Kubernetes takes it as it stands.

    It expands `$(NAME)` in arguments and values, also from a Secret's keys: a run id could carry a password off.
    """
    return value.replace("$", "$$") if "$(" in value else value
