"""Keeps in one file what an image's processes import: `python -m wherry_runner.bake --bundle`, when the image is built.

To find a module Python looks into folder after folder, opens, reads and checks a file of bytecode, a thousand times.
Here that is a look into a table. A module is taken if its source has the size and the time that it had, Python's
default rule for bytecode; any other is found as ever, so a package that is installed later costs time only. Who sets
the times of files bakes again. Methods that mashumaro wrote are kept too (`methods`), for as long as no module that was
asked for has changed.

The file: the head's length (8 bytes), the head, the pieces of code that it names. It is mapped into memory, which the
pods of one node share.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import MAGIC_NUMBER
from types import CodeType, ModuleType
from typing import Final

PATH: Final = os.path.join(os.path.dirname(__file__), "__pycache__", f"bundle.{sys.implementation.cache_tag}.bin")

_Place = tuple[int, int]  # offset and length of a piece of code
Name = tuple[str, str, str]  # a name in a method's code, with the module and the path within it of what it stands for
Strategy = tuple[Name, str]  # an attribute with the type whose strategy it is a method of, and which
Method = tuple[tuple[Name, ...], tuple[Strategy, ...], tuple[_Place, ...]]
_Entry = tuple[str, bool, int, int, _Place]  # origin, whether it is a package, size and time of the source, its code


class Bundle:
    """What a file holds; finds modules, as one of sys.meta_path."""

    def __init__(self, modules: Mapping[str, _Entry], methods: Mapping[str, Method], pieces: memoryview) -> None:
        self.methods = methods
        self._modules = modules
        self._pieces = pieces
        self.unchanged = True  # none of the modules that were asked for is another than it was

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module that is what it was."""
        entry = self._modules.get(name)
        if entry is None:
            return None
        origin, is_package, size, changed, place = entry
        if _stat(origin) != (size, changed):
            self.unchanged = False
            return None
        spec = ModuleSpec(name, _Loader(name, origin, self, place), origin=origin, is_package=is_package)
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(os.path.dirname(origin))
        return spec

    def code(self, place: _Place) -> CodeType:
        """Return a piece of code."""
        offset, length = place
        found: CodeType = marshal.loads(self._pieces[offset : offset + length])  # noqa: S302 - as trusted as bytecode
        return found


class _Loader(SourceFileLoader):
    """Loads a module as from its file, but for its code."""

    def __init__(self, name: str, path: str, bundle: Bundle, place: _Place) -> None:
        super().__init__(name, path)
        self._bundle, self._place = bundle, place

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code that was kept."""
        return self._bundle.code(self._place) if fullname == self.name else super().get_code(fullname)


def write(methods: Mapping[str, tuple[Sequence[Name], Sequence[Strategy], Sequence[CodeType]]]) -> int:
    """Keep the modules that this process has imported, and these methods; return how many modules that is."""
    pieces = bytearray()

    def put(piece: bytes) -> _Place:
        pieces.extend(piece)
        return len(pieces) - len(piece), len(piece)

    modules = {
        name: (origin, is_package, *_stat(origin), put(marshal.dumps(code)))
        for name, origin, is_package, code in _imported()
    }
    # Version 2 knows no references: in code that was compiled here, unlike that of files, there are some wherever the
    # process holds a name elsewhere, and no image would be like another.
    kept = {
        key: (tuple(names), tuple(strategies), tuple(put(marshal.dumps(code, 2)) for code in codes))
        for key, (names, strategies, codes) in sorted(methods.items())
    }
    head = marshal.dumps((MAGIC_NUMBER, _search_path(), modules, kept))
    new = f"{PATH}.{os.getpid()}"
    with open(new, "wb") as file:
        file.write(len(head).to_bytes(8, "little") + head + pieces)
    os.replace(new, PATH)
    return len(modules)


def use() -> None:
    """Import from the file from now on, if there is one of this very Python and of these folders."""
    import mmap

    try:
        with open(PATH, "rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        start = 8 + int.from_bytes(data[:8], "little")
        magic, path, modules, methods = marshal.loads(data[8:start])  # noqa: S302 - as above
    except (OSError, ValueError, EOFError, TypeError):  # there is none, or another Python's
        return
    if magic == MAGIC_NUMBER and path == _search_path():
        sys.meta_path.insert(0, Bundle(modules, methods, data[start:]))


def used() -> Bundle | None:
    """Return the bundle that this process imports from."""
    return next((finder for finder in sys.meta_path if isinstance(finder, Bundle)), None)


def _imported() -> Iterator[tuple[str, str, bool, CodeType]]:
    """Yield the modules that came from a file of source, by name: its path, whether it is a package, its code."""
    for name, module in sorted(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if spec and spec.name == name and type(spec.loader) is SourceFileLoader and spec.origin:
            code = spec.loader.get_code(name)
            if code:
                yield name, spec.origin, spec.submodule_search_locations is not None, code


def _stat(origin: str) -> tuple[int, int]:
    """Return the size of a file and the second in which it was changed, as bytecode is checked; no file has -1."""
    try:
        found = os.stat(origin)
    except OSError:
        return -1, -1
    return found.st_size, int(found.st_mtime)


def _search_path() -> tuple[str, ...]:
    """Return where modules are looked for, but for the folder of the program itself."""
    return tuple(sys.path[1:])
