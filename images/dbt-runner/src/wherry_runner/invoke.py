"""Runs dbt in this process, and reads what it says: its results, its events, its exceptions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from wherry.results.codec import NodeResult
from wherry_runner.connections import Reuse, time_connections
from wherry_runner.request import Request

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

_FLAGS: Final = (
    *("--no-version-check", "--no-send-anonymous-usage-stats", "--no-write-json", "--no-partial-parse"),
    *("--log-level-file", "none"),
)
# Flags that are ours by default: the caller may say otherwise.
_DEFAULTS: Final = {"--no-use-colors": ("--use-colors",), "--cache-selected-only": ("--no-cache-selected-only",)}


@dataclass(frozen=True)
class Run:
    """What came of one dbt invocation. `error_kind` is the class name of the exception that ended it, or ""."""

    success: bool
    results: tuple[NodeResult, ...]
    error_kind: str = ""
    error: str = ""
    executed: bool = True  # whether anything may have been sent to the warehouse for a node or hook


@dataclass
class Listener:
    """Hears dbt's events: results as they come (an interrupted dbt returns none) and the time spent on queries.

    dbt opens a connection at its first query and counts that in: `connect_seconds` are within `query_seconds`.
    """

    tag: str
    results: list[NodeResult] = field(default_factory=list)
    query_seconds: float = 0.0
    connect_seconds: float = 0.0
    reuse: Reuse = field(default_factory=Reuse)

    def __call__(self, event: Any) -> None:
        """Hear one event; dbt calls this in the thread that fired it."""
        name = event.info.name
        if name == "SQLQueryStatus":
            self.query_seconds += event.data.elapsed
        elif name == "NodeFinished":
            self.results.append(_result_of_event(event.data))
        elif name == "FoundStats":  # after the adapter was made, before its first query
            tag_queries(self.tag)
            time_connections(self._connected)
            self.reuse.begin()

    def _connected(self, seconds: float) -> None:
        self.connect_seconds += seconds


def run_dbt(request: Request, target: str, manifest: Manifest | None, listener: Listener) -> Run:
    """Run dbt with the pod's arguments on this manifest, or on the parsed project where there is none."""
    from dbt.cli.main import dbtRunner

    done = dbtRunner(manifest=manifest, callbacks=[listener]).invoke(arguments(request, target))
    listener.reuse.end()
    found = getattr(done.result, "results", None)
    results = tuple(listener.results) if found is None else tuple(_result(item) for item in found)
    if done.exception is not None:
        error = f"{done.exception}".strip() or type(done.exception).__name__
        return Run(False, results, type(done.exception).__name__, error, executed=bool(results))
    return Run(done.success, results, executed=any(_executed(item) for item in found or ()))


def arguments(request: Request, target: str) -> list[str]:
    """Return dbt's arguments: the pod's own, and where things are; nothing is written but below the scratch folder."""
    defaults = [flag for flag, others in _DEFAULTS.items() if not {flag, *others} & set(request.args)]
    folders = ("--project-dir", request.project, "--profiles-dir", request.release / "profiles", "--target", target)
    scratch = ("--target-path", request.scratch / "target", "--log-path", request.scratch / "logs")
    return [*request.args, *_FLAGS, *defaults, *(str(value) for value in (*folders, *scratch))]


def cancel_queries() -> None:
    """Cancel the queries of all open connections; for a thread that is none of dbt's."""
    from dbt.adapters.factory import FACTORY

    adapters: list[Any] = list(FACTORY.adapters.values())
    for adapter in adapters:
        with adapter.connection_named("wherry-cancel"):
            adapter.cancel_open_connections()


def tag_queries(tag: str) -> None:
    """Put the tag into every query's comment, merged with the project's or dbt's own comment where that is JSON."""
    from dbt.adapters.factory import FACTORY

    for adapter in FACTORY.adapters.values():
        header = adapter.connections.query_header
        if tag and header is not None:
            header.generator = _tagged(tag, header.generator)
            header.reset()


def _tagged(tag: str, own: Callable[[str, Any], str]) -> Callable[[str, Any], str]:
    return lambda name, node: merge_comment(tag, own(name, node))


def merge_comment(tag: str, own: str) -> str:
    """Return one comment of two: a single JSON object if both are, safe inside /* */ and beside driver placeholders."""
    try:
        ours, theirs = json.loads(tag), json.loads(own or "{}")
        text = json.dumps({**theirs, **ours}, separators=(",", ":"))
        return text.replace("%", "\\u0025").replace("*/", "*\\/")
    except (ValueError, TypeError):
        return f"{tag.replace('%', '').replace('*/', '')} {own}".strip()


def _executed(result: Any) -> bool:
    return any(timing.name == "execute" for timing in result.timing or ()) or "operation" in _unique_id(result)


def _result(result: Any) -> NodeResult:
    response = result.adapter_response or {}
    return NodeResult(
        unique_id=_unique_id(result),
        status=str(getattr(result.status, "value", result.status)),
        seconds=round(result.execution_time or 0.0, 3),
        rows=_rows(response),
        failures=getattr(result, "failures", None),
        message=str(getattr(result, "message", "") or ""),
        query_id=response.get("query_id"),
        adapter_response=str(response.get("_message", "")),
    )


def _result_of_event(data: Any) -> NodeResult:
    response = dict(data.run_result.adapter_response)
    return NodeResult(
        unique_id=data.node_info.unique_id,
        status=data.run_result.status,
        seconds=round(data.run_result.execution_time, 3),
        rows=_rows(response),
        failures=data.run_result.num_failures or None,
        message=data.run_result.message,
        query_id=response.get("query_id"),
        adapter_response=str(response.get("_message", "")),
    )


def _unique_id(result: Any) -> str:
    return str(result.node.unique_id)


def _rows(response: dict[str, Any]) -> int | None:
    rows = response.get("rows_affected")
    return int(rows) if isinstance(rows, int | float) and math.isfinite(rows) and rows >= 0 else None
