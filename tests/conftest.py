"""What tests of several rooms share."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.remember import remembering
from wherry.release import runner
from wherry.release.profiles import profiles_yml
from wherry.release.project import read_project
from wherry.settings import runner_python
from wherry.teams import load_team

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def remembering_runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runner's Python for tests that aren't about what dbt makes of a project: it parses each one once."""
    base = tmp_path_factory.getbasetemp()
    kept = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # each worker's folder lies in the run's
    return remembering(REPOSITORY / runner_python(), kept / "remembered", tmp_path_factory.mktemp("runner"))


@pytest.fixture(scope="session")
def sample_manifest(
    remembering_runner: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Any]]:
    """dbt's own manifest of a sample team's project, by the team's name: parsed for the team's warehouse."""

    def parsed(name: str) -> dict[str, Any]:
        team = load_team(REPOSITORY / f"k8s/teams/{name}.yaml")
        project = team.projects[name]
        image = tmp_path_factory.mktemp(name)
        read_project(REPOSITORY / str(project.path), REPOSITORY).copy(image / "project")
        (image / "profiles").mkdir()
        profile = profiles_yml(name, project, team.warehouses[project.warehouse])
        (image / "profiles/profiles.yml").write_text(profile)
        selects = [rule.select for rule in project.nodes]
        runner.build(remembering_runner, image, image / "built", project.target, selects)
        manifest: dict[str, Any] = json.loads((image / "built/manifest.json").read_bytes())
        return manifest

    return parsed
