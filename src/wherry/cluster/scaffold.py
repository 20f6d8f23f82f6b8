"""A new team: its file, and a small dbt project that works from the first release on."""

import re
from collections.abc import Mapping
from pathlib import Path

from wherry.errors import WherryError
from wherry.teams import load_teams

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


def files(name: str, owner: str) -> Mapping[str, str]:
    """The new files by their path: a project on a PostgreSQL database of its own. Pure."""
    project = name.replace("-", "_")
    return {
        f"k8s/teams/{name}.yaml": f"""\
# yaml-language-server: $schema=../../schemas/team.schema.json
#
# Every key is explained in docs/reference/team-file.md. The password is in the Secret, under DBT_ENV_SECRET_PASSWORD.
name: {name}
namespace: team-{name}
owners: [{owner}]
secret: warehouse

warehouses:
  main:
    type: postgres
    host: {{env: POSTGRES_HOST}}
    port: {{env: POSTGRES_PORT}}
    user: {project}
    database: {project}
    schema: analytics
    slots: 4

projects:
  {project}:
    path: dbt/{name}
    warehouse: main
    schedule: "@daily"

quota: {{cpu: "4", memory: 4Gi, pods: 8, memory_per_pod: 2Gi, cpu_per_pod: "1"}}
""",
        f"dbt/{name}/dbt_project.yml": f"""\
name: {project}
version: 1.0.0
profile: {project}
model-paths: [models]
seed-paths: [seeds]

models:
  {project}:
    +materialized: table
""",
        f"dbt/{name}/.gitignore": "target/\nlogs/\ndbt_packages/\n",
        f"dbt/{name}/seeds/visits.csv": "day,visitor\n2026-01-01,ana\n2026-01-01,jonas\n2026-01-02,ana\n",
        f"dbt/{name}/models/daily_visitors.sql": """\
select day, count(distinct visitor) as visitors
from {{ ref("visits") }}
group by day
""",
        f"dbt/{name}/models/_models.yml": """\
version: 2

models:
  - name: daily_visitors
    description: How many came each day.
    columns:
      - name: day
        data_tests: [unique, not_null]
""",
    }


def write(name: str, owner: str, root: Path) -> list[Path]:
    """Write a new team's files under `root`. Raises WherryError, with nothing written, where one is there already."""
    if not _NAME.fullmatch(name):
        raise WherryError(f"team name: found {name!r}, expected lower-case letters, digits and dashes, such as sales")
    wanted = {root / path: text for path, text in files(name, owner).items()}
    if there := [path for path in wanted if path.exists()]:
        raise WherryError(f"{there[0]}: is there already, expected a new name; nothing was written")
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    load_teams(root / "k8s" / "teams")  # the new file, beside the others
    return list(wanted)
