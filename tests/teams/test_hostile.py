"""Whatever bytes a team file holds, loading gives a team or a TeamFileError, quickly, with lines that are right."""

import random
import re
import time
from pathlib import Path

import pytest
import yaml

from wherry.teams import Problem, TeamFileError, load_team

HERE = Path(__file__).parent
SEEDS = [path.read_bytes() for folder in ("good", "bad") for path in sorted((HERE / folder).glob("*.yaml"))]
SPICE = [
    *(
        b"\x00",
        b"\t",
        b"\n",
        b"\r",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xe2\x80\xae",
        b"{{",
        b"}}",
        b"{%",
        b"&a ",
        b"*a",
        b"<<: ",
    ),
    *(
        b"!!int ",
        b"!!float ",
        b"!!python/object:os.system ",
        b"? ",
        b"- ",
        b": ",
        b"---\n",
        b"...\n",
        b"|\n",
        b"[",
        b"]",
    ),
    *(b"{", b"}", b'"', b"'", b"# ", b"null", b"true", b".inf", b"-1", b"9" * 5000, b"1e999", b"0x10", b"%YAML 1.1\n"),
    *(b"like: heavy", b"env: {env: A}", b"@daily", b"* * * * *", b"0 0 31 2 *", b"../..", b"password: x", b"\\ud800"),
]
VALUES = [
    None,
    True,
    -1,
    10**30,
    1.5,
    float("nan"),
    "",
    "x",
    "\ud800",
    [],
    [[]],
    {},
    {"a": {}},
    {"env": 1},
    "transform",
]


def load(path: Path) -> None:
    """Load a file; nothing but a TeamFileError may come out of it, and each problem has a line of the file."""
    problems: tuple[Problem, ...] = ()
    try:
        load_team(path)
    except TeamFileError as error:
        problems = error.problems
    last = len(re.split(rb"\r\n|[\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9]", path.read_bytes()))
    for problem in problems:
        assert 1 <= problem.line <= last
        assert str(problem).isprintable()


def mutate(content: bytes, dice: random.Random) -> bytes:
    """A few random edits: something inserted, cut, doubled or moved."""
    for _ in range(dice.randint(1, 4)):
        start = dice.randrange(len(content) + 1)
        end = min(len(content), start + dice.randint(0, 30))
        piece = dice.choice([*SPICE, content[start:end] * 2, b"", dice.randbytes(3)])
        content = content[:start] + piece + content[dice.choice([start, end]) :]
    return content


def test_mutated_bytes(tmp_path: Path) -> None:
    """Broken YAML of any kind is a TeamFileError."""
    dice = random.Random(0)
    path = tmp_path / "everything.yaml"
    for _ in range(800):
        path.write_bytes(mutate(dice.choice(SEEDS), dice))
        load(path)


def replace(value: object, dice: random.Random) -> object:
    """A random place of a structure replaced by a random value."""
    if isinstance(value, dict | list) and value and dice.random() < 0.8:
        step = dice.choice(list(value) if isinstance(value, dict) else range(len(value)))
        changed = replace(value[step], dice)  # type: ignore[call-overload]
        if isinstance(value, list):
            return [*value[:step], changed, *value[step + 1 :]]
        return {
            **value,
            (step if dice.random() < 0.9 else dice.choice(["like", "type", "snowflake", "<env>", "[key]"])): changed,
        }
    return dice.choice(VALUES)


def test_mutated_structure(tmp_path: Path) -> None:
    """Good YAML with any value at any place is a team or a TeamFileError."""
    dice = random.Random(0)
    path = tmp_path / "everything.yaml"
    good = yaml.safe_load((HERE / "good" / "everything.yaml").read_text())
    for _ in range(300):
        data: object = good
        for _ in range(dice.randint(1, 3)):
            data = replace(data, dice)
        path.write_text(yaml.safe_dump(data), errors="surrogateescape")
        load(path)


EVERYTHING = (HERE / "good" / "everything.yaml").read_text().split("\n")


def test_a_bad_value_is_reported_on_its_own_line(tmp_path: Path) -> None:
    """Each single value of a full file, made bad, is a problem on the line that it stands on."""
    path = tmp_path / "everything.yaml"
    tried = 0
    for index, line in enumerate(EVERYTHING):
        key, colon, value = line.partition(": ")
        if not colon or value.startswith(("{", "[")) or key.lstrip().startswith(("#", "-")):
            continue
        path.write_text("\n".join([*EVERYTHING[:index], f'{key}: "\\a"', *EVERYTHING[index + 1 :]]))
        with pytest.raises(TeamFileError) as caught:
            load_team(path)
        assert (index + 1, key.strip()) in {(each.line, each.key.rsplit(".")[-1]) for each in caught.value.problems}
        tried += 1
    assert tried >= 30


def test_an_unknown_key_is_reported_on_its_own_line(tmp_path: Path) -> None:
    """A key that nobody knows, put between any two lines of a full file, is the one problem, on its line."""
    path = tmp_path / "everything.yaml"
    tried = 0
    for index, line in enumerate(EVERYTHING):
        if (
            ": " not in line
            or line.lstrip().startswith(("#", "-"))
            or line.startswith("  heavy")
            or line.startswith("  huge")
        ):
            continue
        indent = line[: len(line) - len(line.lstrip())]
        path.write_text("\n".join([*EVERYTHING[:index], f"{indent}zzz: 1", *EVERYTHING[index:]]))
        with pytest.raises(TeamFileError) as caught:
            load_team(path)
        assert [(each.line, each.found) for each in caught.value.problems] == [(index + 1, "an unknown key")]
        tried += 1
    assert tried >= 30


def test_lines_move_with_the_file(tmp_path: Path) -> None:
    """Comments in front of a bad file move each of its problems by as many lines."""
    path = tmp_path / "many-mistakes-at-once.yaml"
    text = (HERE / "bad" / "many-mistakes-at-once.yaml").read_text()
    found = []
    for comments in (0, 7):
        path.write_text("#\n" * comments + text)
        with pytest.raises(TeamFileError) as caught:
            load_team(path)
        found.append([problem.line - comments for problem in caught.value.problems])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        "a: " * 10_000,
        "- " * 100_000,
        "\n".join(f"k{i}: 1" for i in range(9_900)),
        "x: &a [" + "1," * 9_900 + "]\ny: [*a, *a]",
        "owners: ['" + "a@" * 100_000 + "']",
        "projects: {a: {schedule: '" + "*/1," * 50_000 + "'}}",
        "&a [" + "*a," * 50_000 + "]",
    ],
    ids=["brackets", "mappings", "lists", "keys", "aliases", "email", "cron", "loop"],
)
def test_no_file_takes_long(tmp_path: Path, content: str) -> None:
    """A file of the largest size that is made to be slow is refused within seconds."""
    path = tmp_path / "a.yaml"
    path.write_text(content)
    started = time.process_time()
    load(path)
    assert time.process_time() - started < 10
