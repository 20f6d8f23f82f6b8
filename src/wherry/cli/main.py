"""`wherry`: what the Taskfile calls and what a platform engineer types."""

import sys
from importlib import import_module

import typer
from rich.console import Console
from rich.markup import escape

from wherry.errors import WherryError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

for name in ("validate", "schema", "release", "pools", "roles", "demo", "dev", "cluster", "team"):
    import_module(f"wherry.cli.{name}").register(app)


def run() -> None:
    """Run the command line; a `WherryError` is printed without a traceback, exit code 1."""
    try:
        app()
    except WherryError as error:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"[bold red]error:[/] {escape(str(error))}")
        sys.exit(1)
