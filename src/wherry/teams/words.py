"""How places and values of a file are written in messages: on one line, and never with a secret."""

import re
from collections.abc import Iterable, Mapping

from wherry.teams.hygiene import secret_kind

Location = tuple[str | int, ...]


def dotted(location: Location) -> str:
    """A location as people write it: `projects.finance.nodes[0].select`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{_plain(step)}" for step in location)
    return text.removeprefix(".")


def show(value: object) -> str:  # noqa: PLR0911  (a table of cases)
    """A found value in a few words, on one line, and never a secret."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case str() if secret_kind(value):
            return "a hidden text"
        case str():
            return repr(value if len(value) <= 60 else f"{value[:57]}...")
        case _:
            return str(value)[:60]


def names(keys: Iterable[object], between: str = ", ") -> str:
    """Keys of a file, as a list in a sentence."""
    return between.join(_plain(str(key)) for key in keys)


def _plain(key: str) -> str:
    return key if re.fullmatch(r"[\w-]{1,60}", key, re.ASCII) and not secret_kind(key) else show(key)
