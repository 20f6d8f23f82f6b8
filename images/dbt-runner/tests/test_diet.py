"""What a fresh process is spared: that it is the same dbt, and by counts that it is spared."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import WRITTEN, Release, run_in_process
from wherry_runner import generated

# Runs one node as its pod would, with what a bake has kept in a folder, and says what it loaded, compiled and wrote.
_NODE = (
    """
import json, os, sys
from wherry_runner import bundle
bundle.PATH = sys.argv[1]
bundle.use()
from wherry_runner import generated
generated.PATH = type(generated.PATH)(sys.argv[2])
made = generated.record()
generated.before_import()
from wherry_runner import later, main
"""
    + WRITTEN
    + """
code = main.run(sys.argv[3:], dict(os.environ))
loaded = sorted(name for name in sys.modules if not later.stands_in(name))
loaders = {name: type(getattr(module, "__loader__", None)).__name__ for name, module in sys.modules.items()}
found = [name for name, loader in loaders.items() if loader == "SourceFileLoader"]
facts = {"code": code, "loaded": loaded, "used": sorted(name for name in later.MODULES if name in loaded)}
facts |= {"compiled": len(made), "found": found, "written": written}
print()
print(json.dumps(facts))
"""
)


@pytest.mark.parametrize(
    ("node", "verb"),
    [("model.shop.orders", "build"), ("model.shop.orders", "run"), ("seed.shop.raw_orders", "seed")],
)
def test_a_fresh_process_does_little(shop: Release, baked: tuple[str, str], node: str, verb: str) -> None:
    """No module of the table is loaded, 1,030 others are, of once 1,610, all but a few out of the bundle.

    What is compiled is the project's own, and patterns that few lines use; mashumaro writes nothing.
    """
    args = (verb, "--select", f"fqn:shop.{node.split('.')[2]}")
    said = run_in_process(_NODE, *baked, *args, coverage=False, **shop.environment(node))
    found: dict[str, Any] = json.loads(said)
    assert (found["code"], found["used"], found["written"]) == (0, [], [])
    assert len(found["loaded"]) <= 1050, found["loaded"]
    assert len(found["found"]) <= 60, found["found"]  # what a process has before it uses the bundle, and a few
    assert found["compiled"] <= 35


def test_the_macros_of_dbt_are_compiled_as_its_manifest_has_them(shop: Release, baked: tuple[str, str]) -> None:
    """Of the macros that a release shares, only the project's own aren't found."""
    program = (
        "import sys; from pathlib import Path; from wherry_runner import diet, generated, slices;"
        "generated.PATH = Path(sys.argv[1]); made = generated.record();"
        "diet.before_import(); import dbt.cli.main; diet.after_import();"
        "from dbt_common.clients.jinja import get_environment; before = len(made);"
        "shared = slices.unpack((Path(sys.argv[2]) / 'slices' / slices.SHARED).read_bytes());"
        "own = [get_environment().compile(m[4]) for m in shared['macros'] if m[2] in ('dbt', 'dbt_postgres')];"
        "print(len(own), len(made) - before)"
    )
    macros, made = run_in_process(program, baked[1], str(shop.folder)).split()
    assert int(macros) > 400
    assert made == "0"


def test_code_of_another_python_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that isn't there, or begins with another magic number, changes nothing; a source is told by its kind."""
    monkeypatch.setattr(generated, "_known", {})
    monkeypatch.setattr(generated, "_made", None)
    monkeypatch.setattr(generated, "PATH", tmp_path / "__pycache__" / "generated.bin")
    generated.read()
    made = generated.record()
    first = generated.kept("a", "1 + 1", lambda: compile("1 + 1", "a", "eval"))
    assert generated.write(made) == 1
    generated.read()
    assert generated.kept("a", "1 + 1", lambda: pytest.fail("compiled again")) == first
    assert eval(generated.kept("b", "1 + 1", lambda: compile("2 + 2", "b", "eval"))) == 4
    generated._known.clear()
    generated.PATH.write_bytes(b"\0" + generated.PATH.read_bytes())
    generated.read()
    assert generated._known == {}


@pytest.mark.parametrize(
    ("pattern", "flags"),
    [
        (r"(?P<year>\d{4})-(?P<month>\d\d)(x)?", 0),
        (r"^\s*(a|b)+?$", re.IGNORECASE | re.MULTILINE),
        (rb"\x00(?P<rest>.*)", re.DOTALL),
        (r"(?i:straße)|[^\W\d]", re.ASCII),
        (r"(?x) a  # a comment", 0),
    ],
)
def test_a_pattern_that_is_looked_up_is_the_pattern(pattern: str | bytes, flags: int) -> None:
    """The engine is given what Python's own compiler gives it: code, flags, groups."""
    compiler: Any = vars(re)["_compiler"]
    own = compiler._sre.compile(pattern, *generated._program(compiler, pattern, flags))
    known = re.compile(pattern, flags)
    assert (own, own.flags, own.groups, own.groupindex) == (known, known.flags, known.groups, known.groupindex)


