"""A small dbt project, its team, and one release of it that read-only tests share."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wherry.release import Outcome, Release, build_release, runner
from wherry.teams import Team

REPOSITORY = Path(__file__).parents[2]
TINY = Path(__file__).parent / "tiny"
RULES = [{"select": "tag:heavy", "timeout": "1h"}, {"select": "path:models/marts", "priority": 7}]
Builder = Callable[..., Outcome]

# A runner that answers what the real one answered for the small project: for tests of what comes after dbt.
REPLAY = """#!{python}
import json, pathlib, shutil, sys
if "-c" in sys.argv:
    print("0" * 64)
    sys.exit()
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
shutil.copytree("{built}", out, dirs_exist_ok=True)
selects = [sys.argv[i + 1] for i, word in enumerate(sys.argv) if word == "--select"]
answer = dict(dbt="1.11.16", adapter=dict(type="postgres", version="1.11.0"))
print(json.dumps(dict(ok=True, **answer, selected=dict.fromkeys(selects, ["model.tiny.revenue"]))))
"""


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
def shared(tmp_path_factory: pytest.TempPathFactory, remembering_runner: Path) -> Release:
    """One release of the small project, for tests that only read (or copy) it."""
    root = tmp_path_factory.mktemp("shared")
    shutil.copytree(TINY, root / "dbt/tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHERRY_IMAGE_STORE", str(root / "images"))
        patch.setenv("WHERRY_RUNNER_PYTHON", str(remembering_runner))
        patch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-machine-that-releases")
        return build_release(make_team(nodes=RULES), "tiny", root / "releases", root=root).release


@pytest.fixture
def copied(shared: Release, tmp_path: Path) -> Path:
    """The shared release's folder, copied so that a test may spoil it."""
    return shutil.copytree(shared.manifest_path.parents[1], tmp_path / "releases/growth/tiny")


@pytest.fixture(scope="session")
def built(shared: Release, tmp_path_factory: pytest.TempPathFactory, remembering_runner: Path) -> Path:
    """What the runner leaves of the small project: dbt's manifest and slices/."""
    image = tmp_path_factory.mktemp("full")
    for part in ("project", "profiles"):
        shutil.copytree(shared.manifest_path.parent / "image" / part, image / part)
    runner.build(remembering_runner, image, image / "built", "prod", [rule["select"] for rule in RULES])
    return image / "built"


@pytest.fixture(scope="session")
def full_manifest(built: Path) -> dict[str, Any]:
    """dbt's own manifest of the small project."""
    manifest: dict[str, Any] = json.loads((built / "manifest.json").read_bytes())
    return manifest


@pytest.fixture
def replay(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a recorded runner in the real one's place."""
    script = tmp_path / "replay"
    script.write_text(REPLAY.format(python=sys.executable, built=built))
    script.chmod(0o755)
    monkeypatch.setenv("WHERRY_RUNNER_PYTHON", str(script))
