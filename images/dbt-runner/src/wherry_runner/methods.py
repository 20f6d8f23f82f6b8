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
    """What came of writing one method; `alone` unless another was written on the way, which taking it would not."""

    key: str
    numbers: Iterator[int] = field(default_factory=count)
    names: tuple[Name | None, ...] = ()
    strategies: list[Strategy | None] = field(default_factory=list)
    codes: list[CodeType] = field(default_factory=list)
    alone: bool = True

    def whole(self) -> tuple[list[Name], list[Strategy], list[CodeType]] | None:
        """Return what it is made of, if that is all there is to it."""
        names, strategies = list(filter(None, self.names)), list(filter(None, self.strategies))
        lacks = len(names) < len(self.names) or len(strategies) < len(self.strategies)
        return (names, strategies, self.codes) if self.alone and not lacks else None


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


def record() -> Mapping[str, Written]:
    """Record the plain methods that mashumaro writes from now on, by their keys; returns what will be filled."""
    from mashumaro.core.meta.code import builder as home
    from mashumaro.core.meta.types import common, pack, unpack

    done: dict[str, Written] = {}
    writing: list[tuple[Any, Written]] = []

    def run(source: str, scope: dict[str, Any], names: dict[str, Any]) -> None:
        code = compile(source, "<string>", "exec", dont_inherit=True)
        for builder, written in writing:
            if vars(builder) is names:
                written.codes.append(code)
        builtins.exec(code, scope, names)  # noqa: S102 - as above

    def set_attribute(contract: type, attribute: str, method: Any) -> None:
        setattr(contract, attribute, method)
        builder, written = writing[-1]
        written.strategies.append(_strategy(builder, attribute, method))

    def name() -> str:
        """Name a helper the same each time that an image is built: mashumaro's own names are random."""
        _, written = writing[-1]
        return blake2b(f"{written.key} {next(written.numbers)}".encode(), digest_size=16).hexdigest()

    def recording(write: Callable[[Any], None]) -> Callable[[Any], None]:
        def write_and_record(builder: Any) -> None:
            for _, outer in writing:
                outer.alone = False
            written = Written(_key(write.__name__, builder))
            writing.append((builder, written))
            try:
                write(builder)
            finally:
                writing.pop()
            new = {name: thing for name, thing in builder.globals.items() if vars(home).get(name) is not thing}
            written.names = tuple(_name(name, thing) for name, thing in new.items() if name != "__builtins__")
            if written.key:
                done[written.key] = written

        return write_and_record

    # They call these by their names, which are looked up in their module before they are in builtins.
    for module in (home, common, pack, unpack):
        setattr(module, "exec", run)  # noqa: B010 - a name that the module doesn't declare
    for module in (pack, unpack):
        setattr(module, "setattr", set_attribute)  # noqa: B010 - as above
    for module in (common, pack, unpack):
        setattr(module, "random_hex", name)  # noqa: B010 - mashumaro's own, replaced
    for verb in _VERBS:
        setattr(home.CodeBuilder, verb, recording(getattr(home.CodeBuilder, verb)))
    return done


def _key(verb: str, builder: Any) -> str:
    """Return what tells a contract's plain method from others, or "" for another kind."""
    special = (builder.initial_type_args, builder.dialect, builder.default_dialect, builder.decoder, builder.encoder)
    where = _name("", builder.cls)
    if any(special) or not builder.is_nailed or where is None:
        return ""
    return f"{verb} {where[1]} {where[2]} {builder.format_name} {builder.allow_postponed_evaluation}"


def _name(name: str, thing: Any) -> Name | None:
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
        if strategy is getattr(bound, "__self__", None) and (name := _name(attribute, kind)):
            return name, bound.__name__
    return None


def _follow(module: str, path: str) -> Any:
    found = import_module(module)
    return attrgetter(path)(found) if path else found
