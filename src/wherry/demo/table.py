"""What a person sees while the nodes run: one line a node, the newest at work on top."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

STYLES = {
    "success": "green",
    "failed": "bold red",
    "upstream_failed": "yellow",
    "running": "cyan",
    "up_for_retry": "magenta",
}
ENDED = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})


@dataclass(frozen=True)
class NodeRow:
    """One node of a run: what Airflow says of its task, and what its pod reported."""

    team: str
    node: str
    state: str
    seconds: float | None
    rows: int | None
    tries: int
    message: str

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it without a person."""
        return self.state in ENDED


def node_rows(team: str, instances: Iterable[Mapping[str, Any]], results: Path) -> list[NodeRow]:
    """Rows for a run's task instances, with rows affected and message from the result records under `results`."""
    return [_node_row(team, instance, _result(results, instance)) for instance in instances]


def _node_row(team: str, instance: Mapping[str, Any], result: Mapping[str, Any]) -> NodeRow:
    own = [part["rows"] for part in result.get("results", ()) if part["unique_id"] == result.get("node")]
    return NodeRow(
        team=team,
        node=instance["task_id"],
        state=instance["state"] or "waiting",
        seconds=_seconds(instance),
        rows=own[0] if own else None,
        tries=instance["try_number"],
        message=str(result.get("why") or ""),
    )


def _seconds(instance: Mapping[str, Any]) -> float | None:
    if instance["duration"] is not None:
        return float(instance["duration"])
    if instance["start_date"] is None:
        return None
    return (datetime.now(UTC) - datetime.fromisoformat(instance["start_date"])).total_seconds()


def _result(results: Path, instance: Mapping[str, Any]) -> Mapping[str, Any]:
    """The result record of the instance's latest try; empty where there is none yet."""
    if instance["state"] not in ("success", "failed"):
        return {}
    file = (
        results / instance["dag_id"] / instance["dag_run_id"] / instance["task_id"] / f"{instance['try_number']}.json"
    )
    try:
        record: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return record


def render(rows: Iterable[NodeRow], height: int | None = None) -> RenderableType:
    """The table; cut to `height` lines with what is at work first, whole where `height` is None."""
    order = {"running": 0, "failed": 1, "up_for_retry": 1, "queued": 2, "scheduled": 2, "upstream_failed": 3}
    shown = list(rows)
    if height is not None:
        shown = sorted(shown, key=lambda row: order.get(row.state, 4 if row.ended else 5))[: max(3, height)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, side in (("team", "left"), ("node", "left"), ("state", "left"), ("seconds", "right"), ("rows", "right")):
        table.add_column(title, justify=side)  # type: ignore[arg-type]
    for row in shown:
        table.add_row(
            row.team,
            row.node,
            Text(row.state + (f" (try {row.tries})" if row.tries > 1 else ""), STYLES.get(row.state, "dim")),
            "" if row.seconds is None else f"{row.seconds:.1f}",
            "" if row.rows is None else f"{row.rows:,}",
        )
    return Group(table, Text(), summary(rows))


def summary(rows: Iterable[NodeRow]) -> Text:
    """One line: how many nodes are in which state, by team."""
    text = Text()
    all_rows = list(rows)
    for team in sorted({row.team for row in all_rows}):
        states = Counter(row.state for row in all_rows if row.team == team)
        text.append(f"{team}: ", "bold")
        for state, count in sorted(states.items()):
            text.append(f"{count} {state}  ", STYLES.get(state, "dim"))
    return text
