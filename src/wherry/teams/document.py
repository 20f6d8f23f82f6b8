"""One YAML file as plain data, with the line of each key. Hostile until proven otherwise: nothing is constructed but
text, numbers, true, false, null, lists and mappings, and the file's size, depth and aliases are bounded."""

import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from wherry.errors import WherryError
from wherry.teams.words import Location, dotted

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_VALUES = 10_000

_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file. `line` counts from 1; `key` is empty where the file as a whole is meant."""

    file: str
    line: int
    key: str
    found: str
    expected: str

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        return f"{self.file}:{self.line}: {key}found {self.found}, expected {self.expected}"


class TeamFileError(WherryError):
    """Mistakes in team files: `problems` holds all that were found, the message at most the first hundred."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        more = [f"... and {len(self.problems) - 100} more"] if len(self.problems) > 100 else []
        super().__init__("\n".join([*map(str, self.problems[:100]), *more]))


@dataclass(frozen=True, slots=True)
class Document:
    """A file's data, the line of each place in it, and the mistakes that its form already shows."""

    file: str
    data: dict[str, Any]
    lines: Mapping[Location, int]
    problems: tuple[Problem, ...]

    def problem(self, location: Location, found: str, expected: str) -> Problem:
        """A problem at a location; where its last keys aren't in the file, on the line of what holds them."""
        line = next(self.lines[location[:end]] for end in range(len(location), -1, -1) if location[:end] in self.lines)
        return Problem(self.file, line, dotted(location), found, expected)


class _Loader(yaml.SafeLoader):
    """Composes nodes with the scalars of YAML 1.2's core schema: `no` is text, and so are dates and `12:30`."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's name and form)
    _depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """Refuse deep nesting before Python's own recursion limit does."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=f"found more than {MAX_DEPTH} levels of nesting", problem_mark=mark)
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


for _name, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", ["n", "~", ""]),
    ("int", r"[-+]?[0-9]{1,18}", "-+0123456789"),
    ("float", r"[-+]?[0-9]{1,18}\.[0-9]{1,18}", "-+0123456789"),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), list(_first))

_SCALARS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": lambda text: text == "true",
    "null": lambda _: None,
}


def read_document(path: Path) -> Document:
    """Read a file. Raises TeamFileError where it can't be read as one YAML mapping at all."""
    file = str(path)
    text = _read_text(path)
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _refused(file, mark.line + 1 if mark else 1, _words(error), "a YAML file") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found = f"the invisible character U+{error.character:04X}"
        raise _refused(file, line, found, "text on one line, of visible characters only") from None
    if root is None:
        raise _refused(file, 1, "an empty file", "a team: name, namespace, owners, ...")
    if not isinstance(root, MappingNode):
        found = "a list" if isinstance(root, SequenceNode) else "a single value"
        raise _refused(file, root.start_mark.line + 1, found, "a mapping with the keys of a team: name, namespace, ...")
    return _Reader(file).read(root)


def _refused(file: str, line: int, found: str, expected: str) -> TeamFileError:
    return TeamFileError([Problem(file, line, "", found, expected)])


def _words(error: yaml.MarkedYAMLError) -> str:
    """The parser's words for what is wrong; never its snippet of the file, which could show a secret."""
    problem = str(error.problem or error.context or "unreadable YAML").split("\n")[0]
    if "\\t" in problem:
        return "a tab in the indentation (YAML wants spaces)"
    if problem.startswith("found undefined alias"):
        return "an alias without its anchor"
    match = re.fullmatch(r"(?:but )?found (.*)", problem)
    return match[1] if match else f"unreadable YAML ({problem})"


def _read_text(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _refused(str(path), 1, "something that isn't a regular file", "a YAML file")
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _refused(str(path), 1, f"a file that can't be read ({error.strerror})", "a readable YAML file") from None
    except ValueError:
        raise _refused(ascii(str(path)), 1, "a path with a NUL character", "a readable YAML file") from None
    if len(content) > MAX_BYTES:
        raise _refused(str(path), 1, f"more than {MAX_BYTES // 1024} KiB", "a team file of a few KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _refused(str(path), line, "bytes that aren't UTF-8", "a file saved as UTF-8") from None


class _Reader:
    """Turns nodes into data; an alias's node is read again at each use, and counted each time."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Location, int] = {}
        self.problems: list[Problem] = []
        self.values = 0

    def read(self, root: MappingNode) -> Document:
        data = self._value(root, ())
        return Document(self.file, data, self.lines, tuple(self.problems))

    def _value(self, node: Node, at: Location) -> Any:
        line = node.start_mark.line + 1
        self.values += 1
        if self.values > MAX_VALUES or len(at) > MAX_DEPTH:
            found = f"aliases that expand to more than {MAX_VALUES} values or {MAX_DEPTH} levels"
            raise _refused(self.file, line, found, "few aliases, or none")
        self.lines.setdefault(at, line)
        match node:
            case MappingNode(tag="tag:yaml.org,2002:map"):
                return {key: self._value(value, (*at, key)) for key, value in self._entries(node, at)}
            case SequenceNode(tag="tag:yaml.org,2002:seq"):
                return [self._value(item, (*at, index)) for index, item in enumerate(node.value)]
            case ScalarNode():
                return self._scalar(node, at)
            case _:
                self._report(line, at, "a YAML tag", "plain data without tags")
                return None

    def _entries(self, node: MappingNode, at: Location) -> Iterator[tuple[str, Node]]:
        first: dict[str, int] = {}
        for key_node, value in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                self._report(line, at, "a list or a mapping as a key", "text as a key")
                continue
            key = str(key_node.value)
            if key in first:
                self._report(line, (*at, key), f"the key again (first on line {first[key]})", "each key once")
                continue
            if key == "<<":
                self._report(line, at, "a merge key (<<)", "each key written out; in a warehouse, `like: other`")
                continue
            first[key] = line
            self.lines.setdefault((*at, key), line)
            yield key, value

    def _scalar(self, node: ScalarNode, at: Location) -> Any:
        try:
            return _SCALARS[node.tag.removeprefix(_TAG)](node.value)
        except (KeyError, ValueError):
            self._report(node.start_mark.line + 1, at, "a YAML tag", "plain data without tags")
            return str(node.value)

    def _report(self, line: int, at: Location, found: str, expected: str) -> None:
        self.problems.append(Problem(self.file, line, dotted(at), found, expected))
