"""`wherry dev`: what the services of docker-compose.yml do."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wherry import settings
from wherry.errors import WherryError

if TYPE_CHECKING:
    from wherry.release import Outcome


def register(app: typer.Typer) -> None:
    """Add the `dev` commands."""
    dev = typer.Typer(no_args_is_help=True, help="Inside docker-compose.yml: work on projects without Kubernetes.")
    for command in (prepare, watch):
        dev.command(command.__name__)(command)
    app.add_typer(dev, name="dev")


def prepare() -> None:
    """Make databases, Airflow's tables, the login, the teams' pools and their raw data; again does no harm.

    Example: docker compose run --rm prepare wherry dev prepare
    """
    from wherry.demo.compose import prepare

    prepare(settings.teams_folder(), Path.cwd())


def watch() -> None:
    """Release every team's projects without images, and again whenever their files change.

    Example: wherry dev watch
    """
    from rich.console import Console
    from rich.markup import escape

    from wherry.release.images import NoImages
    from wherry.release.watch import Reloader

    console = Console(highlight=False, soft_wrap=True)

    def released(outcome: "Outcome") -> None:
        release = outcome.release
        if outcome.changed:
            console.print(f"released [bold]{release.team}/{release.project}[/] {release.id}")

    def refused(error: WherryError) -> None:
        console.print(f"[bold red]error:[/] {escape(str(error))}")

    folder, out = settings.teams_folder(), settings.releases_folder()
    Reloader(folder, Path.cwd(), out, NoImages(), released, refused).run()
