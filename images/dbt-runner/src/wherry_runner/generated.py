"""Keeps what processes compile while they run, as Python keeps the bytecode of modules.

dataclasses, attrs and dbt's Jinja write Python source and compile it, and regular expressions are compiled, in every
process, and they are the same each time. Here that is done once, by `python -m wherry_runner.bake`; a process finds the
code by a hash of its source and of what compiles it. So another source (a new release of dbt, a project's own macro) is
compiled as ever.
"""

from __future__ import annotations

import builtins
import dataclasses
import marshal
import os
import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType
from typing import Any, Final, TypeVar

# Beside the bytecode of modules, by the same rule: one file for each version of Python.
PATH: Final = Path(__file__).parent / "__pycache__" / f"generated.{sys.implementation.cache_tag}.bin"

_T = TypeVar("_T", CodeType, tuple[Any, ...])
_known: dict[bytes, bytes] = {}
_made: dict[bytes, bytes] | None = None


def read() -> None:
    """Take what is kept, if there is anything of this very Python."""
    try:
        data = PATH.read_bytes()
    except OSError:
        return
    if data.startswith(MAGIC_NUMBER):
        _known.update(marshal.loads(data[len(MAGIC_NUMBER) :]))  # noqa: S302 - as trusted as the bytecode beside it


def record() -> dict[bytes, bytes]:
    """Record what this process makes from now on; returns what will be filled."""
    global _made  # noqa: PLW0603 - a pod records nothing
    _made = {}
    return _made


def write(made: Mapping[bytes, bytes]) -> int:
    """Keep what was recorded, for processes to come; return how many pieces that is."""
    PATH.parent.mkdir(exist_ok=True)
    new = PATH.with_suffix(f".{os.getpid()}")
    new.write_bytes(MAGIC_NUMBER + marshal.dumps(dict(sorted(made.items()))))
    new.replace(PATH)
    return len(made)


def kept(kind: str, source: str, make: Callable[[], _T]) -> _T:
    """Return what `make` makes of a source: code, or what code is made of.

    `kind` tells apart ways that make different things of the same source.
    """
    key = blake2b(f"{kind}\0{source}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
    found = _known.get(key)
    if found is not None:
        known: _T = marshal.loads(found)  # noqa: S302 - as above
        return known
    made = make()
    if _made is not None:
        _made[key] = marshal.dumps(made)
    return made


@cache
def before_import() -> None:
    """Have the code of dataclasses, attrs and regular expressions looked up: they are made while dbt is imported."""
    read()
    _look_up_patterns()
    import attr._make

    # They call these by their names, which are looked up in their module before they are in builtins.
    setattr(dataclasses, "exec", _exec)  # noqa: B010 - a name that the module doesn't declare
    setattr(attr._make, "compile", _compile)  # noqa: B010 - as above


def _look_up_patterns() -> None:
    compiler: Any = vars(re)["_compiler"]
    compile_pattern = compiler.compile

    def compile_known(pattern: Any, flags: int = 0) -> Any:
        if not isinstance(pattern, str | bytes) or flags & re.DEBUG:
            return compile_pattern(pattern, flags)
        kind = f"re {compiler.MAGIC} {type(pattern).__name__} {int(flags)}"
        text = pattern if isinstance(pattern, str) else pattern.hex()
        return compiler._sre.compile(pattern, *kept(kind, text, lambda: _program(compiler, pattern, flags)))

    compiler.compile = compile_known


def after_import() -> None:
    """Have the code of Jinja templates looked up: dbt compiles every macro that a node calls."""
    import jinja2
    from dbt_common.clients import jinja

    environment = jinja.MacroFuzzEnvironment
    compiler = f"jinja {jinja2.__version__} {version('dbt-common')}"
    compile_template: Any = environment.compile

    def compile_known(self: Any, source: Any, name: Any = None, filename: Any = None, *rest: Any, **more: Any) -> Any:
        def make() -> Any:
            return compile_template(self, source, name, filename, *rest, **more)

        plain = isinstance(source, str) and name is filename is None and not (rest or more or jinja.MACRO_DEBUGGING)
        return kept(f"{compiler} {type(self).__qualname__}", source, make) if plain else make()

    setattr(environment, "compile", compile_known)  # noqa: B010 - dbt's own method, replaced


def _exec(source: Any, scope: Any = None, names: Any = None) -> None:
    """Run a source as exec() does in a module without __future__ imports."""
    if isinstance(source, str):
        text = source
        source = kept("exec", text, lambda: compile(text, "<string>", "exec", dont_inherit=True))
    builtins.exec(source, scope, names)  # noqa: S102 - what the caller's own exec would do


def _compile(source: str, file: str, mode: str) -> CodeType:
    """Compile a source as compile() does in a module without __future__ imports."""

    def make() -> CodeType:
        made: CodeType = compile(source, file, mode, dont_inherit=True)
        return made

    return kept(f"compile {mode} {file}", source, make)


def _program(compiler: Any, pattern: str | bytes, flags: int) -> tuple[Any, ...]:
    """Return what Python's compiler gives its engine for a pattern: flags, code, and the groups by name and number."""
    parsed = compiler._parser.parse(pattern, flags)
    state = parsed.state
    numbers: dict[str, int] = state.groupdict
    names = {number: name for name, number in numbers.items()}
    code = [int(word) for word in compiler._code(parsed, flags)]
    groups = range(state.groups)
    return int(flags | state.flags), code, state.groups - 1, numbers, tuple(names.get(number) for number in groups)
