"""The profiles.yml of a release: facts from the team file, everything secret from the pod's environment."""

import json
from typing import Any

from wherry.teams import EnvRef, Postgres, Project, Snowflake

_QUERY_TAG = "{{ env_var('WHERRY_QUERY_TAG', '') }}"
_PASSWORD = "{{ env_var('DBT_ENV_SECRET_PASSWORD') }}"  # noqa: S105 - a reference, not a value


def profiles_yml(profile: str, project: Project, warehouse: Snowflake | Postgres) -> str:
    """One profile with one output, named for the project's target. It holds no secret."""
    facts = _snowflake(warehouse) if isinstance(warehouse, Snowflake) else _postgres(warehouse)
    output = {key: value for key, value in {**facts, "threads": project.threads}.items() if value is not None}
    profile, target = json.dumps(profile), json.dumps(project.target)  # JSON's scalars are YAML's
    head = [f"{profile}:", f"  target: {target}", "  outputs:", f"    {target}:"]
    return "\n".join([*head, *(f"      {key}: {json.dumps(value)}" for key, value in sorted(output.items())), ""])


def _snowflake(warehouse: Snowflake) -> dict[str, Any]:
    return {
        "type": "snowflake",
        "account": _fact(warehouse.account),
        "host": _fact(warehouse.host),
        "port": _fact(warehouse.port, number=True),
        "protocol": _fact(warehouse.protocol),
        "user": _fact(warehouse.user),
        "role": _fact(warehouse.role),
        "database": warehouse.database,
        "schema": warehouse.schema_,
        "warehouse": f"{{{{ env_var('WHERRY_WAREHOUSE', '{warehouse.warehouse}') }}}}",
        "query_tag": _QUERY_TAG,
        "reuse_connections": True,
        "client_session_keep_alive": False,
        **_snowflake_login(warehouse),
    }


def _snowflake_login(warehouse: Snowflake) -> dict[str, str]:
    if warehouse.auth == "password":
        return {"password": _PASSWORD}
    return {
        "private_key": "{{ env_var('DBT_ENV_SECRET_PRIVATE_KEY') }}",
        "private_key_passphrase": "{{ env_var('DBT_ENV_SECRET_PRIVATE_KEY_PASSPHRASE', '') }}",
    }


def _postgres(warehouse: Postgres) -> dict[str, Any]:
    return {
        "type": "postgres",
        "host": _fact(warehouse.host),
        "port": _fact(warehouse.port, number=True),
        "user": _fact(warehouse.user),
        "password": _PASSWORD,
        "dbname": warehouse.database,
        "schema": warehouse.schema_,
        "sslmode": warehouse.sslmode,
        "application_name": "{{ env_var('WHERRY_QUERY_TAG', 'dbt')[:63] }}",  # PostgreSQL keeps no more
    }


def _fact(value: str | int | EnvRef | None, *, number: bool = False) -> str | int | None:
    """A literal, or a reference to the pod's environment; dbt takes a number from there only when told."""
    if not isinstance(value, EnvRef):
        return value
    return f"{{{{ env_var('{value.env}'){' | as_number' if number else ''} }}}}"
