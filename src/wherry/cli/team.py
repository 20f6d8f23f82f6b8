"""`wherry team`: a team's way into a local cluster, and out of it."""

from pathlib import Path
from typing import Annotated

import typer

_Name = Annotated[str, typer.Argument(help="The team's name: sales.")]


def register(app: typer.Typer) -> None:
    """Add the `team` commands."""
    team = typer.Typer(no_args_is_help=True, help="A team: write its files, bring it to a local cluster, take it out.")
    for command in (new, apply, remove, snowflake):
        team.command(command.__name__)(command)
    app.add_typer(team, name="team")


def new(
    name: _Name,
    owner: Annotated[str, typer.Option("--owner", help="Who is told when something fails.")] = "you@example.com",
) -> None:
    """Write a new team's file and a small dbt project that works.

    Example: wherry team new sales --owner ana@example.com
    """
    from rich.console import Console

    from wherry.cluster.scaffold import write

    console = Console(highlight=False)
    for path in write(name, owner, Path.cwd()):
        console.print(f"[green]+[/] {path.relative_to(Path.cwd())}")
    console.print(f"Next: task validate, then task team:apply NAME={name}")


def apply(name: _Name) -> None:
    """Make the team's namespace, rights, Secret, database and pools as its file says, and release its projects.

    Example: wherry team apply sales
    """
    from wherry.cli.cluster import attach

    cluster = attach()
    team = cluster.team(name)
    cluster.apply_team(team)
    cluster.apply_pools()
    cluster.load_raw_of(team)
    for project in team.projects:
        made = cluster.release(team, project)
        cluster.console.print(
            f"{made.dag_id}: release {made.id}; the DAG appears in Airflow within half a minute", soft_wrap=True
        )


def remove(name: _Name) -> None:
    """Take the team's DAGs, rights and policies out of the cluster; its namespace, Secret and data stay.

    Example: wherry team remove sales
    """
    from wherry.cli.cluster import attach

    cluster = attach()
    kept = cluster.remove_team(name)
    cluster.console.print(f"Team {name} is out. Kept: {kept}.", soft_wrap=True)


def snowflake(name: _Name) -> None:
    """Say how to point the team at a real Snowflake account.

    Example: wherry team snowflake finance
    """
    from wherry.cluster.snowflake import guide
    from wherry.demo.layout import REPOSITORY
    from wherry.teams import load_team

    typer.echo(guide(load_team(REPOSITORY / "k8s" / "teams" / f"{name}.yaml")))
