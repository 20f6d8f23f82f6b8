"""What a team is: the models of its YAML file, their loading and their rules. Knows nothing else of ours."""

from wherry.teams.models import (
    EnvRef,
    NodeMeta,
    NodeRule,
    Postgres,
    Project,
    Quota,
    ResourceOverrides,
    Resources,
    Snowflake,
    Team,
    Warehouse,
    dag_id,
    pool_name,
)
from wherry.teams.units import format_duration, parse_duration, parse_quantity

__all__ = [
    "EnvRef",
    "NodeMeta",
    "NodeRule",
    "Postgres",
    "Project",
    "Quota",
    "ResourceOverrides",
    "Resources",
    "Snowflake",
    "Team",
    "Warehouse",
    "dag_id",
    "format_duration",
    "parse_duration",
    "parse_quantity",
    "pool_name",
]
