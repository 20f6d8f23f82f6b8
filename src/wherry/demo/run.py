"""One run of every project of the demo, and what a person sees of it."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape

from wherry.demo.airflow import USER, AirflowApi
from wherry.demo.layout import Layout
from wherry.demo.stack import Stack
from wherry.demo.steps import step
from wherry.demo.table import NodeRow, node_rows, render
from wherry.errors import WherryError
from wherry.teams import Team

POLL_SECONDS = 2.0


class Platform(Protocol):
    """Where runs are: the demo on this machine, or a cluster. Runs queued before `began` have lost their tasks."""

    teams: tuple[Team, ...]
    api: AirflowApi
    layout: Layout
    began: datetime

    def check(self) -> None:
        """Raise a `WherryError` when something that runs need has died."""


def run_all(stack: Platform, console: Console) -> bool:
    """Unpause and trigger every project's DAG and show its nodes until all runs have ended; True if all are green.

    Raises:
        WherryError: a DAG did not appear, or a program of the demo died.
    """
    dags = {dag_id: team.name for team in stack.teams for dag_id in team.dag_ids().values()}
    with step(console, "the DAGs"):
        wait_for_dags(stack, frozenset(dags))
    runs = {dag_id: begin(stack, dag_id) for dag_id in dags}
    began = time.monotonic()
    rows = _watch(stack, console, dags, runs)
    states = {dag_id: stack.api.run_state(dag_id, run) for dag_id, run in runs.items()}
    green = all(state == "success" for state in states.values())
    console.print(render(rows))
    color = "green" if green else "red"
    console.print(f"[{color}]{len(rows)} nodes, each in a pod of its own, in {time.monotonic() - began:.0f} s[/]")
    for row in rows:
        if row.state == "failed":
            why = row.message or "its pod left no result; see the task's log"
            console.print(f"[bold red]{row.team} {row.node}[/]: {escape(why)}")
    return green


def say_what_next(stack: Stack, console: Console) -> None:
    """Where the UI is, and three things to try."""
    console.print(
        f"""
[bold]Airflow[/]   {stack.settings.url}   login [bold]{USER}[/] / [bold]{stack.settings.password}[/]

Three things to try, in another terminal:

  1. Break a model. Put a typo into
     dbt/growth/models/staging/stg_web__users.sql, then: [bold]./taskw release TEAM=growth[/]
     Trigger growth__growth in the UI: that node is red, what depends on it
     waits, everything else is green. Mend it, release again, clear the red
     task: it and its downstream run again, nothing else.
  2. Clear one task in the UI: it runs in a new pod; its log is dbt's.
  3. Read docs/tutorial/first-team.md and add a team of your own.

Ctrl-C, or [bold]./taskw demo:down[/], stops everything.
""",
        soft_wrap=True,
    )


def wait(stack: Stack) -> None:
    """Stay up until Ctrl-C or until a program dies."""
    while True:
        stack.check()
        time.sleep(POLL_SECONDS)


def wait_for_release(api: AirflowApi, dag_id: str, release_id: str, timeout: float = 60) -> None:
    """Wait until Airflow has read a new release of a DAG that it knows already."""
    api.reparse(dag_id)
    deadline = time.monotonic() + timeout
    while release_id not in api.dag_docs(dag_id):
        if time.monotonic() > deadline:
            raise WherryError(f"Airflow has not read release {release_id} of {dag_id} within {timeout:.0f} s")
        time.sleep(0.3)


def wait_for_dags(stack: Platform, wanted: frozenset[str], timeout: float = 240) -> None:
    """Wait until Airflow has read these DAGs; a `WherryError` with its import errors if it has not in `timeout` s."""
    deadline = time.monotonic() + timeout
    while missing := wanted - stack.api.dag_ids():
        stack.check()
        if time.monotonic() > deadline:
            errors = "\n".join(stack.api.import_errors()) or "no import error is known"
            raise WherryError(f"Airflow has not read {', '.join(sorted(missing))} within {timeout:.0f} s: {errors}")
        time.sleep(0.3)


def begin(stack: Platform, dag_id: str) -> str:
    """Unpause a DAG; the id of the run that its schedule then starts, or of one that we trigger.

    Runs that an interrupted demo left are failed first: their tasks are gone, and a DAG runs once at a time.
    """
    for run, queued in stack.api.active_runs(dag_id).items():
        if queued < stack.began:
            stack.api.fail_run(dag_id, run)
    by_itself = stack.api.is_due(dag_id)
    stack.api.unpause(dag_id)
    while not (runs := stack.api.active_runs(dag_id)):
        if not by_itself:
            return stack.api.trigger(dag_id)
        stack.check()
        time.sleep(0.2)
    return next(iter(runs))


def _watch(stack: Platform, console: Console, dags: Mapping[str, str], runs: Mapping[str, str]) -> list[NodeRow]:
    """Follow the runs to their end: a live table on a terminal, a line for each ended node elsewhere."""
    said: set[tuple[str, str]] = set()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            stack.check()
            ended = all(stack.api.run_state(d, r) in ("success", "failed") for d, r in runs.items())
            rows = [
                row
                for dag_id, run in runs.items()
                for row in node_rows(dags[dag_id], stack.api.task_instances(dag_id, run), stack.layout.results)
            ]
            if console.is_terminal:
                live.update(render(rows, height=console.height - 4), refresh=True)
            else:
                _say_ended(console, rows, said)
            if ended:
                return rows
            time.sleep(POLL_SECONDS)


def _say_ended(console: Console, rows: list[NodeRow], said: set[tuple[str, str]]) -> None:
    for row in rows:
        if row.ended and (row.team, row.node) not in said:
            said.add((row.team, row.node))
            console.print(f"{row.state:16} {row.seconds or 0:6.1f} s  {row.team}  {row.node}", soft_wrap=True)
