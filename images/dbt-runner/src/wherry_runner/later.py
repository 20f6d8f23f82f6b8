"""Modules that dbt imports at its start and one node seldom uses: they are loaded when they are first used.

One table says which. A module in it is imported as a stand-in; any look at it loads the real one, from then on the
stand-in passes on whatever it is asked for. `from module import name` is a look as well, so the table also says which
classes and functions dbt takes by name: for those it gets a stand-in too, that may be called, subclassed, asked
isinstance(), or written into an annotation. Only the last doesn't load the module.

So a line that an upgrade makes wrong costs time (its module is loaded after all), and no line changes what happens.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final, Union

# networkx takes all that is in these by `import *`: 260 modules of algorithms.
_GRAPHS: Final = tuple(f"networkx.{name}" for name in ("algorithms", "drawing", "generators", "linalg", "readwrite"))
MODULES: Final[Mapping[str, Sequence[str]]] = {
    # dbt's parsers, and with them 60 modules of metrics as pydantic models: a slice is not parsed.
    "dbt.parser.manifest": ("parse_manifest", "process_node", "write_manifest"),
    "dbt.parser.sql": ("SqlBlockParser",),
    "dbt.parser.unit_tests": ("UnitTestManifestLoader",),
    # For semantic models: dbt's contracts name their types.
    "dbt_semantic_interfaces.pretty_print": ("pformat_big_objects",),
    "dsi_pydantic_shim": ("BaseModel", "create_model"),
    # Builds JSON schemas of dbt's contracts: a release holds them (`diet.use_schemas`).
    "mashumaro.jsonschema.builder": ("JSONSchemaBuilder", "JSONSchemaDefinitions", "build_json_schema"),
    # To send usage statistics, look for newer versions, fetch packages. snowplow_tracker writes annotations with it.
    "requests": ("Session", "get", "post"),
    # Uploads artifacts to dbt Cloud.
    "dbt.utils.artifact_upload": ("add_artifact_produced", "upload_artifacts"),
    # Shows by how much a unit test's rows differ.
    "daff": ("TableDiff",),
    # Draws the charts of agate's tables; tests them.
    "agate.testcase": ("AgateTestCase",),
    "leather": (),
    # requests' own copy within the connector of Snowflake asks for it, and then for its own copy.
    "urllib3": (),
    # Snowflake's passwords in a desktop's key ring, tests of the network.
    "keyring": (),
    "snowflake.connector.connection_diagnostic": ("ConnectionDiagnostic",),
    "snowflake.connector.tool.probe_connection": ("probe_connection",),
    **dict.fromkeys(_GRAPHS, ()),
    # The locks of Snowflake's caches, for asyncio.
    "filelock._async_read_write": ("AsyncAcquireReadWriteReturnProxy", "AsyncReadWriteLock"),
    "filelock._soft_rw._async": ("AsyncAcquireSoftReadWriteReturnProxy", "AsyncSoftReadWriteLock"),
    "filelock.asyncio": (
        *("AsyncAcquireReturnProxy", "AsyncSoftFileLease", "AsyncSoftFileLock", "AsyncStrictSoftFileLock"),
        *("AsyncUnixFileLock", "AsyncWindowsFileLock", "BaseAsyncFileLock"),
    ),
    # Tokens of Snowflake's key pair.
    "jwt": (),
}

# What dbt uses of them.
ALGORITHMS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("bfs_edges", "edge_bfs", "edge_dfs", "traversal"), "networkx.algorithms.traversal"),
    "connected_components": "networkx.algorithms.components.connected",
    "descendants": "networkx.algorithms.dag",
    "empty_graph": "networkx.generators.classic",
    "find_cycle": "networkx.algorithms.cycles",
}
# What the import system looks at before it sets it: no sign of use.
_SET_BY_IMPORT: Final = {"__cached__", "__file__", "__loader__", "__package__", "__path__", "__spec__"}
# What typing looks at in an annotation; the table's classes are no generic ones.
_ASKED_BY_TYPING: Final = {"__args__", "__origin__", "__parameters__", "__unpacked__"}
_lock: Final = threading.Lock()
_used: Final[set[str]] = set()


def before_import() -> None:
    """Have the table's modules loaded when they are used."""
    sys.meta_path.insert(0, _Finder())


def after_import() -> None:
    """Have networkx find what it didn't take."""
    networkx: Any = importlib.import_module("networkx")
    refuse = networkx.__getattr__

    def find(name: str) -> Any:
        if name in ALGORITHMS:
            module = importlib.import_module(ALGORITHMS[name])
            return module if name == "traversal" else getattr(module, name)
        for package in map(_real, _GRAPHS):
            names = getattr(package, "__all__", None) or [each for each in vars(package) if each[0] != "_"]
            vars(networkx).update({each: getattr(package, each) for each in names})
        if name in vars(networkx):
            return vars(networkx)[name]
        return refuse(name)

    networkx.__getattr__ = find


def stands_in(name: str) -> bool:
    """Return whether a module was imported and isn't loaded yet."""
    return isinstance(sys.modules.get(name), _Module)


def _real(name: str) -> ModuleType:
    """Return a module of the table itself: import it, if nobody has, in place of its stand-in."""
    with _lock:  # not while it is imported: that has locks of its own
        _used.add(name)
        if isinstance(sys.modules.get(name), _Module):
            del sys.modules[name]
    return importlib.import_module(name)


class _Finder(MetaPathFinder):
    """Finds the table's modules as stand-ins, until they are used."""

    def find_spec(self, name: str, path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        """Return a stand-in's spec, which looks like the real one."""
        package = name.rpartition(".")[0]
        if name not in MODULES or name in _used:
            if package not in MODULES or package in _GRAPHS:
                return None
            _real(package)  # something within is imported: that takes the whole of it, and may have imported this
            return ModuleSpec(name, _AsItIs()) if name in sys.modules else None
        real = PathFinder.find_spec(name, path)
        if real is None:
            return None
        spec = ModuleSpec(name, _StandIn(), origin=real.origin)
        spec.has_location = real.has_location
        spec.submodule_search_locations = real.submodule_search_locations
        return spec


class _StandIn(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing yet."""


class _AsItIs(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: its package has imported it."""


class _Module(ModuleType):
    """Stands in for a module."""

    def __getattr__(self, name: str) -> Any:
        if name in _SET_BY_IMPORT:
            raise AttributeError(name)
        if name == "__all__" and self.__name__ in _GRAPHS:
            return ()
        if name in MODULES[self.__name__] and self.__name__ not in _used:
            return _Name(self.__name__, name)
        return getattr(_real(self.__name__), name)


class _Name:
    """Stands in for a class or a function of a module that nobody has used."""

    def __init__(self, module: str, name: str) -> None:
        self._place = module, name

    def _it(self) -> Any:
        module, name = self._place
        return getattr(_real(module), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._it()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__typing") or name in _ASKED_BY_TYPING:
            raise AttributeError(name)
        return getattr(self._it(), name)

    def __mro_entries__(self, _bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._it(),)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._it())

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(subclass, self._it())

    def __or__(self, other: Any) -> Any:
        return Union[self, other]  # noqa: UP007 - what `X | Y` means in an annotation

    __ror__ = __or__
