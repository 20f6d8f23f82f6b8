"""The tasks of a release by themselves: what the plan says of each, and nothing that was changed since."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.graph.conftest import WriteRelease
from tests.graph.shop import chain, shop
from wherry.release.model import FORMAT, Release, ReleaseError
from wherry.release.tasks import TASKS_FILE, check_tasks, plan_of, read_task
from wherry.teams import Execution


def file_of(release: Release) -> Path:
    return release.manifest_path.with_name(TASKS_FILE)


@pytest.mark.parametrize("execution", ["kubernetes", "watcher_kubernetes"])
@pytest.mark.parametrize("tests", ["build", "after_each", "after_all", "none"])
def test_each_task_is_the_plans(tests: str, execution: Execution, write_release: WriteRelease) -> None:
    """Read alone, each task is the one of the whole plan; what isn't there isn't found."""
    watched = execution == "watcher_kubernetes"
    release = write_release(tests=tests, execution=execution, **({"freshness": False, "nodes": []} if watched else {}))
    plan = plan_of(shop(), release.settings, release.settings.project.execution)
    assert len(plan.tasks) > 5
    for task_id in plan.tasks:
        assert read_task(release, task_id, execution) == plan.planned(task_id)
    for task_id in ("", ".", "orders", "orders.", ".build", "gone.build", "gone_test", "orders.freshness"):
        assert read_task(release, task_id, execution) is None


def test_what_is_read_does_not_grow_with_the_project(write_release: WriteRelease) -> None:
    """A project ten times as large has ten times as many buckets, each as large; the line before them stays short."""
    small, large = (file_of(write_release(chain(size), f"chain_{size}")) for size in (300, 3000))
    sizes = [list(map(len, file.read_bytes().splitlines())) for file in (small, large)]
    assert len(sizes[1]) > 9 * len(sizes[0])
    assert max(sizes[1][1:]) < 2 * max(sizes[0][1:])
    assert sizes[1][0] < 100 * len(sizes[1])


def test_what_is_in_the_file_is_its_format(write_release: WriteRelease) -> None:
    """A release made by another version is read by this one as long as both have this format.

    If this fails because a task says something else now, raise `FORMAT` too: older releases are made again then.
    """
    assert (FORMAT, write_release(chain(3)).tasks_sha256) == (
        2,
        "5ca0eb5b5dfe54ff58309c9af43a5d5dfba4fef93ac83db91e6a523f0fa4a88b",
    )


def spoil(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(change(file.read_bytes()))


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        pytest.param(Path.unlink, "No such file", id="missing"),
        pytest.param(lambda file: file.symlink_to(file.rename(file.with_name("x"))), "found a symbolic", id="a link"),
        pytest.param(spoil(lambda data: data[:-20]), "SHA-256: found", id="cut off"),
        pytest.param(spoil(lambda data: b""), "SHA-256: found", id="empty"),
        pytest.param(spoil(lambda data: data.replace(b"fqn:big", b"fqn:bad")), "SHA-256: found", id="another task"),
        pytest.param(spoil(lambda data: data.replace(b"[[", b"[[1", 1)), "SHA-256: found", id="another place"),
    ],
)
def test_a_file_that_is_not_the_releases(
    mistake: Callable[[Path], object], said: str, write_release: WriteRelease
) -> None:
    """Nothing of it is run; the file and what to do are said."""
    release = write_release(chain(1))
    check_tasks(release)
    mistake(file_of(release))
    for read in (partial(read_task, task_id="model_0.build", execution="kubernetes"), check_tasks):
        with pytest.raises(ReleaseError, match=f"{TASKS_FILE}: {said}.*release the project again"):
            read(release)
