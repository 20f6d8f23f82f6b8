"""A small dbt project, its team, and one release of it that read-only tests share."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wherry.release import Outcome, Release, build_release, runner
from wherry.teams import Team

REPOSITORY = Path(__file__).parents[2]
TINY = Path(__file__).parent / "tiny"
Builder = Callable[..., Outcome]


def make_team(**project: Any) -> Team:
    """A team on PostgreSQL with one project, `tiny`."""
    return Team.model_validate(
        {
            "name": "growth",
            "namespace": "team-growth",
            "owners": ["ana@example.com"],
            "secret": "warehouse",
            "warehouses": {
                "main": {
                    "type": "postgres",
                    "host": {"env": "PGHOST"},
                    "port": {"env": "PGPORT"},
                    "user": "growth",
                    "database": "growth",
                    "schema": "analytics",
                    "slots": 4,
                }
            },
            "projects": {"tiny": {"path": "dbt/tiny", "warehouse": "main", **project}},
        }
    )


@pytest.fixture(scope="session", autouse=True)
def runner_python() -> Iterator[Path]:
    """The runner's Python, which tests find wherever they are started."""
    python = os.environ.get("WHERRY_RUNNER_PYTHON") or str(REPOSITORY / "images/dbt-runner/.venv/bin/python")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHERRY_RUNNER_PYTHON", python)
        yield Path(python)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the small project at dbt/tiny; releases and images go beside it."""
    monkeypatch.setenv("WHERRY_IMAGE_STORE", str(tmp_path / "images"))
    root = tmp_path / "repository"
    shutil.copytree(TINY, root / "dbt/tiny")
    return root


@pytest.fixture
def release_tiny(repository: Path, tmp_path: Path) -> Builder:
    """Release the small project of `repository`; keyword arguments are the project's settings."""

    def release(out: Path = tmp_path / "releases", **project: Any) -> Outcome:
        return build_release(make_team(**project), "tiny", out, root=repository)

    return release


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """One release of the small project, for tests that only read (or copy) it."""
    root = tmp_path_factory.mktemp("shared")
    shutil.copytree(TINY, root / "dbt/tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHERRY_IMAGE_STORE", str(root / "images"))
        team = make_team(
            nodes=[{"select": "tag:heavy", "timeout": "1h"}, {"select": "path:models/marts", "priority": 7}]
        )
        return build_release(team, "tiny", root / "releases", root=root).release


@pytest.fixture
def copied(shared: Release, tmp_path: Path) -> Path:
    """The shared release's folder, copied so that a test may spoil it."""
    return shutil.copytree(shared.manifest_path.parents[1], tmp_path / "releases/growth/tiny")


@pytest.fixture(scope="session")
def full_manifest(shared: Release, tmp_path_factory: pytest.TempPathFactory, runner_python: Path) -> dict[str, Any]:
    """dbt's own manifest of the small project."""
    image = tmp_path_factory.mktemp("full")
    for part in ("project", "profiles"):
        shutil.copytree(shared.manifest_path.parent / "image" / part, image / part)
    runner.build(runner_python, image, "prod", [])
    manifest: dict[str, Any] = json.loads((image / "manifest.json").read_bytes())
    return manifest
