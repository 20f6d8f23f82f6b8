"""Real helm renders the charts; what comes out is checked as data."""

import importlib.util
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "charts"
TEAM_FILES = sorted((ROOT / "k8s/teams").glob("*.yaml"))
TEAMS = tuple(f"teams.{path.stem}={path}" for path in TEAM_FILES)

Object = dict[str, Any]
Render = Callable[..., list[Object]]


def module(path: Path) -> ModuleType:
    """A Python file of charts/, which isn't a package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="session")
def helm() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run helm, whatever comes of it."""
    program = module(CHARTS / "tools.py").find("helm")
    if program is None:
        pytest.skip("helm is missing: install it (https://helm.sh/docs/intro/install) to test the charts")

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *arguments], check=False, capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture(scope="session")
def render(helm: Callable[..., subprocess.CompletedProcess[str]]) -> Render:
    """The objects that a chart makes of values files and `--set` or `--set-file` arguments; each rendered once."""

    @cache
    def render(chart: str, *files: Path, settings: tuple[str, ...] = (), set_files: tuple[str, ...] = (),
               name: str | None = None, namespace: str = "airflow") -> list[Object]:  # fmt: skip
        arguments = [argument for file in files for argument in ("--values", str(file))]
        arguments += [argument for setting in settings for argument in ("--set", setting)]
        arguments += [argument for file in set_files for argument in ("--set-file", file)]
        done = helm("template", name or chart, CHARTS / chart, "--namespace", namespace, *arguments)
        assert done.returncode == 0, done.stderr
        return [loaded for loaded in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if loaded]

    return render


VARIANTS = ("default", "production", "everything")


@pytest.fixture(params=VARIANTS)
def airflow(request: pytest.FixtureRequest, render: Render) -> list[Object]:
    """All objects of charts/airflow, with each of its example values and two teams."""
    return render("airflow", CHARTS / f"airflow/ci/{request.param}-values.yaml", set_files=TEAMS)


@pytest.fixture(params=[(team, variant) for team in TEAM_FILES for variant in (None, *VARIANTS[1:])],
                ids=lambda pair: f"{pair[0].stem}-{pair[1] or 'unchanged'}")  # fmt: skip
def team(request: pytest.FixtureRequest, render: Render) -> list[Object]:
    """All objects of charts/team, for each team file, alone and with each of the example values."""
    file, variant = request.param
    more = (CHARTS / f"team/ci/{variant}-values.yaml",) if variant else ()
    return render("team", file, *more)


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """The objects of these kinds."""
    return [item for item in objects if item["kind"] in kinds]


def one(objects: list[Object], kind: str, name: str) -> Object:
    """The one object of this kind whose name ends with `name`."""
    (found,) = [item for item in of_kind(objects, kind) if item["metadata"]["name"].endswith(name)]
    return found


def pods(objects: list[Object]) -> Iterator[tuple[str, Object, Object]]:
    """Each pod or template of one: what it is, its metadata, its spec."""
    for item in objects:
        found = _POD.get(item["kind"], lambda _: None)(item)
        if found:
            yield f"{item['kind']}/{item['metadata']['name']}", found["metadata"], found["spec"]


_POD: dict[str, Callable[[Object], Object]] = {
    "Pod": lambda item: item,
    "CronJob": lambda item: item["spec"]["jobTemplate"]["spec"]["template"],
    **dict.fromkeys(("Deployment", "StatefulSet", "Job"), lambda item: item["spec"]["template"]),
}


def containers(spec: Object) -> list[Object]:
    """All containers of a pod."""
    return [*spec.get("initContainers", []), *spec["containers"]]
