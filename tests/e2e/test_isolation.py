"""What a team's isolation rests on, asked of a real API server as each account: every attack is refused.

Attacks by pods run in two namespaces: one as charts/team makes it, and one without Pod Security, where the admission
policy alone must refuse them. NetworkPolicies aren't asked here: it is the cluster's network that enforces them.
"""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiClient

from tests.e2e.conftest import AIRFLOW, WORKER, Cluster, skip_without_cluster
from wherry.pod import PodPlan, TaskTry, make_pod
from wherry.teams import Resources

pytestmark = pytest.mark.e2e
skip_without_cluster()

Pod = dict[str, Any]
FINANCE, GROWTH, BARE = "e2e-finance", "e2e-growth", "e2e-bare"
RUNNER = f"system:serviceaccount:{FINANCE}:runner"


def airflows_pod(team: str, project: str = "finance") -> Pod:
    """A pod as Airflow's operator asks for it."""
    plan = PodPlan(
        team=team,
        project=project,
        namespace=team,
        image=f"wherry.local/{team}-{project}:0123456789abcdef",
        service_account="runner",
        secret="warehouse",
        node="model.finance.orders",
        resources=Resources(),
        memory_ceiling="2Gi",
        timeout=timedelta(minutes=30),
        grace=timedelta(seconds=30),
        release_id="0123456789abcdef",
    )
    attempt = TaskTry(dag_id=f"{team}__{project}", run_id="manual", task_id="orders.build", map_index=-1, try_number=1)
    pod: Pod = ApiClient().sanitize_for_serialization(make_pod(plan, attempt, ["build"]))
    return pod


@pytest.fixture(scope="module")
def victim(teams: Cluster) -> Iterator[str]:
    """A pod of Airflow's in finance's namespace; its image exists nowhere, so it never runs."""
    pod = airflows_pod(FINANCE)
    done = teams("create", "-f", "-", user=WORKER, body=pod)
    assert done.returncode == 0, done.stderr
    name: str = pod["metadata"]["name"]
    yield name
    teams("delete", "pod", name, "--namespace", FINANCE, "--wait=false")


@pytest.mark.parametrize(
    ("team", "project"), [(FINANCE, "finance"), (GROWTH, "growth"), (BARE, "finance")], ids=[FINANCE, GROWTH, BARE]
)
def test_airflows_own_pod_is_accepted(teams: Cluster, team: str, project: str) -> None:
    """The control of all that follows: the operator's pod passes Pod Security, policy, quota and limits."""
    body = airflows_pod(team, project)
    done = teams("create", "--dry-run=server", "-f", "-", user=WORKER, body=body)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


def test_the_worker_can_do_what_it_has_to(teams: Cluster, victim: str) -> None:
    """Watch its pod, read events, patch a label, delete: nothing of the operator's work is refused."""
    for arguments in (
        ("get", "pod", victim),
        ("get", "events"),
        ("label", "pod", victim, "wherry.dev/note=x"),
        ("delete", "pod", victim, "--dry-run=server"),
    ):
        done = teams(*arguments, "--namespace", FINANCE, user=WORKER)
        assert done.returncode == 0, done.stderr


def spec(**changed: Any) -> Callable[[Pod], None]:
    """Change keys of the pod's spec."""
    return lambda pod: pod["spec"].update(changed)


def container(**changed: Any) -> Callable[[Pod], None]:
    """Change keys of its container."""
    return lambda pod: pod["spec"]["containers"][0].update(changed)


def security(**changed: Any) -> Callable[[Pod], None]:
    """Change keys of its container's security context."""
    return lambda pod: pod["spec"]["containers"][0]["securityContext"].update(changed)


def labels(**changed: str | None) -> Callable[[Pod], None]:
    """Change labels; `team` stands for wherry.dev/team, `manager` for the one that says who manages the pod."""
    names = {"team": "wherry.dev/team", "manager": "app.kubernetes.io/managed-by"}
    return lambda pod: pod["metadata"]["labels"].update({names[key]: value for key, value in changed.items()})


