"""`wherry pools`: the Airflow pools that the team files ask for."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def register(app: typer.Typer) -> None:
    """Add the `pools` command."""
    app.command("pools")(pools)


def pools(
    teams: Annotated[Path | None, typer.Option("--teams", help="The folder with the team files.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what `airflow pools import` reads.")] = False,
) -> None:
    """Show the pools of all teams: a task whose pool does not exist waits for ever, so make them before any DAG runs.

    Example: wherry pools --json > pools.json && airflow pools import pools.json
    """
    from wherry.settings import teams_folder
    from wherry.teams import load_teams, pool_entries

    folder = teams or teams_folder()
    entries = pool_entries(load_teams(folder))
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
        return
    table = Table("pool", "slots", box=None)
    for name, entry in entries.items():
        table.add_row(name, str(entry["slots"]))
    Console().print(table)
