"""Spares dbt's start what one node's pod never uses; each saving is its own function, measured in the README.

Every one keeps what dbt does: same answers, found without work that only a long-lived or developing dbt needs.
The tests hold dbt to the shapes that these functions rely on, so that an upgrade which changes them is noticed.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

_LAZY_PACKAGE: Final = "mashumaro.jsonschema"


def before_import() -> None:
    """Apply what must be in place before dbt is imported."""
    _build_schemas_lazily()
    _lock_without_a_tracker_process()


def after_import() -> None:
    """Apply what changes dbt's modules, once they are imported."""
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


def _build_schemas_lazily() -> None:
    """Import mashumaro's schema builder when a schema is built, not when dbt is imported: 0.2 s.

    Its submodules (annotations, dialects) import as ever; only the package's own module is put in its place.
    """
    spec = importlib.util.find_spec(_LAZY_PACKAGE)
    if _LAZY_PACKAGE in sys.modules or spec is None or spec.submodule_search_locations is None:
        return

    def build_json_schema(*args: Any, **kwargs: Any) -> Any:
        from mashumaro.jsonschema.builder import build_json_schema

        return build_json_schema(*args, **kwargs)

    package = ModuleType(_LAZY_PACKAGE)
    package.__spec__ = spec
    package.__path__ = list(spec.submodule_search_locations)
    package.build_json_schema = build_json_schema  # type: ignore[attr-defined]
    sys.modules[_LAZY_PACKAGE] = package


def _lock_without_a_tracker_process() -> None:
    """Make dbt's locks in the "fork" context: in "spawn", Python starts a process that tracks them. dbt starts none."""
    import dbt.mp_context

    setattr(dbt.mp_context, "_MP_CONTEXT", multiprocessing.get_context("fork"))  # noqa: B010 - another context's type


def _name_flag_sources_without_reading_files() -> None:
    """Find the module that made a behavior flag by its frame; inspect.stack() reads each caller's file: 0.1 s."""
    from dbt_common.behavior_flags import BehaviorFlagRendered

    setattr(BehaviorFlagRendered, "_default_source", staticmethod(_calling_module))  # noqa: B010 - as above


def _calling_module() -> str:
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals["__name__"] == "dbt_common.behavior_flags":
        frame = frame.f_back
    return str(frame.f_globals["__name__"])
