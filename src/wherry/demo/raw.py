"""Raw data for the sample projects: `raw.sql` beside dbt_project.yml stands for the loaders that run before dbt.

The script is idempotent; running it again makes the data fresh again.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from wherry.errors import WherryError
from wherry.settings import runner_python
from wherry.teams import EnvRef, Postgres, Project, Snowflake, Team

_PASSWORD = "DBT_ENV_SECRET_PASSWORD"  # noqa: S105 - the variable's name

# The connector is in the runner's environment only. Facts and password come by the environment: argv is for all to see.
_SNOWFLAKE_LOADER = """
import os, sys
from pathlib import Path
import snowflake.connector
facts = {k[4:].lower(): v for k, v in os.environ.items() if k.startswith("RAW_")}
script = facts.pop("script")
try:
    with snowflake.connector.connect(**facts, login_timeout=30, network_timeout=60) as connection:
        for cursor in connection.execute_string(Path(script).read_text()):
            cursor.fetchall()
except snowflake.connector.errors.Error as error:
    sys.exit(str(error))
"""


def load_raw(team: Team, project: Project, secret: Mapping[str, str], repository: Path = Path()) -> None:
    """Run the project's raw.sql on its warehouse, logged in as dbt would be; nothing where there is no such file.

    The secret's values fill the warehouse's `{env: NAME}` facts. The only login is by password.
    Raises WherryError with the warehouse's own words.
    """
    script = repository / (project.path or "") / "raw.sql"
    if project.path is None or not script.exists():
        return
    warehouse = team.warehouses[project.warehouse]
    if isinstance(warehouse, Postgres):
        error = _load_postgres(warehouse, secret, script)
    else:
        error = _load_snowflake(warehouse, secret, script)
    if error:
        raise WherryError(f"{script} could not be loaded for team {team.name}: {error}")


def _fact(value: str | int | EnvRef | None, secret: Mapping[str, str]) -> str | None:
    if isinstance(value, EnvRef):
        return secret[value.env]
    return None if value is None else str(value)


def _load_postgres(warehouse: Postgres, secret: Mapping[str, str], script: Path) -> str:
    import psycopg2

    try:
        connection = psycopg2.connect(
            host=_fact(warehouse.host, secret),
            port=_fact(warehouse.port, secret),
            user=_fact(warehouse.user, secret),
            dbname=warehouse.database,
            password=secret[_PASSWORD],
            sslmode=warehouse.sslmode,
        )
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(script.read_text())
        finally:
            connection.close()
    except psycopg2.Error as error:
        return str(error).strip()
    return ""


def _load_snowflake(warehouse: Snowflake, secret: Mapping[str, str], script: Path) -> str:
    facts = {
        "account": warehouse.account,
        "host": warehouse.host,
        "port": warehouse.port,
        "protocol": warehouse.protocol,
        "user": warehouse.user,
        "role": warehouse.role,
        "warehouse": warehouse.warehouse,
        "database": warehouse.database,
        "schema": warehouse.schema_,
    }
    known = {f"RAW_{name.upper()}": value for name, fact in facts.items() if (value := _fact(fact, secret))}
    environment = {**os.environ, **known, "RAW_PASSWORD": secret[_PASSWORD], "RAW_SCRIPT": str(script.absolute())}
    done = subprocess.run(
        [str(runner_python()), "-c", _SNOWFLAKE_LOADER], env=environment, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else (done.stderr.strip() or f"exit code {done.returncode}")
