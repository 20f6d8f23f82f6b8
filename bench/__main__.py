"""`python -m bench`, what `task bench` calls."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bench.figures import Report, of_samples
from wherry.errors import WherryError

DEFAULT_STATE = Path(".wherry/bench")
_WIDE_PATIENCE = 1800
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Sizes = Annotated[str, typer.Option(help="How many models, comma-separated.")]
Rounds = Annotated[int, typer.Option(help="How often each is measured, in turns.", min=1)]
StateOption = Annotated[Path, typer.Option("--state", help="The folder that holds everything the bench writes.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback(invoke_without_command=True)
def nodes(  # noqa: PLR0913, PLR0917 - one an option
    context: typer.Context,
    full: Annotated[bool, typer.Option("--full", help="All arms, more rounds, a sample project too.")] = False,
    projects: Annotated[
        list[Path] | None, typer.Option("--project", help="A dbt project for PostgreSQL to measure instead.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="How often each arm runs, in turns; 0: 3, or 5 with --full.")] = 0,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="Only this one: ours, warm, stock, stockbuild, onepod or watcher; may be repeated."),
    ] = None,
    warm_up: Annotated[bool, typer.Option(help="Run each arm once before, without counting it.")] = True,
    picture: Annotated[Path | None, typer.Option(help="Write where a node's time goes as an SVG.")] = None,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """What a node costs on a real Airflow, beside stock Cosmos, one pod for all, a bare pod and a shell.

    Example: task bench -- --project ../jaffle_shop --rounds 3
    """
    if context.invoked_subcommand:
        return
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"  # of this process: Airflow's own have their settings
    from bench import arms, synthetic
    from bench.compare import Comparison
    from bench.report import picture as draw

    state = state.absolute()
    chosen = {path.resolve().name.replace("-", "_"): path.resolve() for path in projects or ()}
    if not chosen:
        models = synthetic.chain(5 if full else 3)
        chosen["chain"] = synthetic.write(state / "projects" / "chain", models, name="chain")
        if full:
            chosen["growth"] = Path("dbt/growth").resolve()
    compared = arms.chosen(arm) if arm else arms.FULL if full else arms.QUICK
    comparison = Comparison(chosen, compared, rounds or (5 if full else 3), warm_up=warm_up)
    report = comparison.measure(state, Console(stderr=True, highlight=False))
    if picture:
        picture.write_text(draw(report.stages, "Where the time of a pod's task goes"))
    finish(report, as_json)


@app.command()
def wide(  # noqa: PLR0913, PLR0917 - one an option
    size: Annotated[int, typer.Option(help="How many models, none of which waits for another.")] = 200,
    at_once: Annotated[int, typer.Option(help="How many run at once: slots of the pool and of Airflow.")] = 50,
    rounds: Rounds = 1,
    minutes: Annotated[float, typer.Option(help="End a run after so long: its rate is known by then.")] = 12,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """Nodes a second on a wide level, ours and stock Cosmos'; each node's query does nothing.

    Where the cluster has fewer cores than pods, stock's give up after 120 s that they wait to start: here they don't.

    Example: task bench -- wide --size 40
    """
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
    from bench import arms, synthetic
    from bench.compare import Comparison
    from bench.nodes import Part

    state = state.absolute()
    folder = synthetic.write(state / "projects" / "wide", synthetic.wide(size), name="wide", tests=False)
    comparison = Comparison(
        {"wide": folder},
        (arms.OURS_ARM, arms.STOCK),
        rounds,
        parallelism=at_once,
        floors=False,
        warm_up=False,
        patience=_WIDE_PATIENCE,
        part=Part(60 * minutes, green=1),
    )
    finish(comparison.measure(state, Console(stderr=True, highlight=False)), as_json)


@app.command()
def large(
    sizes: Sizes = "10,3000,10000", rounds: Rounds = 2, state: StateOption = DEFAULT_STATE, as_json: JsonOption = False
) -> None:
    """Overhead of a node in DAGs of so many models: five run one after the other, the sixth fails, all others wait.

    dbt parses 10,000 models for some minutes.

    Example: task bench -- large --sizes 10,3000
    """
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
    from bench import arms, synthetic
    from bench.compare import Comparison
    from bench.nodes import Part

    state, numbers = state.absolute(), _numbers(sizes)
    if min(numbers) <= synthetic.TRUNK:
        raise WherryError(f"--sizes: found {min(numbers)}, expected more than {synthetic.TRUNK}: five run, one fails")
    projects = {f"trunk_{size}": synthetic.trunk(size) for size in numbers}
    folders = {
        name: synthetic.write(state / "projects" / name, models, name=name, tests=False)
        for name, models in projects.items()
    }
    comparison = Comparison(folders, (arms.OURS_ARM,), rounds, floors=False, part=Part(green=synthetic.TRUNK))
    finish(comparison.measure(state, Console(stderr=True, highlight=False)), as_json)


@app.command()
def parse(
    sizes: Sizes = "1000,3000,10000",
    rounds: Rounds = 3,
    state: StateOption = DEFAULT_STATE,
    as_json: JsonOption = False,
) -> None:
    """CPU-seconds in which the dag-processor reads a DAG, ours and stock Cosmos', from the same manifest.

    Example: task bench -- parse --sizes 1000
    """
    from bench import alone

    _without_cluster(
        "reading a DAG in the dag-processor", alone.parse(state.absolute(), _numbers(sizes), rounds), as_json
    )


@app.command()
def task(
    sizes: Sizes = "10,1000,10000", rounds: Rounds = 3, state: StateOption = DEFAULT_STATE, as_json: JsonOption = False
) -> None:
    """CPU-seconds in which a task's own process reads its DAG.

    Example: task bench -- task --sizes 10,10000
    """
    from bench import alone

    _without_cluster(
        "reading a DAG in a task's process", alone.task(state.absolute(), _numbers(sizes), rounds), as_json
    )


@app.command()
def runner(
    sizes: Sizes = "10,300", rounds: Rounds = 5, state: StateOption = DEFAULT_STATE, as_json: JsonOption = False
) -> None:
    """CPU-seconds and bytes read of one node's process, by stage. A release of thousands takes minutes to build.

    Example: task bench -- runner --sizes 10 --rounds 10
    """
    from bench import alone

    _without_cluster("one node's process", alone.runner(state.absolute(), _numbers(sizes), rounds), as_json)


def _without_cluster(title: str, samples: Iterator[tuple[str, str, str, float]], as_json: bool) -> None:
    from bench.report import machine

    facts = machine("none")
    with Console(stderr=True).status(title):
        figures = of_samples(samples)
    finish(Report(title, facts, figures, {}), as_json)


def _numbers(sizes: str) -> list[int]:
    try:
        return [int(size) for size in sizes.split(",")]
    except ValueError:
        raise WherryError(f"--sizes: found {sizes!r}, expected numbers with commas between them") from None


def finish(report: Report, as_json: bool) -> None:
    """Print a report."""
    from bench.report import show

    if as_json:
        print(json.dumps(report.document(), indent=2))
    else:
        show(report, Console(highlight=False))


if __name__ == "__main__":
    try:
        app()
    except WherryError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}")
        sys.exit(1)
