"""A new team's files, and what a team is told about Snowflake."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wherry.cli.main import app
from wherry.cluster.scaffold import write
from wherry.cluster.snowflake import guide
from wherry.demo.layout import REPOSITORY
from wherry.errors import WherryError
from wherry.release import build_release, read_manifest
from wherry.release.images import LocalImageStore
from wherry.settings import runner_python
from wherry.teams import load_team


@pytest.mark.skipif(not runner_python().exists(), reason=f"the runner's environment is not there: {runner_python()}")
def test_a_new_team_can_be_released_at_once(tmp_path: Path) -> None:
    """dbt takes the project, our rules take the team file, and a name with a dash makes proper names everywhere."""
    write("web-shop", "ana@example.com", tmp_path)
    team = load_team(tmp_path / "k8s/teams/web-shop.yaml")
    images = LocalImageStore(tmp_path / "images", runner_python())
    release = build_release(team, "web_shop", tmp_path / "releases", root=tmp_path, images=images).release
    assert release.dag_id == "web-shop__web_shop"
    names = {node["name"] for node in read_manifest(release)["nodes"].values()}
    assert {"visits", "daily_visitors"} <= names


def test_files_that_are_there_are_not_overwritten(tmp_path: Path) -> None:
    """Nothing at all is written then."""
    there = tmp_path / "dbt/sales/dbt_project.yml"
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    with pytest.raises(WherryError, match="is there already"):
        write("sales", "ana@example.com", tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [there]
    assert there.read_text() == "mine"


@pytest.mark.parametrize("name", ["Sales", "1st", "a b", "../x", "sales\n", ""])
def test_a_name_that_no_namespace_can_have_is_refused(name: str, tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(WherryError, match="expected lower-case letters"):
        write(name, "ana@example.com", tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_way_to_a_real_account_names_the_teams_own_things() -> None:
    """Role, virtual warehouse, database, user, namespace and Secret are those of the team file."""
    told = guide(load_team(REPOSITORY / "k8s/teams/finance.yaml"))
    for word in ("TRANSFORMER", "TRANSFORM_WH", "FINANCE_DBT", "--namespace team-finance", "generic warehouse"):
        assert word in told
    with pytest.raises(WherryError, match="no warehouse of type snowflake"):
        guide(load_team(REPOSITORY / "k8s/teams/growth.yaml"))


def test_the_commands_say_what_they_do() -> None:
    """Each has a help text with an example."""
    for command in (["team", "new"], ["team", "apply"], ["team", "remove"], ["team", "snowflake"], ["cluster", "up"]):
        shown = CliRunner().invoke(app, [*command, "--help"])
        assert shown.exit_code == 0
        assert "Example: wherry" in shown.output
