"""`wherry demo`: the whole platform on one machine."""

import shutil
import signal
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from wherry.errors import WherryError

DEFAULT_STATE = Path(".wherry/demo")
StateOption = Annotated[Path, typer.Option("--state", help="The folder that holds everything the demo writes.")]


def register(app: typer.Typer) -> None:
    """Add the `demo` commands."""
    demo = typer.Typer(no_args_is_help=True, help="Two teams' dbt projects on a real Airflow, on this machine alone.")
    demo.command("up")(up)
    demo.command("down")(down)
    demo.command("status")(status)
    demo.command("release")(release)
    app.add_typer(demo, name="demo")


def up(
    once: Annotated[bool, typer.Option("--once", help="End after one run: exit code 0 if green, 1 if not.")] = False,
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Start everything, run both teams' projects, and stay up until Ctrl-C.

    Example: wherry demo up --once
    """
    from wherry.demo.layout import Layout
    from wherry.demo.run import run_all, say_what_next, wait
    from wherry.demo.stack import Stack

    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    console = Console(highlight=False)
    try:
        with Stack(Layout(state.resolve()), console) as stack:
            green = run_all(stack, console)
            if once:
                raise typer.Exit(0 if green else 1)
            say_what_next(stack, console)
            wait(stack)
    except KeyboardInterrupt:
        console.print("stopped.")
        raise typer.Exit(130 if once else 0) from None


def down(state: StateOption = DEFAULT_STATE) -> None:
    """Stop the demo and remove its data; the environments stay.

    Example: wherry demo down
    """
    import psutil

    from wherry.demo.processes import Processes, end_trees
    from wherry.demo.state import State

    running = State(state).running() if state.exists() else None
    if running:
        with_supervisor = [psutil.Process(running.pid)]
        with_supervisor[0].send_signal(signal.SIGINT)
        psutil.wait_procs(with_supervisor, timeout=30)
        end_trees(with_supervisor, grace=1)
    Processes(state).stop_leftovers()
    shutil.rmtree(state, ignore_errors=True)
    Console().print(
        "The demo is down and its data is removed." if running else "No demo was running; its data is removed."
    )


def status(
    state: StateOption = DEFAULT_STATE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether the demo runs, and where; exit code 3 when it does not.

    Example: wherry demo status --json
    """
    from dataclasses import asdict

    from wherry.demo.state import State

    running = State(state).running() if state.exists() else None
    console = Console(highlight=False)
    if as_json:
        console.print_json(data={"running": running is not None, **(asdict(running) if running else {})})
    elif running:
        console.print(f"running: {running.url}  login {running.user} / {running.password}")
        console.print(f"cluster: KUBECONFIG={running.kubeconfig}")
    else:
        console.print("not running; start it with: ./taskw demo")
    if running is None:
        raise typer.Exit(3)


def release(
    team: Annotated[str, typer.Argument(help="The team's name.")],
    project: Annotated[str | None, typer.Argument(help="One of its projects; all by default.")] = None,
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Release a team's projects into the running demo and let Airflow read them at once.

    Example: wherry demo release finance
    """
    import os

    from wherry.demo.airflow import AirflowApi
    from wherry.demo.layout import Layout
    from wherry.demo.run import wait_for_release
    from wherry.demo.state import State
    from wherry.release import build_release
    from wherry.teams import load_teams

    running = State(state).running() if state.exists() else None
    if running is None:
        raise WherryError("the demo is not running; start it with: ./taskw demo")
    layout = Layout(state.resolve())
    os.environ.update(layout.environment())
    owner = next((known for known in load_teams(layout.teams) if known.name == team), None)
    if owner is None or (project and project not in owner.projects):
        raise WherryError(f"k8s/teams has no team {team!r}" + (f" with a project {project!r}" if project else ""))
    api = AirflowApi(running.url, running.password)
    api.log_in()
    console = Console(highlight=False)
    for name in [project] if project else owner.projects:
        began = time.monotonic()
        with console.status(f"releasing {name}"):
            made = build_release(owner, name, layout.releases, root=layout.repository).release
            wait_for_release(api, made.dag_id, made.id)
        console.print(f"{made.dag_id}: release {made.id} is in Airflow ({time.monotonic() - began:.1f} s)")
