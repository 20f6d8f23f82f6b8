"""Live reload: release every team's projects, and again whenever their files change."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from watchfiles import DefaultFilter, watch

from wherry.errors import WherryError
from wherry.release.build import Outcome, build_release
from wherry.release.images import ImageBuilder
from wherry.teams import Team, load_teams

_POLL_MS = 500
_DBT_WRITES = ("dbt_internal_packages", "logs", "target")  # where people run dbt themselves


@dataclass(frozen=True)
class Reloader:
    """Keeps the releases in `out` like the projects in `root`. `released` and `refused` hear what comes of each."""

    teams: Path
    root: Path
    out: Path
    images: ImageBuilder
    released: Callable[[Outcome], None]
    refused: Callable[[WherryError], None]

    def run(self, stop: Event | None = None) -> None:
        """Release everything, then again after each change, until `stop` is set. A refused project keeps its release.

        Files are watched before the first release, so that no change is missed while one is made.
        """
        while not (stop and stop.is_set()):
            folders = self._folders(self._load())
            for _ in _changes(folders, stop):
                teams = self._load()
                self._release(teams)
                if self._folders(teams) != folders:
                    break

    def _load(self) -> tuple[Team, ...]:
        try:
            return load_teams(self.teams)
        except WherryError as error:
            self.refused(error)
            return ()

    def _folders(self, teams: Iterable[Team]) -> frozenset[Path]:
        """The team files, and the projects that are there; one in another repository is released once."""
        paths = (project.path for team in teams for project in team.projects.values() if project.path)
        return frozenset([self.teams, *(folder for path in paths if (folder := self.root / path).is_dir())])

    def _release(self, teams: Iterable[Team]) -> None:
        for team in teams:
            for name in team.projects:
                try:
                    self.released(build_release(team, name, self.out, root=self.root, images=self.images))
                except WherryError as error:
                    self.refused(error)


def _changes(folders: Iterable[Path], stop: Event | None) -> Iterator[None]:
    """Once as soon as the folders are watched, then after each change in them."""
    begun = False
    for changes in watch(
        *folders,
        watch_filter=DefaultFilter(ignore_dirs=(*DefaultFilter.ignore_dirs, *_DBT_WRITES)),
        rust_timeout=_POLL_MS,
        yield_on_timeout=True,
        stop_event=stop,
    ):
        if changes or not begun:
            begun = True
            yield
