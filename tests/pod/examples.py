"""Two teams' plans, a first try, and what Kubernetes is to be asked for."""

from datetime import timedelta
from typing import Any

from wherry.pod import PodPlan, TaskTry
from wherry.teams import Resources

FINANCE = PodPlan(
    team="finance",
    project="finance",
    namespace="team-finance",
    image="wherry.local/finance-finance:0123456789abcdef",
    service_account="runner",
    secret="warehouse",
    node="model.finance.fct_orders",
    resources=Resources(),
    memory_ceiling="4Gi",
    timeout=timedelta(minutes=30),
    grace=timedelta(seconds=30),
    release_id="0123456789abcdef",
    compute="TRANSFORM_WH",
)
GROWTH = PodPlan(
    team="growth",
    project="web",
    namespace="team-growth",
    image="wherry.local/growth-web@sha256:abc",
    service_account="dbt",
    secret=None,
    node="",
    resources=Resources(cpu="1", memory="1Gi", cpu_limit="2", memory_limit="2Gi"),
    memory_ceiling="2Gi",
    timeout=timedelta(hours=1),
    grace=timedelta(seconds=45),
    release_id="fedcba9876543210",
)
FIRST = TaskTry("finance__finance", "manual__2026-11-22T06:00:00+00:00", "fct_orders.build", -1, 1)


def finance_spec(deadline: int, args: list[str], env: dict[str, str]) -> dict[str, Any]:
    """The whole specification of a pod of FINANCE with this work, word by word."""
    return {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": deadline,
        "terminationGracePeriodSeconds": 30,
        "serviceAccountName": "runner",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "dbt",
                "image": "wherry.local/finance-finance:0123456789abcdef",
                "imagePullPolicy": "IfNotPresent",
                "args": args,
                "env": [
                    *({"name": name, "value": value} for name, value in env.items()),
                    {"name": "WHERRY_SCRATCH", "value": "/scratch"},
                    {"name": "TMPDIR", "value": "/scratch"},
                ],
                "envFrom": [{"secretRef": {"name": "warehouse"}}],
                "resources": {
                    "requests": {"cpu": "250m", "memory": "512Mi", "ephemeral-storage": "128Mi"},
                    "limits": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "2Gi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                "terminationMessagePolicy": "File",
                "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
            }
        ],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}],
    }
