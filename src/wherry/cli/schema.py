"""`wherry schema`: what is generated from the team file's models."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("schema")(schema)


def schema(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 where a file is out of date.")
    ] = False,
    root: Annotated[Path, typer.Option(help="The repository.", file_okay=False)] = Path(),
) -> None:
    """Write schemas/team.schema.json and docs/reference/team-file.md from the models.

    Example: `wherry schema --check`
    """
    stale = [(path, text) for path, text in _generated(root).items() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        typer.echo(f"{path}: {'out of date: run `wherry schema`' if check else 'written'}")
    if stale and check:
        raise typer.Exit(1)


def _generated(root: Path) -> dict[Path, str]:
    import json

    from wherry.teams.schema import json_schema, reference_page

    return {
        root / "schemas" / "team.schema.json": json.dumps(json_schema(), indent=2, sort_keys=True) + "\n",
        root / "docs" / "reference" / "team-file.md": reference_page(),
    }
