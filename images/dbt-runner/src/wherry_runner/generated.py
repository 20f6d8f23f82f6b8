"""Keeps the bytecode of the source that libraries write while they run, as Python keeps that of modules.

dataclasses, mashumaro and dbt's Jinja write Python source and compile it, in every process, and it is the same source
each time. Here that is done once, by `python -m wherry_runner.bake`; a process finds the code by a hash of its source.
So nothing can be stale: another source (a new release of dbt, a project's own macro) is compiled as ever.
"""

from __future__ import annotations

import builtins
import dataclasses
import marshal
import os
import sys
import threading
from collections.abc import Callable
from hashlib import blake2b
from importlib.util import MAGIC_NUMBER
from itertools import count
from pathlib import Path
from types import CodeType
from typing import Any, Final

# Beside the bytecode of modules, by the same rule: one file for each version of Python.
PATH: Final = Path(__file__).parent / "__pycache__" / f"generated.{sys.implementation.cache_tag}.bin"

_known: dict[bytes, bytes] = {}
_made: dict[bytes, bytes] = {}


def read() -> None:
    """Take the code that is kept, if there is any of this very Python."""
    try:
        data = PATH.read_bytes()
    except OSError:
        return
    if data.startswith(MAGIC_NUMBER):
        _known.update(marshal.loads(data[len(MAGIC_NUMBER) :]))  # noqa: S302 - as trusted as the bytecode beside it


def write() -> int:
    """Keep all code that was made by this process, for those to come; return how many pieces that is."""
    PATH.parent.mkdir(exist_ok=True)
    new = PATH.with_suffix(f".{os.getpid()}")
    new.write_bytes(MAGIC_NUMBER + marshal.dumps(dict(sorted(_made.items()))))
    new.replace(PATH)
    return len(_made)


def code(kind: str, source: str, make: Callable[[], CodeType]) -> CodeType:
    """Return what `make` makes of a source; `kind` tells apart ways that make different code of the same source."""
    key = blake2b(f"{kind}\0{source}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
    found = _known.get(key)
    if found is not None:
        kept: CodeType = marshal.loads(found)  # noqa: S302 - as above
        return kept
    made = make()
    _made[key] = marshal.dumps(made)
    return made


def before_import() -> None:
    """Have the code of dataclasses and of mashumaro's methods looked up: they are made while dbt is imported."""
    import mashumaro.core.meta.code.builder

    read()
    # Both call exec() by its name, which is looked up in their module before it is in builtins.
    for module in (dataclasses, mashumaro.core.meta.code.builder):
        setattr(module, "exec", _exec)  # noqa: B010 - a name that the module doesn't declare
    _name_alike()


def after_import() -> None:
    """Have the code of Jinja templates looked up: dbt compiles every macro that a node calls."""
    from dbt_common.clients import jinja

    environment = jinja.MacroFuzzEnvironment
    compile_template: Any = environment.compile

    def compile_known(self: Any, source: Any, name: Any = None, filename: Any = None, *rest: Any, **more: Any) -> Any:
        def make() -> Any:
            return compile_template(self, source, name, filename, *rest, **more)

        plain = isinstance(source, str) and name is filename is None and not (rest or more or jinja.MACRO_DEBUGGING)
        return code(f"jinja {type(self).__qualname__}", source, make) if plain else make()

    setattr(environment, "compile", compile_known)  # noqa: B010 - dbt's own method, replaced


def _name_alike() -> None:
    """Have mashumaro give the same name to the same helper in each process: its own are random, and so its sources.

    A name is made of the contract and method that is being written, and of how many names that took before.
    """
    from mashumaro.core.meta.code.builder import CodeBuilder
    from mashumaro.core.meta.types import common, pack, unpack

    written = threading.local()

    def name() -> str:
        seed, numbers = written.method
        return blake2b(f"{seed} {next(numbers)}".encode(), digest_size=16).hexdigest()

    def naming(write: Callable[[Any], None]) -> Callable[[Any], None]:
        def write_with_names(builder: Any) -> None:
            outer = getattr(written, "method", None)
            seed = f"{write.__name__} {builder.format_name} {builder.cls.__module__}.{builder.cls.__qualname__}"
            written.method = f"{seed} {builder.dialect} {builder.initial_type_args}", count()
            try:
                write(builder)
            finally:
                written.method = outer

        return write_with_names

    for module in (common, pack, unpack):
        setattr(module, "random_hex", name)  # noqa: B010 - as above
    for method in ("add_pack_method", "add_unpack_method"):
        setattr(CodeBuilder, method, naming(getattr(CodeBuilder, method)))


def _exec(source: Any, scope: Any = None, names: Any = None) -> None:
    """Run a source as exec() does in a module without __future__ imports."""
    if isinstance(source, str):
        text = source
        source = code("exec", text, lambda: compile(text, "<string>", "exec", dont_inherit=True))
    builtins.exec(source, scope, names)  # noqa: S102 - what the caller's own exec would do
