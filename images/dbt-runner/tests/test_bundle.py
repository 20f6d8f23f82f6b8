"""What a process takes out of the bundle is what it would have found; what has changed since is found as ever."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from conftest import bake, run_in_process

_HEAD = """
import importlib, json, os, sys
from wherry_runner import bundle
bundle.PATH = os.environ["BUNDLE"]
"""
_WRITE = _HEAD + "import thing, thing.part; bundle.write({})"
_READ = (
    _HEAD
    + """
bundle.use()
import inspect, thing, thing.part
from importlib.resources import files
found = bundle.used()
print(json.dumps({
    "value": thing.VALUE, "part": thing.part.VALUE, "file": thing.__file__, "path": list(thing.__path__),
    "package": thing.part.__package__, "source": inspect.getsource(thing.double),
    "data": files(thing).joinpath("a.txt").read_text(),
    "loader": type(thing.__loader__).__name__, "unchanged": bool(found and found.unchanged),
}))
"""
)


@pytest.fixture
def thing(tmp_path: Path) -> Path:
    """A package with a module and a file in it."""
    folder = tmp_path / "thing"
    folder.mkdir()
    (folder / "__init__.py").write_text("VALUE = 1\n\n\ndef double(x):\n    return 2 * x\n")
    (folder / "part.py").write_text("VALUE = 2\n")
    (folder / "a.txt").write_text("a")
    return folder


def run(program: str, thing: Path, *folders: Path) -> str:
    """Run a program that finds the package first."""
    places = [str(thing.parent), *map(str, folders), os.environ.get("PYTHONPATH", "")]
    return run_in_process(program, PYTHONPATH=os.pathsep.join(places), BUNDLE=str(thing.parent / "bundle.bin"))


def test_a_module_out_of_the_bundle_is_the_module(thing: Path) -> None:
    """Its file, its package, its source and its data are where they were."""
    without = json.loads(run(_READ, thing))
    run(_WRITE, thing)
    within = json.loads(run(_READ, thing))
    assert (without.pop("loader"), without.pop("unchanged")) == ("SourceFileLoader", False)
    assert (within.pop("loader"), within.pop("unchanged")) == ("_Loader", True)
    assert within == without
    assert within["value"] == 1


def test_a_module_that_was_patched_is_found_as_ever(thing: Path) -> None:
    """Another size or another time of a source: its new text runs, and no method is taken any more."""
    run(_WRITE, thing)
    (thing / "__init__.py").write_text("VALUE = 10\n\n\ndef double(x):\n    return x + x\n")
    found = json.loads(run(_READ, thing))
    assert (found["value"], found["part"], found["loader"], found["unchanged"]) == (10, 2, "SourceFileLoader", False)
    (thing / "__init__.py").write_text("VALUE = 1\n\n\ndef double(x):\n    return 2 * x\n")
    os.utime(thing / "__init__.py", (1, 1))
    assert json.loads(run(_READ, thing))["loader"] == "SourceFileLoader"


@pytest.mark.parametrize("text", ["VALUE = 2", ""])
def test_a_module_that_is_gone_is_not_there(thing: Path, text: str) -> None:
    """It doesn't come back out of the bundle, not even one without text or time, as most `__init__.py` of an image."""
    (thing / "part.py").write_text(text)
    os.utime(thing / "part.py", (0, 0))
    run(_WRITE, thing)
    (thing / "part.py").unlink()
    with pytest.raises(AssertionError, match=r"No module named 'thing\.part'"):
        run(_READ, thing)


def test_a_bundle_of_other_folders_is_left_alone(thing: Path, tmp_path: Path) -> None:
    """Where modules are looked for elsewhere too, one there may come first."""
    run(_WRITE, thing)
    assert json.loads(run(_READ, thing, tmp_path / "other"))["loader"] == "SourceFileLoader"


@pytest.mark.parametrize("text", [b"", b"\0", b"\xff" * 40, b"\x10" + b"\0" * 7 + b"not marshalled!!"])
def test_a_file_that_is_no_bundle_stops_nobody(thing: Path, text: bytes) -> None:
    """A process that can't read it imports as ever."""
    (thing.parent / "bundle.bin").write_bytes(text)
    assert json.loads(run(_READ, thing))["loader"] == "SourceFileLoader"


def test_an_image_that_is_made_again_is_the_same(tmp_path: Path) -> None:
    """Both files have the same bytes, so that a layer isn't sent to every machine for nothing."""
    first, second = ([Path(file).read_bytes() for file in bake(tmp_path / name, coverage=True)] for name in "ab")
    assert first == second
