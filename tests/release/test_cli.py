"""`wherry release` on the command line."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.release.conftest import make_team
from wherry.cli import release as command
from wherry.errors import WherryError
from wherry.release import ReleaseError, build_release


@pytest.fixture
def cli(repository: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The command alone, run in a repository with one team file."""
    teams = repository / "k8s/teams"
    teams.mkdir(parents=True)
    document = make_team().model_dump(mode="json", exclude_none=True)
    (teams / "growth.yaml").write_text(json.dumps(document))
    monkeypatch.chdir(repository)
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)
    return app


@pytest.mark.usefixtures("replay")
def test_a_team_is_released_and_then_unchanged(cli: typer.Typer, repository: Path) -> None:
    """A person reads one line a project, on stderr."""
    first = CliRunner().invoke(cli, ["release", "growth"], catch_exceptions=False)
    again = CliRunner().invoke(cli, ["release", "growth", "tiny"], catch_exceptions=False)
    assert first.stderr.splitlines()[-1].startswith("released growth/tiny ")
    assert again.stderr.splitlines()[-1].startswith("unchanged growth/tiny ")
    assert (repository / "releases/growth/tiny/release.json").is_file()


@pytest.mark.usefixtures("replay")
def test_a_script_reads_json(cli: typer.Typer, tmp_path: Path) -> None:
    """One document on stdout, nothing on stderr."""
    result = CliRunner().invoke(
        cli, ["release", "growth", "--json", "--out", str(tmp_path / "out")], catch_exceptions=False
    )
    (release,) = json.loads(result.stdout)["releases"]
    assert (release["dag_id"], release["changed"]) == ("growth__tiny", True)
    assert release["image"].endswith(f"growth-tiny:{release['id']}")
    assert result.stderr == ""
    assert (tmp_path / "out/growth/tiny" / release["id"] / "manifest.json").is_file()


def test_an_unknown_team_is_refused(cli: typer.Typer, tmp_path: Path) -> None:
    """With the teams that there are."""
    with pytest.raises(WherryError, match="found no team 'finance', expected one of: growth"):
        CliRunner().invoke(cli, ["release", "finance"], catch_exceptions=False)


def test_a_mode_that_the_platform_doesnt_allow_is_refused(repository: Path, tmp_path: Path) -> None:
    """Before anything is built: in it a team's code would run beside Airflow's own."""
    with pytest.raises(ReleaseError, match=r"growth: projects\.tiny\.execution: found 'local', expected one of: kube"):
        build_release(make_team(execution="local"), "tiny", tmp_path / "out", root=repository)
    assert not (tmp_path / "out").exists()


def test_the_help_has_an_example(cli: typer.Typer) -> None:
    """As every command's."""
    assert "wherry release finance" in CliRunner().invoke(cli, ["release", "--help"]).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--builder", "podman"], "found 'podman', expected local, docker or none"),
        (["--builder", "none", "--push"], "found builder none, expected docker"),
        (["--push"], "expected docker"),
    ],
)
def test_an_unknown_builder_is_refused(cli: typer.Typer, repository: Path, arguments: list[str], message: str) -> None:
    """Before anything is built."""
    with pytest.raises(WherryError, match=message):
        CliRunner().invoke(cli, ["release", "growth", *arguments], catch_exceptions=False)
    assert not (repository / "releases").exists()
