"""What a team is: the models of its YAML file, their loading and their rules. Knows nothing else of ours."""

from wherry.teams.document import Problem, TeamFileError
from wherry.teams.loading import load_team, load_team_files, load_teams, team_files
from wherry.teams.models import (
    EnvRef,
    Execution,
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
    pool_entries,
    pool_name,
)
from wherry.teams.schema import json_schema
from wherry.teams.units import format_duration, parse_duration, parse_quantity

__all__ = [
    "EnvRef",
    "Execution",
    "NodeMeta",
    "NodeRule",
    "Postgres",
    "Problem",
    "Project",
    "Quota",
    "ResourceOverrides",
    "Resources",
    "Snowflake",
    "Team",
    "TeamFileError",
    "Warehouse",
    "dag_id",
    "format_duration",
    "json_schema",
    "load_team",
    "load_team_files",
    "load_teams",
    "parse_duration",
    "parse_quantity",
    "pool_entries",
    "pool_name",
    "team_files",
]
