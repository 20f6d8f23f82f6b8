"""Live reload: what is released when which file changes. Real files and a real watcher; only the build is stood in."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest

from wherry.errors import WherryError
from wherry.release import ReleaseError, watch
from wherry.release.images import NoImages
from wherry.release.watch import Reloader

TEAM = """
name: {name}
namespace: team-{name}
owners: [ana@example.com]
secret: warehouse
warehouses:
  main: {{type: postgres, host: db, user: dbt, database: analytics, schema: public, slots: 4}}
projects:
  shop: {{path: dbt/{name}, warehouse: main}}
"""


@dataclass
class World:
    """A repository with one team, and what its reloader does."""

    root: Path
    built: list[str] = field(default_factory=list)
    refused: list[WherryError] = field(default_factory=list)

    def add(self, name: str) -> Path:
        project = self.root / "dbt" / name
        (project / "models").mkdir(parents=True)
        (self.root / "teams").mkdir(exist_ok=True)
        (self.root / "teams" / f"{name}.yaml").write_text(TEAM.format(name=name))
        return project

    def until(self, found: Callable[[], Any], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not found():
            assert time.monotonic() < end, (self.built, self.refused)
            time.sleep(0.05)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path)

    def build(team: Any, name: str, out: Path, *, root: Path, images: Any) -> Any:
        if (root / "dbt" / team.name / "models/broken.sql").exists():
            raise ReleaseError("dbt refuses it")
        made.built.append(f"{team.name}/{name}")
        return SimpleNamespace(changed=True)

    monkeypatch.setattr(watch, "build_release", build)
    monkeypatch.chdir(tmp_path)
    made.add("alpha")
    stop = Event()
    reloader = Reloader(
        tmp_path / "teams", tmp_path, tmp_path / "releases", NoImages(), lambda _: None, made.refused.append
    )
    thread = Thread(target=reloader.run, args=(stop,), daemon=True)
    thread.start()
    made.until(lambda: made.built == ["alpha/shop"])
    yield made
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def test_a_saved_model_is_released(world: World) -> None:
    """Once at the start, and once for the files that were saved together."""
    for name in ("a", "b"):
        (world.root / f"dbt/alpha/models/{name}.sql").write_text("select 1")
    world.until(lambda: len(world.built) == 2)


def test_what_dbt_writes_beside_the_project_is_no_change(world: World) -> None:
    """People run dbt in the folder too."""
    (world.root / "dbt/alpha/target").mkdir()
    (world.root / "dbt/alpha/target/manifest.json").write_text("{}")
    time.sleep(2)
    assert world.built == ["alpha/shop"]


def test_a_broken_project_is_told_and_mended(world: World) -> None:
    """The reloader goes on, and the next save is released."""
    broken = world.root / "dbt/alpha/models/broken.sql"
    broken.write_text("select")
    world.until(lambda: [str(error) for error in world.refused] == ["dbt refuses it"])
    broken.unlink()
    world.until(lambda: len(world.built) == 2)


def test_a_new_team_is_watched_from_then_on(world: World) -> None:
    """And a team file with a mistake is told, and stops nobody."""
    project = world.add("beta")
    world.until(lambda: "beta/shop" in world.built)
    built = world.built.count("beta/shop")
    (project / "models/a.sql").write_text("select 1")
    world.until(lambda: world.built.count("beta/shop") > built)
    (world.root / "teams/beta.yaml").write_text("name: beta")
    world.until(lambda: any("beta.yaml" in str(error) for error in world.refused))
