"""A team's namespace on a cluster, as the demo makes it: the same objects that the team chart makes in production."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from wherry.errors import WherryError
from wherry.teams import Quota, Team

Secret = Mapping[str, str]

LABELS = {"app.kubernetes.io/managed-by": "wherry"}


def apply_team(kubeconfig: Path, team: Team, secret: Secret) -> None:
    """Create or update the team's Namespace, runner ServiceAccount, Secret and ResourceQuota.

    Raises:
        WherryError: the cluster refused one of them.
    """
    from kubernetes import client, config

    api = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    meta = {"labels": {**LABELS, "wherry.dev/team": team.name}}
    namespace = {"metadata": {"name": team.namespace, **meta}}
    account = {"metadata": {"name": team.service_account, **meta}, "automountServiceAccountToken": False}
    quota = {"metadata": {"name": "team", **meta}, "spec": {"hard": quota_hard(team.quota)}}
    try:
        _ensure(lambda: api.create_namespace(namespace))
        _ensure(lambda: api.create_namespaced_service_account(team.namespace, account))
        _ensure(lambda: api.create_namespaced_resource_quota(team.namespace, quota))
        body = {"metadata": {"name": team.secret, **meta}, "stringData": dict(secret)}
        if not _ensure(lambda: api.create_namespaced_secret(team.namespace, body)):
            api.replace_namespaced_secret(team.secret, team.namespace, body)
    except client.ApiException as error:
        raise WherryError(f"the cluster refused an object of team {team.name}: {error.status} {error.reason}") from None


def quota_hard(quota: Quota) -> dict[str, str]:
    """The `hard` part of the team's ResourceQuota."""
    return {"pods": str(quota.pods), "limits.cpu": quota.cpu, "limits.memory": quota.memory}


def warehouse_secrets(teams: Iterable[Team], postgres_port: int, emulator: str, password: str) -> dict[str, Secret]:
    """What each team's Secret holds in the demo: where its warehouse answers, and the password.

    `emulator` is host:port of the Snowflake emulator, which takes any password; `password` is that of every PostgreSQL
    role of the demo.
    """
    host, port = emulator.split(":")
    snowflake = {"SNOWFLAKE_HOST": host, "SNOWFLAKE_PORT": port, "SNOWFLAKE_PROTOCOL": "http"}
    postgres = {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": str(postgres_port)}
    where = {"snowflake": snowflake, "postgres": postgres}
    return {
        team.name: {
            "DBT_ENV_SECRET_PASSWORD": password,
            **{key: value for warehouse in team.warehouses.values() for key, value in where[warehouse.type].items()},
        }
        for team in teams
    }


def postgres_databases(teams: Iterable[Team]) -> dict[str, str]:
    """The databases of the teams that use PostgreSQL, with the role that owns each."""
    return {
        warehouse.database: str(warehouse.user)
        for team in teams
        for warehouse in team.warehouses.values()
        if warehouse.type == "postgres"
    }


def _ensure(create: Callable[[], object]) -> bool:
    """Create an object; False when it is there already."""
    from kubernetes.client import ApiException

    try:
        create()
    except ApiException as error:
        if error.status == 409:
            return False
        raise
    return True
