"""What the pod was asked to do: the container's arguments and environment, checked before dbt is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_RESERVED: Final = {"--project-dir", "--profiles-dir", "--profile", "--target", "--target-path", "--log-path", "-t"}
_SLICED_VERBS: Final = {("run",), ("test",), ("build",), ("seed",), ("snapshot",), ("source", "freshness")}
_SELECT: Final = {"--select", "-s", "--models", "-m"}
_EXCLUDE: Final = {"--exclude"}
_ONE_VALUE: Final = {
    "--threads",
    "--indirect-selection",
    "--log-level",
    "--log-format",
    "--event-time-start",
    "--event-time-end",
    "--sample",
    "--warn-error-options",
    "--printer-width",
}
_NO_VALUE: Final = {
    *("--full-refresh", "-f", "--fail-fast", "-x", "--no-fail-fast", "--warn-error", "--no-warn-error", "--empty"),
    *("--no-empty", "--store-failures", "--show", "--quiet", "-q", "--debug", "-d", "--use-colors", "--no-use-colors"),
    *("--no-partial-parse", "--no-version-check", "--cache-selected-only", "--no-populate-cache", "--no-print"),
}
# One name, without graph operators (+, @), wildcards, sets or other methods: all that a node's own slice can answer.
# A bracket around one character matches that character: so a node is told from a folder of its name.
_ONE_NODE: Final = re.compile(r"(?:(?:fqn|source):)?(?:[^\s:+@*?,\[\]]|\[[^\s!\[\]]\])+")


class UsageError(Exception):
    """The pod was started in a way that no release can serve."""


@dataclass(frozen=True)
class Request:
    """One pod's work. `tag` is the JSON object that marks every query; `node` is "" for the whole project."""

    release: Path
    args: tuple[str, ...]
    node: str
    tag: str
    scratch: Path

    @property
    def project(self) -> Path:
        """The dbt project's folder in the release."""
        return self.release / "project"

    @property
    def slices(self) -> Path:
        """The folder that `wherry_runner.build` wrote."""
        return self.release / "slices"

    @property
    def verb(self) -> str:
        """dbt's verb: its leading words, e.g. "build" or "source freshness"."""
        return " ".join(_verb(self.args))


def read_request(args: Sequence[str], env: Mapping[str, str]) -> Request:
    """Read the pod's arguments and environment; raise UsageError where they can't be served."""
    release = env.get("WHERRY_RELEASE", "")
    if not release:
        raise UsageError("WHERRY_RELEASE: not set, expected the folder that holds project/, profiles/ and slices/")
    if not args or args[0].startswith("-"):
        raise UsageError(f"arguments: found {list(args)}, expected dbt's arguments, beginning with its verb")
    reserved = sorted({arg.split("=")[0] for arg in args} & _RESERVED)
    if reserved:
        raise UsageError(f"arguments: found {reserved[0]}, which the runner takes from the release")
    for folder in ("project", "profiles"):
        if not (Path(release) / folder).is_dir():
            raise UsageError(f"{Path(release) / folder}: not there, expected a release's {folder} folder")
    return Request(
        release=Path(release).resolve(),
        args=tuple(args),
        node=env.get("WHERRY_NODE", ""),
        tag=env.get("WHERRY_QUERY_TAG", ""),
        scratch=Path(env.get("WHERRY_SCRATCH") or env.get("TMPDIR") or "/tmp"),  # noqa: S108 - the pod's own emptyDir
    )


def why_not_slice(request: Request) -> str:
    """Return why these arguments need the whole project, or "" when the node's slice answers them."""
    verb = _verb(request.args)
    if not request.node:
        return "no single node was asked for"
    if verb not in _SLICED_VERBS:
        return f"dbt {request.verb} needs the whole project"
    selected: list[str] = []
    rest = list(request.args[len(verb) :])
    while rest:
        flag, _, value = rest.pop(0).partition("=")
        values = [value] if value else []
        if flag in _SELECT | _EXCLUDE | _ONE_VALUE:
            while rest and not rest[0].startswith("-"):
                values.append(rest.pop(0))
        elif flag not in _NO_VALUE:
            return f"{flag} needs the whole project"
        if flag in _SELECT | _EXCLUDE and not all(_ONE_NODE.fullmatch(value) for value in values):
            return f"{flag} {' '.join(values)} needs the whole project"
        if flag in _SELECT:
            selected += values
    return "" if len(selected) == 1 else f"{len(selected)} selections need the whole project"


def _verb(args: Sequence[str]) -> tuple[str, ...]:
    return tuple(args[:2]) if args[0] in {"source", "docs"} else tuple(args[:1])
