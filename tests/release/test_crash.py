"""Kills and races: a reader sees the previous release or the new one, never half of one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.release.conftest import Builder
from wherry.release import Release, load_release, read_manifest

# Releases the project and kills itself when the named moment comes: a stage that begins, or a step of putting in place.
KILLED = """
import os, pathlib, signal, sys
from tests.release.conftest import make_team
from wherry.release import build, images

root, out, moment = sys.argv[1:]
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

if moment == "image":
    images.LocalImageStore.build = die
elif moment == "inside the image":
    images._link_or_copy = die
elif moment == "replace":
    pathlib.Path.replace = die
elif moment == "prune":
    build._prune = die
build.build_release(
    make_team(), "tiny", pathlib.Path(out), root=pathlib.Path(root), progress=lambda stage: stage == moment and die()
)
"""
STAGES = ["reading", "parsing and slicing", "checking the nodes", "writing"]


def start(repository: Path, out: Path, moment: str = "never") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", KILLED, str(repository), str(out), moment]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], start_new_session=True)


def home_of(release: Release) -> Path:
    return release.manifest_path.parents[1]


@pytest.mark.usefixtures("replay")
@pytest.mark.parametrize("moment", [*STAGES, "image", "inside the image", "replace", "prune"])
def test_a_kill_leaves_a_whole_release(release_tiny: Builder, repository: Path, moment: str) -> None:
    """The previous one up to the last step, the new one after it; and the next release goes through."""
    first = release_tiny().release
    (repository / "dbt/tiny/README.md").write_text("changed")
    assert start(repository, home_of(first).parents[1], moment).wait(60) == -signal.SIGKILL
    found = load_release(home_of(first))
    assert (found == first) is (moment != "prune")
    assert read_manifest(found)
    second = release_tiny().release
    assert second.id != first.id
    assert load_release(home_of(first)) == second


def test_a_kill_while_dbt_parses_leaves_the_previous_release(
    shared: Release, repository: Path, tmp_path: Path, copied: Path
) -> None:
    """With the real runner, killed with its whole process group in the middle of its work."""
    before = load_release(copied)
    process = start(repository, tmp_path / "releases")
    staging = tmp_path / "releases"
    deadline = time.monotonic() + 60
    while not list(staging.glob(".staging-*/content/image/profiles/profiles.yml")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert load_release(copied) == before


@pytest.mark.usefixtures("replay")
def test_releases_at_once_end_in_one(release_tiny: Builder, repository: Path, tmp_path: Path) -> None:
    """Three processes release the same project, while a reader reads: all succeed, and nothing is left behind."""
    first = release_tiny().release
    (repository / "dbt/tiny/README.md").write_text("changed")
    processes = [start(repository, tmp_path / "releases") for _ in range(3)]
    while any(process.poll() is None for process in processes):
        assert read_manifest(load_release(home_of(first)))
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert load_release(home_of(first)).id != first.id
    left = sorted(path.name for path in (tmp_path / "releases").iterdir())
    assert left == ["growth"]
    folders = [path.name for path in home_of(first).iterdir() if path.is_dir()]
    assert sorted(folders) == sorted([first.id, load_release(home_of(first)).id])
