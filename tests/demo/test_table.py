"""The table that a person watches."""

import json
from pathlib import Path

from rich.console import Console

from wherry.demo.table import NodeRow, node_rows, render

INSTANCE = {
    "dag_id": "finance__finance",
    "dag_run_id": "manual__1",
    "task_id": "orders_model_build",
    "state": "success",
    "duration": 2.345,
    "start_date": "2026-11-22T00:00:00Z",
    "try_number": 2,
}

RESULT = {
    "why": "ok",
    "node": "model.finance.orders",
    "results": [
        {"unique_id": "test.finance.not_null_orders_id.1", "rows": 1},
        {"unique_id": "model.finance.orders", "rows": 42},
    ],
}


def row(node: str, state: str, team: str = "finance") -> NodeRow:
    return NodeRow(team=team, node=node, state=state, seconds=1.25, rows=1200, tries=1, message="")


def text(renderable) -> str:
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_a_row_joins_the_task_with_its_pods_result(tmp_path: Path):
    """Rows affected, of the node itself and not of its tests, and message come from the same try's result record."""
    file = tmp_path / "finance__finance/manual__1/orders_model_build/2.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(RESULT))
    assert node_rows("finance", [INSTANCE], tmp_path) == [
        NodeRow("finance", "orders_model_build", "success", 2.345, 42, 2, "ok")
    ]


def test_a_row_without_a_result_is_still_a_row(tmp_path: Path):
    """A task that has not started, or whose result is missing or broken, shows without rows."""
    waiting = {**INSTANCE, "state": None, "duration": None, "start_date": None}
    (expected,) = node_rows("finance", [waiting], tmp_path)
    assert (expected.state, expected.seconds, expected.rows) == ("waiting", None, None)
    broken = tmp_path / "finance__finance/manual__1/orders_model_build/2.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    assert node_rows("finance", [INSTANCE], tmp_path)[0].rows is None


def test_the_table_shows_each_node_and_counts_by_team():
    """Every node is a line; the last line counts states by team."""
    shown = text(render([row("a", "success"), row("b", "failed"), row("c", "success", team="growth")]))
    lines = [line.split() for line in shown.splitlines()]
    assert ["finance", "a", "success", "1.2", "1,200"] in lines
    assert lines[-1] == ["finance:", "1", "failed", "1", "success", "growth:", "1", "success"]


def test_on_a_small_screen_what_is_at_work_comes_first():
    """A table cut to the terminal's height keeps running and failed nodes."""
    rows = [row(f"done{i}", "success") for i in range(50)] + [row("now", "running"), row("bad", "failed")]
    shown = text(render(rows, height=5))
    assert "now" in shown
    assert "bad" in shown
    assert shown.count("done") == 3
