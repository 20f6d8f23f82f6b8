"""Every release's DAG, or the one task that this process is for."""

import gc
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow.sdk import DAG, get_parsing_context

from wherry.errors import WherryError
from wherry.graph.dags import BROKEN_TASK, broken_dag, build_dag, build_task
from wherry.release.model import RELEASE_FILE, read_release
from wherry.teams import dag_id as make_dag_id

log = logging.getLogger(__name__)


def load_dags(releases: Path) -> dict[str, DAG]:
    """The DAGs of the releases under the folder, by their ids; in a task's own process just that task of that DAG.

    A release that can't be run takes no other one down: a DAG of its id stands in for it and says why.
    """
    wanted = get_parsing_context()
    folders = _all(releases) if wanted.dag_id is None else _of(releases, wanted.dag_id)
    with _no_collection():
        return {dag.dag_id: dag for dag in (_load(folder, wanted.task_id) for folder in folders)}


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hold back the garbage collector: a manifest is much and no garbage; looking through it doubles the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _all(releases: Path) -> Iterable[Path]:
    found = sorted(path.parent for path in releases.glob(f"*/*/{RELEASE_FILE}"))
    return [folder for folder in found if not any(part.startswith(".") for part in folder.relative_to(releases).parts)]


def _of(releases: Path, dag_id: str) -> Iterable[Path]:
    """The release's folder: no team's name holds an underscore, so the first two end it."""
    return [folder for folder in _all(releases) if make_dag_id(folder.parent.name, folder.name) == dag_id]


def _load(folder: Path, task_id: str | None) -> DAG:
    try:
        release = read_release(folder)
        return build_dag(release) if task_id in (None, BROKEN_TASK) else build_task(release, task_id)
    except WherryError as error:
        reason = str(error)
        log.error("%s", reason)
    except Exception as error:  # whatever it is, the other teams' DAGs stay
        reason = f"{folder}: {type(error).__name__}: {error}"
        log.exception("%s can't be rendered", folder)
    return broken_dag(make_dag_id(folder.parent.name, folder.name), reason)
