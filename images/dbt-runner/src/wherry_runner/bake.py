"""Makes once what every pod would make at its start: `python -m wherry_runner.bake --bundle`, when an image is built.

What a pod has compiled (`generated`), the macros of dbt and its adapters among it; a project's own are left to it.
With --bundle also what it imports and what mashumaro writes for it (`bundle`): for images, where each process is new.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from wherry_runner import bundle, generated

_BLOCKS: Final = {"macro", "materialization", "test", "data_test"}  # as dbt.parser.macros reads a file


def main(argv: Sequence[str] | None = None) -> None:
    """Bake, and say how much."""
    parser = argparse.ArgumentParser(prog="python -m wherry_runner.bake", description=__doc__)
    parser.add_argument("--bundle", action="store_true", help="make the bundle too")
    options = parser.parse_args(argv)
    generated.PATH.unlink(missing_ok=True)  # nothing that isn't used any more is kept
    made = generated.record()
    generated.before_import()  # before most is imported, as in `__main__`
    from wherry_runner.methods import Recorder
    from wherry_runner.ready import get_ready

    recorder = Recorder()
    if options.bundle:
        recorder.begin()
    get_ready()
    compile_macros()
    print(f"{generated.PATH}: {generated.write(made)} pieces of code")
    if options.bundle:
        whole = recorder.whole()
        print(f"{bundle.PATH}: {bundle.write(whole)} modules, {len(whole)} methods")


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
