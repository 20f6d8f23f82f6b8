"""A report as people read it: tables on a terminal, JSON for programs, a picture for the documentation."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.figures import OURS, Report, ratios

_COLORS: Final = (  # as many as there are stages
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#1f3b63",
    "#ffbe7d", "#8cd17d", "#b6992d", "#a0cbe8", "#d37295", "#79706e", "#d7b5a6", "#bab0ac", "#499894",
)  # fmt: skip
_WIDTH, _LETTER, _BAR = 900, 7.2, 22


def machine(platform_name: str) -> dict[str, str]:
    """Where it was measured: enough to judge a figure by, nothing that names the machine."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next(
            (line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "name" in line), ""
        )
    return {
        "when": datetime.now(UTC).date().isoformat(),
        "cluster": platform_name,
        "cores": str(os.cpu_count()),
        "processor": model or platform.machine(),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
    }


def show(report: Report, console: Console) -> None:
    """Print the report."""
    console.print(f"[bold]{report.title}[/]  [dim]{', '.join(f'{k} {v}' for k, v in report.machine.items())}[/]")
    console.print(_figures(report))
    if report.stages:
        console.print(_stages(report.stages))
    for remark in report.remarks:
        console.print(f"[dim]- {remark}[/]", soft_wrap=True)


def _figures(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, side in (("what", "left"), ("arm", "left"), ("median", "right"), ("spread", "right"), ("", "left")):
        table.add_column(title, justify=side)  # type: ignore[arg-type]
    table.add_column(f"over {OURS}", justify="right")
    last = ""
    for figure, ratio in ratios(report.figures):
        low, high = figure.spread
        table.add_row(
            figure.what if figure.what != last else "",
            figure.arm,
            number(figure.median),
            f"{number(low)} - {number(high)}" if low != high else "",
            figure.unit,
            "" if ratio is None else f"{ratio:.2f}x",
        )
        last = figure.what
    return table


def _stages(stages: Mapping[str, Mapping[str, float]]) -> Table:
    """Where the time of a node goes: a column an arm, a row a stage, seconds."""
    table = Table(box=None, pad_edge=False, header_style="bold", title="one node, seconds", title_justify="left")
    table.add_column("stage")
    for arm in stages:
        table.add_column(arm, justify="right")
    for stage in dict.fromkeys(stage for own in stages.values() for stage in own):
        table.add_row(stage, *(number(own[stage]) if stage in own else "" for own in stages.values()))
    return table


def number(value: float) -> str:
    """Three digits, no more."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def picture(stages: Mapping[str, Mapping[str, float]], title: str) -> str:
    """An SVG: one bar an arm, its stages side by side, in seconds."""
    longest = max((sum(own.values()) for own in stages.values()), default=1.0) or 1.0
    names = list(dict.fromkeys(stage for own in stages.values() for stage in own))
    color = {name: _COLORS[index % len(_COLORS)] for index, name in enumerate(names)}
    label = 24 + _LETTER * max(map(len, stages), default=0)
    scale = (_WIDTH - label - 70) / longest
    parts = [f'<text x="10" y="22" font-weight="bold">{escape(title)}</text>']
    for row, (arm, own) in enumerate(stages.items()):
        top, left = 40 + row * (_BAR + 10), label
        parts.append(f'<text x="{label - 8:.1f}" y="{top + 16}" text-anchor="end">{escape(arm)}</text>')
        for stage, seconds in own.items():
            width = max(0.0, seconds) * scale
            tip = f"<title>{escape(stage)}: {seconds:.2f} s</title>"
            place = f'x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_BAR}"'
            parts.append(f'<rect {place} fill="{color[stage]}">{tip}</rect>')
            left += width
        parts.append(f'<text x="{left + 6:.1f}" y="{top + 16}">{sum(own.values()):.1f} s</text>')
    top = 50 + len(stages) * (_BAR + 10)
    for index, name in enumerate(names):
        x, y = 10 + (index % 6) * 148, top + 22 * (index // 6)
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{color[name]}"/>')
        parts.append(f'<text x="{x + 17}" y="{y + 11}">{escape(name)}</text>')
    height = top + 22 * ((len(names) + 5) // 6) + 8
    style = "font-family:system-ui,sans-serif;font-size:13px;fill:#333"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" style="{style}">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>"]) + "\n"
