"""`wherry release`: freeze a team's dbt projects into what Airflow renders and pods run."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wherry import settings
from wherry.errors import WherryError

if TYPE_CHECKING:
    from wherry.release import Outcome
    from wherry.release.images import ImageBuilder
    from wherry.teams import Team

_Team = Annotated[str, typer.Argument(help="The team's name: finance.")]
_Project = Annotated[str | None, typer.Argument(help="One of its projects; all of them when absent.")]
_Teams = Annotated[Path | None, typer.Option("--teams", help="The folder of team files [default: k8s/teams].")]
_Out = Annotated[Path | None, typer.Option("--out", help="The folder of releases [default: releases].")]
_Builder = Annotated[
    str | None,
    typer.Option("--builder", help="Who makes the image: local (the embedded cluster's), docker or none."),
]
_Push = Annotated[bool, typer.Option("--push", help="With docker: push the image, and record its digest.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]


def register(app: typer.Typer) -> None:
    """Add `wherry release`."""
    app.command("release")(release)


def release(  # noqa: PLR0913, PLR0917 - one for each option
    team: _Team,
    project: _Project = None,
    teams: _Teams = None,
    out: _Out = None,
    builder: _Builder = None,
    push: _Push = False,
    as_json: _Json = False,
) -> None:
    """Release a team's dbt projects: parse, check and freeze them for Airflow.

    Run it in the repository that holds the team files. Nothing is written when dbt refuses a project, or a node asks
    for something that it may not set; an unchanged project is not built again.

    Example: `wherry release finance`
    """
    found = _team(team, teams or settings.teams_folder())
    names = [project] if project else sorted(found.projects)
    images = _images(builder or settings.image_builder(), push=push)
    outcomes = [_release(found, name, out or settings.releases_folder(), images, quiet=as_json) for name in names]
    if as_json:
        typer.echo(json.dumps({"releases": [_summary(outcome) for outcome in outcomes]}, indent=2))


def _team(name: str, folder: Path) -> "Team":
    from wherry.teams import load_teams

    teams = {team.name: team for team in load_teams(folder)}
    if name not in teams:
        raise WherryError(f"{folder}: found no team {name!r}, expected one of: {', '.join(sorted(teams)) or 'none'}")
    return teams[name]


def _images(builder: str, *, push: bool) -> "ImageBuilder":
    """The builder of that name; WherryError where there is none such."""
    from wherry.release import docker
    from wherry.release.images import LocalImageStore, NoImages

    match builder, push:
        case "docker", True:
            return docker.DockerImageBuilder(settings.runner_image(), docker.push)
        case "docker", False:
            return docker.DockerImageBuilder(settings.runner_image())
        case "local", False:
            return LocalImageStore(settings.image_store(), settings.runner_python())
        case "none", False:
            return NoImages()
        case (("local" | "none"), True):
            raise WherryError(f"--push: found builder {builder}, expected docker: only its images go to a registry")
    raise WherryError(f"--builder, WHERRY_IMAGE_BUILDER: found {builder!r}, expected local, docker or none")


def _release(team: "Team", project: str, out: Path, images: "ImageBuilder", *, quiet: bool) -> "Outcome":
    from rich.console import Console

    from wherry.release import build_release

    console = Console(stderr=True, quiet=quiet, highlight=False)
    with console.status(f"{team.name}/{project}") as status:
        outcome = build_release(
            team, project, out, images=images, progress=lambda stage: status.update(f"{team.name}/{project}: {stage}")
        )
    release = outcome.release
    verb = "released" if outcome.changed else "unchanged"
    console.print(f"{verb} [bold]{team.name}/{project}[/] {release.id} (dbt {release.dbt_version}, {release.adapter})")
    return outcome


def _summary(outcome: "Outcome") -> dict[str, str | bool | None]:
    release = outcome.release
    return {
        "team": release.team,
        "project": release.project,
        "dag_id": release.dag_id,
        "id": release.id,
        "image": release.image,
        "image_digest": release.image_digest,
        "git_commit": release.git_commit,
        "changed": outcome.changed,
    }
