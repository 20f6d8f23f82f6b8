"""The embedded cluster's image store."""

import json
from pathlib import Path

import pytest

from wherry.release.images import LocalImageStore, write_atomically

REFERENCE = "wherry.local/growth-tiny:0123456789abcdef"


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A release's image folder."""
    (tmp_path / "image/project").mkdir(parents=True)
    (tmp_path / "image/project/dbt_project.yml").write_text("name: tiny")
    return tmp_path / "image"


def test_an_image_says_how_it_is_run(content: Path, tmp_path: Path) -> None:
    """image.json names the runner's own Python (not what it links to) and where the release lies."""
    python = tmp_path / "python"
    python.symlink_to("/usr/bin/env")
    assert LocalImageStore(tmp_path / "store", python).build(content, REFERENCE) is None
    image = tmp_path / "store/wherry.local_growth-tiny_0123456789abcdef"
    assert json.loads((image / "image.json").read_text()) == {
        "reference": REFERENCE,
        "entrypoint": [str(python), "-m", "wherry_runner"],
        "env": {"WHERRY_RELEASE": str(image / "release")},
        "workdir": str(image / "release"),
        "preload": ["wherry_runner.preload"],
    }
    assert (image / "release/project/dbt_project.yml").samefile(content / "project/dbt_project.yml")
    assert sorted(path.name for path in image.iterdir()) == ["image.json", "release"]


def test_building_again_changes_nothing_but_the_runner(content: Path, tmp_path: Path) -> None:
    """A reference names its content; the way to run it follows the installation."""
    store = tmp_path / "store"
    LocalImageStore(store, Path("/a/python")).build(content, REFERENCE)
    LocalImageStore(store, Path("/b/python")).build(content, REFERENCE)
    image = json.loads((store / "wherry.local_growth-tiny_0123456789abcdef/image.json").read_text())
    assert image["entrypoint"][0] == "/b/python"


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    """Nothing half-written, and no temporary file."""
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
