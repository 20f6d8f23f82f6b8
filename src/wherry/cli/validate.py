"""`wherry validate`: check team files before anything else sees them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from wherry.teams import Team, TeamFileError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("validate")(validate)


def validate(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Team files or folders of them (default: the folder of WHERRY_TEAMS).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for a script.")] = False,
) -> None:
    """Check team files: each alone, and what must be unique among them. Exits with 1 on any problem.

    Example: `wherry validate k8s/teams`
    """
    import json

    from wherry.settings import teams_folder
    from wherry.teams import TeamFileError

    try:
        teams = _load(paths or [teams_folder()])
    except TeamFileError as error:
        if as_json:
            typer.echo(json.dumps(_failure(error), indent=2))
        else:
            _print_problems(error)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(_success(teams), indent=2))
    else:
        _print_teams(teams)


def _load(paths: list[Path]) -> tuple[Team, ...]:
    from wherry.teams import load_team_files, team_files

    files = [file for path in paths for file in (team_files(path) if path.is_dir() else (path,))]
    return load_team_files(dict.fromkeys(files))


def _failure(error: TeamFileError) -> dict[str, Any]:
    from dataclasses import asdict

    return {"ok": False, "problems": [asdict(problem) for problem in error.problems]}


def _success(teams: tuple[Team, ...]) -> dict[str, Any]:
    return {
        "ok": True,
        "teams": [
            {"name": team.name, "namespace": team.namespace, "dags": team.dag_ids(), "pools": team.pools()}
            for team in teams
        ],
    }


def _print_problems(error: TeamFileError) -> None:
    count = len(error.problems)
    typer.echo(f"{error}\n\n{count} problem{'s' if count != 1 else ''}", err=True)


def _print_teams(teams: tuple[Team, ...]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("team", "namespace", "project", "runs", "pool", "slots", box=None, header_style="bold")
    for team in teams:
        projects = [(name, _runs(project.schedule, project.assets)) for name, project in team.projects.items()]
        pools = [(name, str(slots)) for name, slots in team.pools().items()]
        for row in range(max(len(projects), len(pools))):
            head = (team.name, team.namespace) if row == 0 else ("", "")
            cells = (*(projects[row : row + 1] or [("", "")])[0], *(pools[row : row + 1] or [("", "")])[0])
            table.add_row(*map(escape, (*head, *cells)))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"[green]✓[/] {len(teams)} team{'s' if len(teams) != 1 else ''} valid")


def _runs(schedule: str | None, assets: tuple[str, ...]) -> str:
    return schedule or ", ".join(assets) or "when triggered"
