"""What docker-compose.yml's services find when they start: databases, tables, a login, pools, raw data."""

import json
import os
import subprocess
from pathlib import Path

from wherry.demo.airflow import USER
from wherry.demo.postgres import ensure_databases
from wherry.demo.raw import load_raw
from wherry.demo.tenants import postgres_databases
from wherry.errors import WherryError
from wherry.secrets import team_secret
from wherry.teams import Team, load_teams, pool_entries

PASSWORD = "wherry"  # noqa: S105 - of a stack that listens on one laptop only; docker-compose.yml says it too
_DATABASE = f"postgresql://postgres:{PASSWORD}@postgres/postgres"


def prepare(teams_folder: Path, repository: Path) -> None:
    """Make all of it. Raises WherryError with the words of what failed."""
    teams = load_teams(teams_folder)
    databases = {"airflow": "airflow", **postgres_databases(teams)}
    ensure_databases(_DATABASE, dict.fromkeys(databases.values(), PASSWORD), databases)
    _airflow("db", "migrate")
    passwords = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    passwords.write_text(json.dumps({USER: PASSWORD}))
    pools = passwords.with_name("pools.json")
    pools.write_text(json.dumps(pool_entries(teams)))
    _airflow("pools", "import", str(pools))
    for team in teams:
        _load(team, repository)


def _load(team: Team, repository: Path) -> None:
    """Load the sample data of a team whose warehouse is one of the stack's own; a real account has data."""
    secret = team_secret(team.name)
    if not {"snowflake", "postgres"} & {secret.get("SNOWFLAKE_HOST"), secret.get("POSTGRES_HOST")}:
        return
    for project in team.projects.values():
        load_raw(team, project, secret, repository)


def _airflow(*command: str) -> None:
    done = subprocess.run(["airflow", *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise WherryError(f"airflow {' '.join(command)} failed:\n{(done.stderr or done.stdout).strip()[-2000:]}")
