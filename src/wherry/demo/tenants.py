"""A team's namespace on a cluster, as the demo makes it: the same objects that the team chart makes in production."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wherry.errors import WherryError
from wherry.teams import Team

LABELS = {"app.kubernetes.io/managed-by": "wherry"}


def apply_team(kubeconfig: Path, team: Team, secret: Mapping[str, str]) -> None:
    """Create or update the team's Namespace, runner ServiceAccount, Secret and ResourceQuota.

    Raises:
        WherryError: the cluster refused one of them.
    """
    from kubernetes import client, config

    api = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    meta = {"labels": {**LABELS, "wherry.dev/team": team.name}}
    namespace = {"metadata": {"name": team.namespace, **meta}}
    account = {"metadata": {"name": team.service_account, **meta}, "automountServiceAccountToken": False}
    quota = {"metadata": {"name": "team", **meta}, "spec": {"hard": quota_hard(team)}}
    try:
        _ensure(lambda: api.create_namespace(namespace))
        _ensure(lambda: api.create_namespaced_service_account(team.namespace, account))
        _ensure(lambda: api.create_namespaced_resource_quota(team.namespace, quota))
        body = {"metadata": {"name": team.secret, **meta}, "stringData": dict(secret)}
        if not _ensure(lambda: api.create_namespaced_secret(team.namespace, body)):
            api.replace_namespaced_secret(team.secret, team.namespace, body)
    except client.ApiException as error:
        raise WherryError(f"the cluster refused an object of team {team.name}: {error.status} {error.reason}") from None


def quota_hard(team: Team) -> dict[str, str]:
    """The `hard` part of the team's ResourceQuota; empty where the team file sets no quota."""
    if team.quota is None:
        return {}
    return {
        "pods": str(team.quota.pods),
        "requests.cpu": team.quota.cpu,
        "requests.memory": team.quota.memory,
    }


def _ensure(create: Any) -> bool:
    """Create an object; False when it is there already."""
    from kubernetes.client import ApiException

    try:
        create()
    except ApiException as error:
        if error.status == 409:
            return False
        raise
    return True