def second_container(key: str, **changed: Any) -> Callable[[Pod], None]:
    """Put another container beside the first, or before it, changed."""
    return lambda pod: pod["spec"].update(
        {key: [*pod["spec"].get(key, []), {**pod["spec"]["containers"][0], "name": "other", **changed}]}
    )


def volume(**source: Any) -> Callable[[Pod], None]:
    """Add a volume."""
    return lambda pod: pod["spec"]["volumes"].append({"name": "other", **source})


TOKEN = {"sources": [{"serviceAccountToken": {"path": "token"}}]}
HOSTILE_PODS: dict[str, tuple[Callable[[Pod], None], str]] = {
    "another-service-account": (spec(serviceAccountName="default"), "spec.serviceAccountName must be runner"),
    "the-accounts-token": (spec(automountServiceAccountToken=True), "automountServiceAccountToken must be false"),
    "the-token-by-default": (spec(automountServiceAccountToken=None), "automountServiceAccountToken must be false"),
    "the-token-as-a-volume": (volume(projected=TOKEN), "a volume must be one of"),
    "a-public-image": (container(image="docker.io/library/busybox:1"), "an image must be one of"),
    "another-teams-image": (container(image="wherry.local/growth-growth:1"), "an image must be one of"),
    "an-image-that-begins-alike": (container(image="wherry.local/e2e-finance-finance2:1"), "an image must be one of"),
    "a-registry-that-begins-alike": (
        container(image="wherry.local.example.com/e2e-finance-finance:1"),
        "an image must be one of",
    ),
    "a-foreign-image-beside-ours": (second_container("containers", image="busybox:1"), "an image must be one of"),
    "a-foreign-image-before-ours": (second_container("initContainers", image="busybox:1"), "an image must be one of"),
    "the-hosts-network": (spec(hostNetwork=True), "hostNetwork"),
    "the-hosts-processes": (spec(hostPID=True), "hostPID"),
    "the-hosts-ipc": (spec(hostIPC=True), "hostIPC"),
    "a-port-of-the-host": (container(ports=[{"containerPort": 80, "hostPort": 80}]), "hostPort is not allowed"),
    "a-path-of-the-host": (volume(hostPath={"path": "/"}), "a volume must be one of"),
    "another-secret-as-a-volume": (volume(secret={"secretName": "registry"}), "a volume must be one of"),
    "another-secret-as-environment": (
        container(envFrom=[{"secretRef": {"name": "registry"}}]),
        "the environment may come from the Secret warehouse only",
    ),
    "a-key-of-another-secret": (
        container(env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": "registry", "key": "x"}}}]),
        "the environment may come from the Secret warehouse only",
    ),
    "privilege": (security(privileged=True, allowPrivilegeEscalation=True), "a container must not be privileged"),
    "escalation-of-privilege": (security(allowPrivilegeEscalation=True), "a container must not be privileged"),
    "a-capability": (
        security(capabilities={"add": ["SYS_ADMIN"], "drop": ["ALL"]}),
        "a container must not be privileged",
    ),
    "dropping-no-capability": (security(capabilities=None), "a container must not be privileged"),
    "root": (security(runAsUser=0), "a container must not run as root"),
    "maybe-root": (security(runAsNonRoot=False), "a container must not run as root"),
    "another-teams-label": (labels(team="growth"), "are required"),
    "no-team": (labels(team=None), "are required"),
    "another-manager": (labels(manager="someone"), "are required"),
    "a-node-of-its-choice": (spec(nodeName="control-plane"), "spec.nodeName is the scheduler's to set"),
    "the-control-planes-nodes": (
        spec(tolerations=[{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]),
        "tolerations of the control plane's nodes",
    ),
    "every-node": (spec(tolerations=[{"operator": "Exists"}]), "tolerations of the control plane's nodes"),
    "a-system-priority": (spec(priorityClassName="system-node-critical", priority=None), "system priority classes"),
    "no-end": (spec(activeDeadlineSeconds=None), "spec.activeDeadlineSeconds is required"),
    "a-debug-container": (
        spec(ephemeralContainers=[{"name": "debug", "image": "busybox:1"}]),
        "ephemeral",
    ),
}


@pytest.mark.parametrize("team", [FINANCE, BARE], ids=["restricted", "policy-alone"])
@pytest.mark.parametrize("attack", HOSTILE_PODS)
def test_a_hostile_pod_is_refused(teams: Cluster, team: str, attack: str) -> None:
    """Airflow's own account asks for it, so that only what the pod holds is wrong."""
    change, message = HOSTILE_PODS[attack]
    pod = airflows_pod(team)
    change(pod)
    done = teams("create", "--dry-run=server", "-f", "-", user=WORKER, body=pod)
    assert done.returncode != 0
    if team == BARE:
        assert message in done.stderr
    else:
        assert message in done.stderr or "violates PodSecurity" in done.stderr


OVERSIZED = {
    "more-memory-than-a-pod-may": (
        {"requests": {"cpu": "1", "memory": "5Gi"}, "limits": {"cpu": "1", "memory": "5Gi"}}
    ),
    "more-cpu-than-a-pod-may": ({"requests": {"cpu": "3", "memory": "1Gi"}, "limits": {"cpu": "3", "memory": "1Gi"}}),
    "no-limits": {"requests": {"cpu": "1", "memory": "1Gi"}},
}


@pytest.mark.parametrize("attack", OVERSIZED)
def test_an_oversized_pod_is_refused(teams: Cluster, attack: str) -> None:
    """By the LimitRange, or the ResourceQuota, of the team file's `quota`."""
    pod = airflows_pod(FINANCE)
    container(resources=OVERSIZED[attack])(pod)
    done = teams("create", "--dry-run=server", "-f", "-", user=WORKER, body=pod)
    assert done.returncode != 0
    assert "maximum" in done.stderr or "must specify" in done.stderr


PATCHES = {
    "a-foreign-image": {"spec": {"containers": [{"name": "dbt", "image": "busybox:1"}]}},
    "another-teams-label": {"metadata": {"labels": {"wherry.dev/team": "growth"}}},
}


@pytest.mark.parametrize("attack", PATCHES)
def test_a_pod_cannot_be_changed_into_a_hostile_one(teams: Cluster, victim: str, attack: str) -> None:
    """The policy holds for updates too: the worker may patch pods."""
    patch = yaml.safe_dump(PATCHES[attack])
    done = teams("patch", "pod", victim, "--namespace", FINANCE, "--patch", patch, user=WORKER)
    assert done.returncode != 0
    assert "ValidatingAdmissionPolicy" in done.stderr


WORKER_ATTACKS = {
    "read-the-secret": ("get", "secret", "warehouse", "-n", FINANCE),
    "list-secrets": ("get", "secrets", "-n", FINANCE),
    "watch-secrets": ("get", "secrets", "--watch-only", "-n", FINANCE),
    "make-a-secret": ("create", "secret", "generic", "x", "-n", FINANCE),
    "read-config-maps": ("get", "configmaps", "-n", FINANCE),
    "exec": ("exec", "{victim}", "-n", FINANCE, "--", "env"),
    "attach": ("attach", "{victim}", "-n", FINANCE),
    "forward-a-port": (
        "create",
        "--raw",
        f"/api/v1/namespaces/{FINANCE}/pods/{{victim}}/portforward",
        "-f",
        "/dev/null",
    ),
    "connect-through-the-api-server": ("get", "--raw", f"/api/v1/namespaces/{FINANCE}/pods/{{victim}}/proxy/"),
    "debug": ("debug", "{victim}", "--image=busybox:1", "-n", FINANCE),
    "mint-the-runners-token": ("create", "token", "runner", "-n", FINANCE),
    "annotate-the-runner": ("annotate", "serviceaccount", "runner", "role=admin", "-n", FINANCE),
    "make-a-deployment": ("create", "deployment", "x", "--image=busybox:1", "-n", FINANCE),
    "make-a-job": ("create", "job", "x", "--image=busybox:1", "-n", FINANCE),
    "make-a-service": ("create", "service", "clusterip", "x", "--tcp=80", "-n", FINANCE),
    "grant-itself-rights": ("create", "rolebinding", "x", "--clusterrole=admin", f"--user={WORKER}", "-n", FINANCE),
    "open-the-network": ("delete", "networkpolicy", "default-deny", "-n", FINANCE),
    "lift-the-quota": ("delete", "resourcequota", "team", "-n", FINANCE),
    "lift-the-policy": ("delete", "validatingadmissionpolicies.admissionregistration.k8s.io", "wherry-e2e-finance"),
    "lift-pod-security": (
        "label",
        "namespace",
        FINANCE,
        "pod-security.kubernetes.io/enforce=privileged",
        "--overwrite",
    ),
    "make-a-namespace": ("create", "namespace", "e2e-foreign"),
    "list-namespaces": ("get", "namespaces"),
    "list-nodes": ("get", "nodes"),
    "list-all-pods": ("get", "pods", "--all-namespaces"),
    "read-airflows-secrets": ("get", "secrets", "-n", AIRFLOW),
    "list-airflows-pods": ("get", "pods", "-n", AIRFLOW),
    "make-a-pod-beside-airflow": ("run", "x", "--image=busybox:1", "-n", AIRFLOW),
    "make-a-pod-in-kube-system": ("run", "x", "--image=busybox:1", "-n", "kube-system"),
    "make-a-pod-in-default": ("run", "x", "--image=busybox:1", "-n", "default"),
}


@pytest.mark.parametrize("attack", WORKER_ATTACKS)
def test_the_worker_account_is_refused(teams: Cluster, victim: str, attack: str) -> None:
    """By RBAC: the account has pods in team namespaces, and nothing besides."""
    arguments = [argument.replace("{victim}", victim) for argument in WORKER_ATTACKS[attack]]
    done = teams(*arguments, user=WORKER)
    assert done.returncode != 0
    assert "forbidden" in done.stderr.lower()


RUNNER_ATTACKS = {
    "list-pods": ("get", "pods", "-n", FINANCE),
    "read-its-secret": ("get", "secret", "warehouse", "-n", FINANCE),
    "read-logs": ("logs", "{victim}", "-n", FINANCE),
    "make-a-pod": ("run", "x", "--image=busybox:1", "-n", FINANCE),
    "delete-a-pod": ("delete", "pod", "{victim}", "-n", FINANCE),
    "mint-its-own-token": ("create", "token", "runner", "-n", FINANCE),
    "list-another-teams-pods": ("get", "pods", "-n", GROWTH),
    "read-another-teams-secret": ("get", "secret", "warehouse", "-n", GROWTH),
    "read-airflows-secrets": ("get", "secrets", "-n", AIRFLOW),
    "list-namespaces": ("get", "namespaces"),
}


@pytest.mark.parametrize("attack", RUNNER_ATTACKS)
def test_the_runner_account_is_refused(teams: Cluster, victim: str, attack: str) -> None:
    """It can do nothing at all, not even in its own namespace."""
    arguments = [argument.replace("{victim}", victim) for argument in RUNNER_ATTACKS[attack]]
    done = teams(*arguments, user=RUNNER)
    assert done.returncode != 0
    assert "forbidden" in done.stderr.lower()


def test_a_debug_container_is_refused_even_to_the_admin(teams: Cluster, victim: str) -> None:
    """Who could add a container to a running pod could read its Secret: the policy holds for everyone."""
    done = teams("debug", victim, "--image=busybox:1", "--profile=restricted", "--namespace", FINANCE)
    assert done.returncode != 0
    assert "ephemeral containers are not allowed" in done.stderr


def test_the_policy_has_no_type_errors(teams: Cluster) -> None:
    """The API server checks each expression against the pod's schema, and warns of none."""
    kind = "validatingadmissionpolicies.admissionregistration.k8s.io"
    for _ in range(20):
        status = yaml.safe_load(teams("get", kind, "wherry-e2e-finance", "-o", "yaml").stdout)["status"]
        if "typeChecking" in status:
            break
        time.sleep(0.5)
    assert status["typeChecking"] == {}
