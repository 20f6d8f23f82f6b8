"""What is generated from the models is committed, up to date, and agrees with them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer import Typer
from typer.testing import CliRunner

from wherry.cli import schema as schema_command
from wherry.teams import json_schema

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


@pytest.fixture
def app() -> Typer:
    """A command line with the one command."""
    app = Typer()
    app.callback()(lambda: None)
    schema_command.register(app)
    return app


def test_committed_files_are_up_to_date(app: Typer) -> None:
    """The schema and the reference page in the repository are those of the models: else run `wherry schema`."""
    result = CliRunner().invoke(app, ["schema", "--check", "--root", str(ROOT)])
    assert (result.exit_code, result.output) == (0, "")


def test_schema_command_writes_what_check_misses(app: Typer, tmp_path: Path) -> None:
    """`--check` fails and writes nothing; without it both files are written, and the check passes."""
    arguments = ["schema", "--root", str(tmp_path)]
    assert CliRunner().invoke(app, [*arguments, "--check"]).exit_code == 1
    assert not list(tmp_path.iterdir())
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert CliRunner().invoke(app, [*arguments, "--check"]).exit_code == 0


def properties(node: Any, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property of a schema and of its definitions."""
    for name, value in node.get("properties", {}).items():
        yield f"{at}.{name}", value
    for name, definition in node.get("$defs", {}).items():
        yield from properties(definition, name)


def test_every_key_is_described() -> None:
    """An editor has a word on each key."""
    assert [at for at, value in properties(json_schema()) if not value.get("description")] == []


def test_every_mapping_is_closed() -> None:
    """No mapping of the schema takes unknown keys."""
    schema = json_schema()
    assert [name for name, part in schema["$defs"].items() if part.get("additionalProperties") is not False] == []
    assert schema["additionalProperties"] is False


def test_defaults_are_written_as_in_a_file() -> None:
    """A default in the schema is itself valid there."""
    definitions = json_schema()["$defs"]
    for at, value in properties(json_schema()):
        if value.get("default") is not None:
            Draft202012Validator(value | {"$defs": definitions}).validate(value["default"])
        assert "PT" not in str(value.get("default")), at


GOOD = [*(HERE / "good").glob("*.yaml"), *(ROOT / "k8s" / "teams").glob("*.yaml")]


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_schema_takes_good_files(path: Path) -> None:
    """An editor doesn't complain about a good file."""
    Draft202012Validator(json_schema()).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    "name",
    [
        "unknown-key",
        "missing-owners",
        "slots-zero",
        "slots-in-quotes",
        "namespace-with-underscore",
        "project-name-with-dash",
        "misspelt-project-key",
        "like-with-type",
        "warehouse-type-unknown",
        "retries-eleven",
        "timeout-without-unit",
        "memory-in-megabyte-spelling",
        "git-ext-transport",
        "allow-namespace",
    ],
)
def test_schema_refuses_what_an_editor_can_know(name: str) -> None:
    """Mistakes of shape are underlined in the editor already."""
    data = yaml.safe_load((HERE / "bad" / f"{name}.yaml").read_text())
    assert not Draft202012Validator(json_schema()).is_valid(data)


def test_committed_schema_is_json() -> None:
    """Editors can read the file."""
    Draft202012Validator.check_schema(json.loads((ROOT / "schemas" / "team.schema.json").read_text()))
