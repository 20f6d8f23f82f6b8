"""Compiles once what every pod would compile at its start: `python -m wherry_runner.bake`, when an image is built.

What a pod imports and has compiled, and the macros of dbt and its adapters. A project's own are left to its pods.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from wherry_runner import generated
from wherry_runner.ready import get_ready

_BLOCKS: Final = {"macro", "materialization", "test", "data_test"}  # as dbt.parser.macros reads a file


def main() -> None:
    """Bake, and say how much."""
    generated.PATH.unlink(missing_ok=True)  # nothing that isn't used any more is kept
    get_ready()
    compile_macros()
    print(f"{generated.PATH}: {generated.write()} pieces of code")


def compile_macros() -> None:
    """Compile the macros and tests that come with dbt and its adapters, as the text that dbt's manifest has of each."""
    import dbt.include  # a namespace package: dbt's own project and each adapter's
    from dbt_common.clients.jinja import extract_toplevel_blocks, get_environment

    text, native = get_environment(), get_environment(native=True)
    for folder in dbt.include.__path__:
        for file in sorted(Path(folder).rglob("*.sql")):
            if {"macros", "tests"} & set(file.parts):
                source = file.read_text().strip()  # as dbt reads it
                for block in extract_toplevel_blocks(source, allowed_blocks=_BLOCKS, collect_raw_data=False):
                    text.compile(getattr(block, "full_block"))  # noqa: B009 - BlockData has none, a BlockTag has
    for test in ("accepted_values", "not_null", "relationships", "unique"):
        text.compile(f"{{{{ test_{test}(**_dbt_generic_test_kwargs) }}}}")
    for value in ("env_var('DBT_ENV_SECRET_PASSWORD')", "env_var('WHERRY_QUERY_TAG', '')"):
        native.compile(f"{{{{ {value} }}}}")


if __name__ == "__main__":
    main()
