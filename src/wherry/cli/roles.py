"""`wherry roles`: what each team's users may do in Airflow."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from wherry.auth import TeamRole
    from wherry.auth.apply import Change

_ATTEMPTS: Final = 3


def register(app: typer.Typer) -> None:
    """Add the `roles` command."""
    app.command("roles")(roles)


def roles(
    teams: Annotated[Path | None, typer.Option("--teams", help="The folder with the team files.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every permission of every role.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Write them to Airflow's database.")] = False,
) -> None:
    """Show the Airflow role of each team, or write them: with it, users see and run their own team's DAGs only.

    Roles named team-... that no team stands behind lose all they may do. What is right already isn't touched.

    Example: wherry roles --apply && airflow users create --role team-finance ...
    """
    from wherry.auth import team_roles
    from wherry.settings import teams_folder
    from wherry.teams import load_teams

    wanted = team_roles(load_teams(teams or teams_folder()))
    if apply:
        _print_changes(_apply(wanted))
    elif as_json:
        typer.echo(json.dumps({role.name: sorted(map(list, role.permissions)) for role in wanted}, indent=2))
    else:
        table = Table("role", "DAGs", box=None)
        for role in wanted:
            table.add_row(role.name, " ".join(sorted({r for _, r in role.permissions if r.startswith("DAG:")})))
        Console().print(table)


def _apply(wanted: "tuple[TeamRole, ...]") -> "tuple[Change, ...]":
    from airflow.configuration import conf
    from airflow.utils.session import create_session
    from sqlalchemy.exc import IntegrityError

    from wherry.auth.apply import apply_roles
    from wherry.errors import WherryError

    manager = conf.get("core", "auth_manager")
    if not manager.endswith("FabAuthManager"):
        raise WherryError(
            f"Airflow's auth manager is {manager}, which keeps no roles. Expected FabAuthManager: "
            "set AIRFLOW__CORE__AUTH_MANAGER, or auth.manager=fab in charts/airflow."
        )
    for attempt in range(_ATTEMPTS):
        try:
            with create_session() as session:
                return apply_roles(session, wanted)
        except IntegrityError:  # the dag-processor makes a new DAG's permissions too
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def _print_changes(changes: "tuple[Change, ...]") -> None:
    for change in changes:
        what = [f"{len(change.granted)} granted"] if change.granted else []
        what += [f"{len(change.revoked)} revoked"] if change.revoked else []
        what += ["deleted"] if change.deleted else []
        what += [f"empty, and still held by {', '.join(change.holders)}"] if change.holders else []
        typer.echo(f"{change.role}: {', '.join(what)}")
    if not changes:
        typer.echo("Nothing to change.")
