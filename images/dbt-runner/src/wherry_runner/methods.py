"""Takes the methods that mashumaro writes for dbt's contracts from the image's bundle; records them when it is made.

To write one it looks through a contract's fields and their types, which costs ten times what running its text costs.
What comes of it is pieces of code, the names that they use, and attributes of the contract: methods of the strategies
by which its configuration reads and writes a type. Kept are the plain methods of contracts that their names lead to, if
the names in their code are those of modules, or of what such names lead to.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib import import_module
from itertools import count
from operator import attrgetter
from types import CodeType, ModuleType
from typing import Any, Final

from wherry_runner.bundle import Bundle, Name, Strategy

_VERBS: Final = ("add_pack_method", "add_unpack_method")


@dataclass
class Written:
    """What came of writing one method."""

    key: str
    numbers: Iterator[int] = field(default_factory=count)
    names: tuple[Name | None, ...] = ()
    strategies: list[Strategy | None] = field(default_factory=list)
    codes: list[CodeType] = field(default_factory=list)

    def whole(self) -> tuple[list[Name], list[Strategy], list[CodeType]] | None:
        """Return what it is made of, if that is all there is to it."""
        names, strategies = list(filter(None, self.names)), list(filter(None, self.strategies))
        lacks = len(names) < len(self.names) or len(strategies) < len(self.strategies)
        return None if lacks else (names, strategies, self.codes)


def take(bundle: Bundle) -> None:
    """Have mashumaro's methods taken from the bundle, those that it has."""
    from mashumaro.core.meta.code.builder import CodeBuilder

    def taking(write: Callable[[Any], None]) -> Callable[[Any], None]:
        def take_or_write(builder: Any) -> None:
            found = bundle.methods.get(_key(write.__name__, builder)) if bundle.unchanged else None
            if found is None:
                write(builder)
                return
            names, strategies, places = found
            builder.reset()
            builder.globals.update({name: _follow(module, path) for name, module, path in names})
            for (attribute, module, path), verb in strategies:
                strategy = builder.get_config().serialization_strategy[_follow(module, path)]
                setattr(builder.attrs, attribute, getattr(strategy, verb))
            for place in places:
                exec(bundle.code(place), builder.globals, vars(builder))  # noqa: S102 - as mashumaro does

        return take_or_write

    for verb in _VERBS:
        setattr(CodeBuilder, verb, taking(getattr(CodeBuilder, verb)))


class Recorder:
    """Records the plain methods that mashumaro writes."""

    def __init__(self) -> None:
        self._done: dict[str, Written] = {}
        self._nested: list[str] = []
        self._writing: list[tuple[Any, Written]] = []

    def whole(self) -> dict[str, tuple[list[Name], list[Strategy], list[CodeType]]]:
        """Return what was recorded as a whole, by its key.

        Raises RuntimeError where a method was written on the way to another, as mashumaro does for types that aren't
        dbt's own contracts: dbt 1.11 has none, and who takes the other would lack it.
        """
        if self._nested:
            raise RuntimeError(f"mashumaro wrote methods on the way to others: {', '.join(self._nested)}")
        return {key: method for key, written in self._done.items() if (method := written.whole())}

    def begin(self) -> None:
        """Record from now on."""
        from mashumaro.core.meta.code import builder
        from mashumaro.core.meta.types import common, pack, unpack

        # They call these by their names, which are looked up in their module before they are in builtins.
        for module in (builder, common, pack, unpack):
            vars(module)["exec"] = self._exec
        for module in (pack, unpack):
            vars(module)["setattr"] = self._setattr
        for module in (common, pack, unpack):
            vars(module)["random_hex"] = self._helper
        for verb in _VERBS:
            setattr(builder.CodeBuilder, verb, self._recording(getattr(builder.CodeBuilder, verb), vars(builder)))

    def _recording(self, write: Callable[[Any], None], always: Mapping[str, Any]) -> Callable[[Any], None]:
        """Wrap what writes a method; `always`: what all methods' names stand for."""

        def write_and_record(builder: Any) -> None:
            if self._writing:
                self._nested.append(str(builder.cls))
            written = Written(_key(write.__name__, builder))
            self._writing.append((builder, written))
            try:
                write(builder)
            finally:
                self._writing.pop()
            new = {name: thing for name, thing in builder.globals.items() if always.get(name) is not thing}
            written.names = tuple(_place(name, thing) for name, thing in new.items() if name != "__builtins__")
            if written.key:
                self._done[written.key] = written

        return write_and_record

    def _exec(self, source: str, scope: dict[str, Any], names: dict[str, Any]) -> None:
        code = compile(source, "<string>", "exec", dont_inherit=True)
        for builder, written in self._writing:
            if vars(builder) is names:
                written.codes.append(code)
        builtins.exec(code, scope, names)  # noqa: S102 - as above

    def _setattr(self, contract: type, attribute: str, method: Any) -> None:
        setattr(contract, attribute, method)
        builder, written = self._writing[-1]
        written.strategies.append(_strategy(builder, attribute, method))

    def _helper(self) -> str:
        """Name a helper the same each time that an image is built: mashumaro's own names are random."""
        _, written = self._writing[-1]
        return blake2b(f"{written.key} {next(written.numbers)}".encode(), digest_size=16).hexdigest()


def _key(verb: str, builder: Any) -> str:
    """Return what tells a contract's plain method from others, or "" for another kind."""
    special = (builder.initial_type_args, builder.dialect, builder.default_dialect, builder.decoder, builder.encoder)
    where = _place("", builder.cls)
    if any(special) or not builder.is_nailed or where is None:
        return ""
    return f"{verb} {where[1]} {where[2]} {builder.format_name} {builder.allow_postponed_evaluation}"


def _place(name: str, thing: Any) -> Name | None:
    """Return a name with the module and the path within it that lead to what it stands for, if they do."""
    if isinstance(thing, ModuleType):
        return name, thing.__name__, ""
    module: Any = getattr(thing, "__module__", None)
    path: Any = getattr(thing, "__qualname__", None)
    try:
        return (name, module, path) if attrgetter(path)(sys.modules[module]) is thing else None
    except (AttributeError, KeyError, TypeError):
        return None


def _strategy(builder: Any, attribute: str, method: Any) -> Strategy | None:
    """Return an attribute with the type whose strategy it is a method of, by the contract's configuration."""
    bound = method.__func__ if isinstance(method, staticmethod) else method
    for kind, strategy in builder.get_config().serialization_strategy.items():
        if strategy is getattr(bound, "__self__", None) and (name := _place(attribute, kind)):
            return name, bound.__name__
    return None


def _follow(module: str, path: str) -> Any:
    found = import_module(module)
    return attrgetter(path)(found) if path else found
