"""The values: what is refused, and that what is generated from the schemas is current."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.conftest import CHARTS, ROOT, TEAM_FILES, TEAMS, VARIANTS, module

Helm = Callable[..., subprocess.CompletedProcess[str]]
BAD = sorted(Path(__file__).with_name("bad").glob("*.yaml"))
FINANCE = ROOT / "k8s/teams/finance.yaml"


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_mistake_is_refused_with_a_message_that_names_it(helm: Helm, file: Path) -> None:
    """Each fixture holds one mistake, and in its first line what Helm must say of it."""
    expected = file.read_text().splitlines()[0].removeprefix("# says: ")
    chart = file.stem.split("-")[0]
    team = ["--values", FINANCE] if chart == "team" else []
    done = helm("template", chart, CHARTS / chart, "--namespace", "airflow", *team, "--values", file)
    assert done.returncode != 0
    assert expected in done.stderr


def test_there_are_enough_mistakes() -> None:
    """Both charts have their share of fixtures."""
    assert len([file for file in BAD if file.stem.startswith("airflow-")]) >= 25
    assert len([file for file in BAD if file.stem.startswith("team-")]) >= 20


@pytest.mark.parametrize("variant", VARIANTS)
def test_airflow_is_lint_clean(helm: Helm, variant: str) -> None:
    """`helm lint --strict` finds nothing, with any of the example values."""
    files = [argument for team in TEAMS for argument in ("--set-file", team)]
    done = helm(
        "lint", "--strict", CHARTS / "airflow", "--values", CHARTS / f"airflow/ci/{variant}-values.yaml", *files
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", TEAM_FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("variant", [None, *VARIANTS[1:]])
def test_team_is_lint_clean(helm: Helm, file: Path, variant: str | None) -> None:
    """A team file is the chart's values file as it stands; the platform's keys may come from another."""
    more = ["--values", CHARTS / f"team/ci/{variant}-values.yaml"] if variant else []
    done = helm("lint", "--strict", CHARTS / "team", "--namespace", "airflow", "--values", file, *more)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_generated_is_current() -> None:
    """values.schema.json, values.yaml, the READMEs and the reference pages follow from the hand-written schemas."""
    stale = [str(path) for path, text in module(CHARTS / "generate.py").generated().items() if path.read_text() != text]
    assert stale == [], "run charts/generate.py"


def _objects(schema: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        if schema.get("type") == "object" or "properties" in schema:
            yield path, schema
        for key, inner in schema.items():
            yield from _objects(inner, f"{path}/{key}")
    elif isinstance(schema, list):
        for index, inner in enumerate(schema):
            yield from _objects(inner, f"{path}/{index}")


@pytest.mark.parametrize("chart", ["airflow", "team"])
def test_the_schema_is_closed(chart: str) -> None:
    """Each object says what it may hold; only parts that Kubernetes itself defines are left open, explicitly."""
    schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
    found = dict(_objects(schema, ""))
    assert len(found) > 10
    assert [path for path, inner in found.items() if "additionalProperties" not in inner] == []
    open_ones = {path.split("/properties/")[-1].split("/")[0] for path, inner in found.items()
                 if inner["additionalProperties"] is True}  # fmt: skip
    assert open_ones <= {"affinity", "tolerations", "topologySpreadConstraints", "extraVolumes", "extraVolumeMounts",
                         "apiServerFrom", "options", "extraObjects"}  # fmt: skip


@pytest.mark.parametrize("chart", ["airflow", "team"])
def test_every_value_is_described(chart: str) -> None:
    """The schema is the documentation: no value with a default lacks a description."""
    generate = module(CHARTS / "generate.py")
    schema = generate.airflow_schema() if chart == "airflow" else generate.team_schema()

    def undescribed(prop: dict[str, Any], path: str) -> Iterator[str]:
        for name, inner in prop.get("properties", {}).items():
            resolved = generate.resolve(inner, schema)
            if not resolved.get("description"):
                yield f"{path}.{name}"
            if "default" not in resolved:
                yield from undescribed(resolved, f"{path}.{name}")

    chosen = schema["properties"] if chart == "airflow" else {"platform": schema["properties"]["platform"]}
    assert list(undescribed({"properties": chosen}, "")) == []


def test_defaults_are_the_schemas() -> None:
    """values.yaml holds each default of the schema, as YAML that reads back the same."""
    generate = module(CHARTS / "generate.py")
    schema = generate.airflow_schema()
    assert yaml.safe_load((CHARTS / "airflow/values.yaml").read_text()) == generate.default(schema, schema)
