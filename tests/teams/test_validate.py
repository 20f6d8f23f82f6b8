"""`wherry validate` says yes or every no."""

import json
import shutil
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from wherry.cli import validate

HERE = Path(__file__).parent
SAMPLES = Path(__file__).parents[2] / "k8s" / "teams"


@pytest.fixture
def app() -> Typer:
    """A command line with the one command."""
    app = Typer()
    app.callback()(lambda: None)
    validate.register(app)
    return app


def test_summary(app: Typer) -> None:
    """Good teams are summed up: projects, when they run, pools."""
    result = CliRunner().invoke(app, ["validate", str(SAMPLES)])
    assert result.exit_code == 0
    for word in ("finance", "team-growth", "@hourly", "finance__heavy", "2 teams valid"):
        assert word in result.output


def test_default_folder(app: Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path the installation's folder of teams is checked."""
    monkeypatch.setenv("WHERRY_TEAMS", str(HERE / "bad_folders" / "same-name"))
    assert CliRunner().invoke(app, ["validate"]).exit_code == 1


def test_json_summary(app: Typer) -> None:
    """A script reads the same from JSON."""
    result = CliRunner().invoke(app, ["validate", "--json", str(SAMPLES / "growth.yaml")])
    assert result.exit_code == 0
    assert json.loads(result.output) == {
        "ok": True,
        "teams": [
            {
                "name": "growth",
                "namespace": "team-growth",
                "dags": {"growth": "growth__growth"},
                "pools": {"growth__main": 6},
            }
        ],
    }


def test_problems(app: Typer) -> None:
    """Every problem of every file is printed as it is, and the command fails."""
    files = [HERE / "bad" / f"{name}.yaml" for name in ("slots-zero", "retries-eleven")]
    result = CliRunner().invoke(app, ["validate", *map(str, files)])
    assert result.exit_code == 1
    assert result.output == (
        f"{files[0]}:13: warehouses.main.slots: found 0, expected at least 1\n"
        f"{files[1]}:18: projects.shop.retries: found 11, expected at most 10\n\n2 problems\n"
    )


def test_json_problems(app: Typer) -> None:
    """A script gets file, line, key, found and expected apart."""
    path = HERE / "bad" / "slots-zero.yaml"
    result = CliRunner().invoke(app, ["validate", "--json", str(path)])
    assert result.exit_code == 1
    assert json.loads(result.output) == {
        "ok": False,
        "problems": [
            {
                "file": str(path),
                "line": 13,
                "key": "warehouses.main.slots",
                "found": "0",
                "expected": "at least 1",
            }
        ],
    }


def test_one_file_named_twice(app: Typer, tmp_path: Path) -> None:
    """A file that is named itself and by its folder doesn't clash with itself."""
    path = Path(shutil.copy(SAMPLES / "growth.yaml", tmp_path))
    assert CliRunner().invoke(app, ["validate", str(path), str(tmp_path)]).exit_code == 0
