"""Does before a node is known what every pod does at its start: imports, and compiling how dbt's contracts are read.

Mashumaro writes and compiles the code of each contract's methods when it is first called, which is a third of a node's
CPU time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, get_args, get_type_hints

from wherry_runner import diet, later

_VERBS: Final = ("build", "freshness", "run", "seed", "snapshot", "test")
_IMPORTED_LATE: Final = ("dbt.parser.sql", "dbt_common.clients.agate_helper", "opentelemetry.trace")
_ADAPTERS: Final = ("postgres", "snowflake")


def get_ready(adapters: Iterable[str] = _ADAPTERS) -> None:
    """Do all of it, for warehouses of these kinds as far as their adapters are installed."""
    packages = [name for name in (f"dbt.adapters.{adapter}" for adapter in adapters) if find_spec(name)]
    _import(packages)
    for contract in _contracts(packages):
        _compile_methods(contract)


def _import(adapters: Iterable[str]) -> None:
    """Import what a run imports, by the way as well."""
    diet.before_import()
    modules = ("dbt.cli.main", "wherry_runner.invoke", "wherry_runner.main", *_IMPORTED_LATE)
    for module in (*modules, *(f"dbt.task.{verb}" for verb in _VERBS), *adapters, *later.ALGORITHMS.values()):
        import_module(module)
    diet.after_import()
    lexer: Any = import_module("sqlparse.lexer").Lexer
    lexer.get_default_instance()  # dbt has its patterns compiled in each run


def _contracts(adapters: Iterable[str]) -> set[type]:
    """Return the contracts that a run of one node reads or writes, with all that they are made of."""
    from dbt.adapters.base.relation import InformationSchema
    from dbt.adapters.contracts.connection import AdapterResponse, QueryComment
    from dbt.artifacts.schemas.results import TimingInfo
    from dbt.artifacts.schemas.run import RunResult
    from dbt.contracts.graph import nodes
    from dbt.contracts.project import PackageConfig, Project, ProjectFlags
    from dbt.contracts.selection import SelectorFile
    from dbt.task.test import TestResultData
    from dbt_common.helper_types import WarnErrorOptionsV2

    kinds = ("Model", "Seed", "Snapshot", "GenericTest", "SingularTest", "Hook", "UnitTest")
    roots: list[Any] = [*(getattr(nodes, f"{kind}Node") for kind in kinds)]
    roots += [nodes.SourceDefinition, nodes.UnitTestDefinition, nodes.Macro, nodes.Group, RunResult, TimingInfo]
    roots += [InformationSchema, TestResultData]
    roots += [PackageConfig, Project, ProjectFlags, SelectorFile, AdapterResponse, QueryComment, WarnErrorOptionsV2]
    for adapter in adapters:
        plugin: Any = import_module(adapter).Plugin
        roots += [plugin.credentials, plugin.adapter.Relation]
    found: set[type] = set()
    while roots:
        contract = roots.pop()
        if contract not in found:
            found.add(contract)
            roots += _parts(contract)
    return found


def _parts(contract: Any) -> Iterator[Any]:
    """Yield the contracts among the types of a contract's fields."""
    with suppress(NameError, TypeError):  # a type that is known to type checkers only
        types = list(get_type_hints(contract).values())
        while types:
            found = types.pop()
            types += get_args(found)
            if dataclasses.is_dataclass(found) and hasattr(found, "from_dict"):
                yield found


def _compile_methods(contract: Any) -> None:
    """Have a contract's methods compiled: they are when they are first called, even with what they can't take."""
    with suppress(Exception):
        contract.from_dict({})
    with suppress(Exception):
        contract.to_dict(object.__new__(contract))
