"""`wherry cluster`: the whole platform on a local Kubernetes cluster."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from wherry.cluster.up import Cluster


def register(app: typer.Typer) -> None:
    """Add the `cluster` commands."""
    cluster = typer.Typer(no_args_is_help=True, help="Two teams' dbt projects on a local Kubernetes cluster (kind).")
    for command in (tools, up, down, status, ui, release, images):
        cluster.command(command.__name__)(command)
    app.add_typer(cluster, name="cluster")


def tools() -> None:
    """Check that the programs are there which a local cluster needs; a line on how to get each that is missing.

    Example: wherry cluster tools
    """
    from wherry.cluster.tools import check

    check()


def up(
    run: Annotated[bool, typer.Option("--run/--no-run", help="Run both teams' DAGs once and show their nodes.")] = True,
) -> None:
    """Make the cluster and everything in it, then run both teams' projects once; run it again to take up changes.

    Example: wherry cluster up
    """
    from wherry.cluster.tools import check
    from wherry.demo.run import run_all

    check()
    cluster = _cluster()
    cluster.up()
    green = run_all(cluster, cluster.console) if run else True
    user, password = cluster.login
    cluster.console.print(
        f"""
[bold]Airflow[/]   {cluster.settings.url}   login [bold]{user}[/] / [bold]{password}[/]
[bold]cluster[/]   export KUBECONFIG={cluster.layout.kubeconfig}

[bold]task status[/]                     what runs there
[bold]task up:release TEAM=growth[/]     release a change
[bold]task down[/]                       remove the cluster and its data
""",
        soft_wrap=True,
    )
    raise typer.Exit(0 if green else 1)


def down() -> None:
    """Delete the cluster and its data; images and environments stay.

    Example: wherry cluster down
    """
    import shutil

    from rich.console import Console

    from wherry.cluster import kind
    from wherry.cluster.settings import Settings
    from wherry.cluster.tools import check
    from wherry.errors import WherryError

    settings = Settings.read()
    check("docker", "kind")
    kind.forget(settings.name)
    kind.delete(settings.name)
    shutil.rmtree(settings.layout.state, ignore_errors=True)
    if settings.layout.state.exists():
        left = settings.layout.state
        raise WherryError(f"{left}: the cluster is gone, but not all of its files; remove them with: sudo rm -r {left}")
    Console().print(f"The cluster {settings.name} is gone, and its data with it.")


def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show components, teams, last runs and pods; exit code 3 where a component isn't ready.

    Example: wherry cluster status
    """
    from dataclasses import asdict

    from wherry.cluster.status import read, render

    cluster = attach()
    found = read(cluster.kube, cluster.api, cluster.teams)
    if as_json:
        cluster.console.print_json(data=asdict(found))
    else:
        cluster.console.print(render(found))
    if not found.healthy:
        raise typer.Exit(3)


def ui() -> None:
    """Say where Airflow's UI is, and how to log in.

    Example: wherry cluster ui
    """
    cluster = attach()
    user, password = cluster.login
    cluster.console.print(f"{cluster.settings.url}   login [bold]{user}[/] / [bold]{password}[/]")


def release(
    team: Annotated[str, typer.Argument(help="The team's name.")],
    project: Annotated[str | None, typer.Argument(help="One of its projects; all by default.")] = None,
) -> None:
    """Release a team's projects into the cluster and let Airflow read them at once.

    Example: wherry cluster release finance
    """
    import time

    from wherry.demo.run import wait_for_release

    cluster = attach()
    cluster.api.log_in()
    owner = cluster.team(team)
    for name in [project] if project else owner.projects:
        began = time.monotonic()
        with cluster.console.status(f"releasing {name}"):
            made = cluster.release(owner, name)
            wait_for_release(cluster.api, made.dag_id, made.id)
        cluster.console.print(f"{made.dag_id}: release {made.id} is in Airflow ({time.monotonic() - began:.1f} s)")


def images() -> None:
    """Build the platform's images and show their sizes.

    Example: wherry cluster images
    """
    from rich.console import Console
    from rich.table import Table

    from wherry.cluster.images import NAMES, build, sizes
    from wherry.cluster.settings import Settings
    from wherry.cluster.tools import check

    check("docker")
    console, settings = Console(), Settings.read()
    with console.status("building"):
        built = {name: build(name, settings) for name in NAMES}
    table = Table("image", "on disk", "compressed", box=None)
    with console.status("measuring"):
        for _, reference, size, packed in sizes(built):
            table.add_row(reference, f"{size / 1e6:.0f} MB", f"{packed / 1e6:.0f} MB")
    console.print(table)


def attach() -> "Cluster":
    """The local cluster that the environment names. Raises WherryError where it isn't there, or Docker doesn't run."""
    from wherry.cluster import kind
    from wherry.cluster.settings import Settings
    from wherry.cluster.tools import check
    from wherry.errors import WherryError

    settings = Settings.read()
    check("docker", "kind")
    if not (settings.layout.kubeconfig.exists() and kind.exists(settings.name)):
        raise WherryError(f"there is no local cluster {settings.name}; make it with: task up")
    return _cluster()


def _cluster() -> "Cluster":
    from rich.console import Console

    from wherry.cluster.settings import Settings
    from wherry.cluster.up import Cluster

    return Cluster(Settings.read(), Console(highlight=False))
