"""What the documents name is there: tests, files and commands."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "images").glob("*/README.md")])
TESTS = re.compile(r"`((?:images/|tests/)[\w/.-]+\.py)::(\w+)`")
LINKS = re.compile(r"\]\((?!https?://|#|mailto:)([^)#]+)(?:#[^)]*)?\)")
SHELL = re.compile(r"^```(?:sh|console)$(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^\s*(?:\$ )?(?:\./taskw|task) ([a-z][\w:-]*)", re.MULTILINE)

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@cache
def functions(file: str) -> frozenset[str]:
    """The functions that a Python file defines."""
    tree = ast.parse((ROOT / file).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@cache
def commands() -> frozenset[str]:
    """The commands of the Taskfile and of those that it includes."""
    files = [ROOT / "Taskfile.yml", *(ROOT / "taskfiles").glob("*.yml")]
    return frozenset(name for file in files for name in yaml.safe_load(file.read_text())["tasks"])


@pages
def test_a_test_that_is_named_exists(page: Path) -> None:
    """A proof that a page promises can be run."""
    assert [f"{file}::{name}" for file, name in TESTS.findall(page.read_text()) if name not in functions(file)] == []


@pages
def test_a_link_leads_somewhere(page: Path) -> None:
    """Links between pages, and to files, resolve from the page that has them."""
    assert [link for link in LINKS.findall(page.read_text()) if not (page.parent / link).exists()] == []


@pages
def test_a_command_that_is_shown_exists(page: Path) -> None:
    """A line that begins with `task` or `./taskw` runs a command of the Taskfile."""
    shown = [name for block in SHELL.findall(page.read_text()) for name in COMMANDS.findall(block)]
    assert [name for name in shown if name not in commands()] == []


def test_the_threat_model_names_its_proofs() -> None:
    """The table of attacks is not empty, so that the first test above has something to look at."""
    assert len(TESTS.findall((ROOT / "docs/explanation/isolation.md").read_text())) >= 20
