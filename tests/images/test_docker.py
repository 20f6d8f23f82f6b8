"""Release images by the Docker engine."""

import io
import os
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.release import ReleaseError
from wherry.release.docker import DockerImageBuilder, context, docker, tree

BASE = os.environ.get("WHERRY_TEST_BASE_IMAGE", "python:3.13-slim-trixie")


def _engine() -> bool:
    try:
        return bool(docker("images", "--quiet", BASE))
    except ReleaseError:
        return False


needs_engine = pytest.mark.skipif(not _engine(), reason=f"no Docker engine with the image {BASE}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image = tmp_path / "image"
    (image / "project").mkdir(parents=True)
    (image / "project/dbt_project.yml").write_text("name: tiny")
    return image


@pytest.fixture
def reference() -> Iterator[str]:
    name = f"wherry.test/tiny:{uuid.uuid4().hex[:8]}"
    yield name
    subprocess.run(["docker", "rmi", name], check=False, capture_output=True)


def test_the_same_files_are_the_same_layer(folder: Path, tmp_path: Path) -> None:
    """Whatever their times, owners and this machine's umask."""
    before = tree(folder, "release")
    file = folder / "project/dbt_project.yml"
    file.chmod(0o600)
    os.utime(file, (1, 1))
    assert tree(folder, "release") == before
    file.write_text("name: other")
    assert tree(folder, "release") != before


def test_everyone_may_read_a_release_and_nobody_may_write_it(folder: Path) -> None:
    """The pod's user is neither root nor the one who released."""
    (folder / "project/dbt_project.yml").chmod(0o600)
    with tarfile.open(fileobj=io.BytesIO(context(folder, "runner:1"))) as tar:
        assert tar.extractfile("Dockerfile").read() == b"FROM runner:1\nCOPY release /wherry/release\n"
        entries = [entry for entry in tar if entry.name.startswith("release")]
    assert {(entry.mode, entry.uid, entry.gid) for entry in entries} == {(0o755, 0, 0), (0o644, 0, 0)}


@needs_engine
def test_an_image_is_the_base_and_the_release(folder: Path, reference: str) -> None:
    """It is built once for each name, and delivered each time."""
    delivered: list[str] = []
    builder = DockerImageBuilder(BASE, deliver=delivered.append)
    assert builder.base().startswith("sha256:")
    builder.build(folder, reference)
    image = docker("image", "inspect", "--format", "{{.Id}}", reference)
    builder.build(folder, reference)
    assert docker("image", "inspect", "--format", "{{.Id}}", reference) == image
    assert delivered == [reference, reference]
    shown = docker("run", "--rm", "--user", "10001", reference, "cat", "/wherry/release/project/dbt_project.yml")
    assert shown == "name: tiny"


@needs_engine
def test_a_missing_runner_says_what_to_do() -> None:
    """Which image is expected, and how it is made."""
    with pytest.raises(ReleaseError, match=r"expected wherry\.test/none:1: run `task images`"):
        DockerImageBuilder("wherry.test/none:1").base()


def test_without_docker_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing of a traceback."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ReleaseError, match="docker is missing"):
        DockerImageBuilder("runner:1").base()
