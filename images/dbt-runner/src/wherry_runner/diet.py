"""Spares dbt's start what one node's pod never uses; each saving is its own function, measured in the README.

Every one keeps what dbt does: same answers, found without work that only a long-lived or developing dbt needs.
The tests hold dbt to the shapes that these functions rely on, so that an upgrade which changes them is noticed.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

from wherry_runner import bundle, generated, later


@cache
def before_import() -> None:
    """Apply what must be in place before dbt is imported."""
    later.before_import()
    generated.before_import()
    if found := bundle.used():
        from wherry_runner import methods

        methods.take(found)
    _make_methods_when_they_are_called()
    _leave_signatures_out_of_docstrings()
    _look_for_no_other_graphs()
    _know_how_americans_write_numbers()
    _lock_without_a_tracker_process()
    # Else each login of Snowflake's asks the metadata servers of three clouds where it is: 0.2 s where none answers.
    os.environ.setdefault("SNOWFLAKE_DISABLE_PLATFORM_DETECTION", "true")


@cache
def after_import() -> None:
    """Apply what changes dbt's modules, once they are imported."""
    generated.after_import()
    later.after_import()
    _render_plain_text_without_a_template()
    _name_flag_sources_without_reading_files()


def use_schemas(schemas: Mapping[str, dict[str, Any]]) -> None:
    """Let dbt validate its contracts with JSON schemas that the release holds; others are still built. 0.2 s."""
    from dbt_common.dataclass_schema import dbtClassMixin

    built = dbtClassMixin.__dict__["json_schema"]

    def json_schema(cls: type) -> Any:
        found = schemas.get(schema_name(cls))
        return built.__get__(None, cls)() if found is None else found

    setattr(dbtClassMixin, "json_schema", classmethod(json_schema))  # noqa: B010 - dbt's own method, replaced


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON schemas of the contracts that dbt validates in every run."""
    from dbt.adapters.factory import FACTORY
    from dbt.artifacts.resources.v1.config import Hook
    from dbt.contracts.project import Configuration, PackageConfig, ProfileConfig, Project, ProjectFlags
    from dbt.contracts.selection import SelectorFile
    from dbt.task.test import TestResultData

    common = (Configuration, PackageConfig, ProfileConfig, Project, ProjectFlags, SelectorFile, Hook, TestResultData)
    found: tuple[Any, ...] = (*common, *(plugin.credentials for plugin in FACTORY.plugins.values()))
    return {schema_name(contract): contract.json_schema() for contract in found}


def schema_name(contract: type) -> str:
    """Return the name under which a contract's schema is stored."""
    return f"{contract.__module__}.{contract.__qualname__}"


class _MadeWhenCalled:
    """A method of a contract, in its class' namespace until it is looked at: then mashumaro's own takes its place."""

    def __init__(self, name: str, contract: type, make: Callable[[], None]) -> None:
        self._name, self._contract, self._make = name, contract, make

    def __get__(self, instance: Any, owner: type) -> Any:
        self._make()
        made = self._contract.__dict__[self._name]
        if made is self:
            raise TypeError(f"mashumaro made no {self._name} for {self._contract}")
        return made.__get__(instance, owner)  # not looked up again: it may be a super() that asks


def _make_methods_when_they_are_called() -> None:
    """Call mashumaro for a contract's methods when one is looked at: 300 contracts have eight, a node uses some 20.

    It writes them (`lazy_compilation`) as stubs that write the real one when called, and each stub is itself compiled.
    """
    from mashumaro.mixins import dict as mixin

    def later(verb: str, make: Callable[..., None]) -> Callable[..., None]:
        def make_later(cls: Any, format_name: str = "dict", **parameters: Any) -> None:
            for name in (f"{verb}_{format_name}", f"__mashumaro_{verb}_{format_name}__"):
                setattr(cls, name, _MadeWhenCalled(name, cls, partial(make, cls, format_name, **parameters)))

        return make_later

    for verb, name in (("from", "compile_mixin_unpacker"), ("to", "compile_mixin_packer")):
        setattr(mixin, name, later(verb, getattr(mixin, name)))


def _leave_signatures_out_of_docstrings() -> None:
    """Give dataclasses without a docstring their name as one: dataclasses works out a signature for each of 450."""
    own = SimpleNamespace(**vars(inspect) | {"signature": lambda _contract: ""})
    setattr(dataclasses, "inspect", own)  # noqa: B010 - Python's own name, replaced


def _look_for_no_other_graphs() -> None:
    """Have networkx find no packages that compute for it: it reads the metadata of all packages, twice."""
    find = importlib.metadata.entry_points

    def entry_points(**chosen: Any) -> Any:
        foreign = str(chosen.get("group", "")).startswith("networkx.")
        return importlib.metadata.EntryPoints() if foreign else find(**chosen)

    setattr(importlib.metadata, "entry_points", entry_points)  # noqa: B010 - as above


def _know_how_americans_write_numbers() -> None:
    """Tell agate the one thing that it asks Babel: 40 ms of reading what is known of the language and its calendars."""
    from agate.data_types import number

    known = {"en_US": SimpleNamespace(number_symbols={"latn": {"group": ",", "decimal": "."}})}
    locale: Any = number.Locale
    parse = locale.parse
    own = SimpleNamespace(parse=lambda name: known.get(name) or parse(name))
    setattr(number, "Locale", own)  # noqa: B010 - agate's own name, replaced


def _lock_without_a_tracker_process() -> None:
    """Make dbt's locks in the "fork" context: in "spawn", Python starts a process that tracks them. dbt starts none."""
    import dbt.mp_context

    setattr(dbt.mp_context, "_MP_CONTEXT", multiprocessing.get_context("fork"))  # noqa: B010 - another context's type


class _PlainText(dict[str, Any]):
    """What dbt keeps of texts without Jinja in YAML files once they were rendered: they are what they were."""

    def __contains__(self, text: object) -> bool:
        # Jinja drops a last line's end, and makes all ends alike.
        return super().__contains__(text) or not ("\n" in str(text) or "\r" in str(text))

    def __missing__(self, text: str) -> str:
        return text


def _render_plain_text_without_a_template() -> None:
    """Don't have Jinja compile each folder's and database's name in dbt_project.yml and profiles.yml: 1 ms each."""
    from dbt.clients import jinja

    setattr(jinja, "_render_cache", _PlainText())  # noqa: B010 - dbt's own name, replaced


def _name_flag_sources_without_reading_files() -> None:
    """Find the module that made a behavior flag by its frame; inspect.stack() reads each caller's file: 0.1 s."""
    from dbt_common.behavior_flags import BehaviorFlagRendered

    setattr(BehaviorFlagRendered, "_default_source", staticmethod(_calling_module))  # noqa: B010 - as above


def _calling_module() -> str:
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals["__name__"] == "dbt_common.behavior_flags":
        frame = frame.f_back
    return str(frame.f_globals["__name__"])