def test_no_metadata_is_read_and_no_signature_worked_out() -> None:
    """networkx finds no package that computes for it, without asking; a dataclass is called by its name."""
    program = (
        "import importlib.metadata as m; asked = []; plain = m.EntryPoints.select;"
        "m.EntryPoints.select = lambda self, **k: (asked.append(k), plain(self, **k))[1];"
        "from wherry_runner import diet; diet.before_import(); import networkx, dataclasses;"
        "made = dataclasses.make_dataclass('Made', ['field']);"
        "assert not [k for k in asked if 'networkx' in str(k)], asked;"
        "print(made.__doc__, dict(networkx.utils.backends.backends))"
    )
    assert run_in_process(program) == "Made {}"


def test_agates_numbers_are_those_of_babel() -> None:
    """Symbols of a locale that is known without Babel are Babel's; others are asked of it."""
    program = (
        "from wherry_runner import diet; diet.before_import(); import sys; from agate.data_types import Number;"
        "from babel.core import Locale; own = Number(); assert 'babel.dates' not in sys.modules;"
        "theirs = Locale.parse('en_US').number_symbols['latn'];"
        "assert (own.group_symbol, own.decimal_symbol) == (theirs['group'], theirs['decimal']);"
        "german = Number(locale='de_DE'); print(own.cast('1,234.5'), german.cast('1.234,5'))"
    )
    assert run_in_process(program) == "1234.5 1234.5"


_LATER = """
import sys, types
from collections.abc import Callable
from typing import Optional
from wherry_runner import later
later.MODULES = {"lazy": ("Thing", "make"), "lazy.part": (), "broken": ()}
later.before_import()
import lazy
from lazy import Thing, make
assert later.stands_in("lazy") and lazy.__file__ and lazy.__path__

def annotated(a: Optional[Thing], b: Thing | None, c: dict[str, Thing], d: Callable[[Thing], Thing]) -> Thing: ...

assert later.stands_in("lazy"), "an annotation is no use"
class Child(Thing): ...
assert not later.stands_in("lazy")
assert isinstance(Child(), Thing) and issubclass(Child, Thing) and isinstance(make(), Thing)
assert sys.modules["lazy"].Thing is lazy.Thing and lazy.LOADED == [1]
import lazy.part, lazy.whole
assert lazy.whole.LOADED == [1], "a package has imported its part; that is not done again"
assert later.stands_in("lazy.part") and lazy.part.NAME == "part"
import broken
try:
    broken.anything
except ZeroDivisionError:
    pass
else:
    raise AssertionError("what goes wrong when it is loaded is seen")
try:
    import nowhere
except ModuleNotFoundError:
    print("done")
"""


def test_a_stand_in_is_loaded_when_it_is_used(tmp_path: Path) -> None:
    """Importing, naming and annotating don't load a module; subclassing, calling and asking do, once."""
    (tmp_path / "lazy").mkdir()
    text = "import sys\nfrom lazy import whole\nLOADED = [1]\nclass Thing: ...\ndef make(): return Thing()\n"
    (tmp_path / "lazy" / "__init__.py").write_text(text)
    (tmp_path / "lazy" / "part.py").write_text("NAME = 'part'")
    (tmp_path / "lazy" / "whole.py").write_text("import sys\nLOADED = [*getattr(sys, 'lazy_whole', []), 1]\n")
    (tmp_path / "broken.py").write_text("1 / 0")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    assert run_in_process(_LATER, PYTHONPATH=path) == "done"


def test_the_graph_algorithms_are_all_there() -> None:
    """dbt's few are found where they are, any other loads all of networkx; what isn't there is refused."""
    program = (
        "import sys; from wherry_runner import later; later.before_import(); import networkx as nx;"
        "later.after_import(); graph = nx.DiGraph([(1, 2), (2, 3)]);"
        "assert nx.descendants(graph, 1) == {2, 3} and list(nx.bfs_edges(graph, 1)) == [(1, 2), (2, 3)];"
        "assert set(nx.traversal.bfs_tree(graph, 2)) == {2, 3};"
        "assert len(list(nx.connected_components(nx.Graph(graph)))) == 1;"
        "assert later.stands_in('networkx.algorithms');"
        "assert list(nx.topological_sort(graph)) == [1, 2, 3] and not later.stands_in('networkx.algorithms');"
        "print(hasattr(nx, 'to_numpy_array'), hasattr(nx, 'nonsense'))"
    )
    assert run_in_process(program) == "True False"


@pytest.mark.parametrize("text", ["a", "1", "true", "[1]", "", "'q'", "a b", "None"])
def test_plain_text_is_what_jinja_makes_of_it(text: str) -> None:
    """dbt renders a YAML file's texts natively: one without Jinja comes out as it went in."""
    from dbt.clients import jinja
    from wherry_runner import diet

    template = jinja.get_template(text, {}, native=True)
    assert jinja.render_template(template, {}) == diet._PlainText()[text] == text
    assert "a\n" not in diet._PlainText()
