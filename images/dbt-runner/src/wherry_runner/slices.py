"""The files of a release's slices, and how one is loaded: no project is parsed, no whole manifest unpacked.

slices/index.json            what they were built with; small, whatever the project's size
slices/shared.msgpack        macros, groups, and JSON schemas of dbt's own contracts
slices/graph.msgpack         what macros see as `graph`; read only when one looks
slices/nodes/<hash>.msgpack  one node's slice, or why it has none
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgpack

from wherry_runner import diet

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

FORMAT: Final = 1
INDEX: Final = "index.json"
SHARED: Final = "shared.msgpack"
GRAPH: Final = "graph.msgpack"
_DATE, _DATETIME = 1, 2


class NoSliceError(Exception):
    """This node can't be run by a slice; the message says why. The project can still be parsed."""


class BadReleaseError(Exception):
    """The release's slices can't be read at all."""


@dataclass(frozen=True)
class Index:
    """What the slices were built with.

    `env` maps names to hashes of the values that shaped the whole project; `needs` are those that profiles.yml reads
    and that have no default.
    """

    dbt: str
    adapter: str
    adapter_version: str
    project: str
    target: str
    env: Mapping[str, str]
    needs: Sequence[str]
    format: int = FORMAT


def pack(data: Any) -> bytes:
    """Return the bytes of plain data, dates included."""
    packed: bytes = msgpack.packb(data, default=_pack_other)
    return packed


def unpack(data: bytes) -> Any:
    """Return what `pack` packed."""
    return msgpack.unpackb(data, ext_hook=_unpack_other, strict_map_key=False)


def node_path(slices: Path, unique_id: str) -> Path:
    """Return the file of a node's slice; hashed, for a unique_id may hold what no file name may."""
    return slices / "nodes" / f"{hashlib.sha256(unique_id.encode()).hexdigest()[:32]}.msgpack"


def env_hash(value: str | None) -> str:
    """Return the hash by which two values of an environment variable are compared; "" for one that isn't set."""
    return "" if value is None else hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()


def read_index(slices: Path) -> Index:
    """Read the index; raise BadReleaseError."""
    try:
        index = Index(**json.loads((slices / INDEX).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise BadReleaseError(f"{slices / INDEX}: {error}") from None
    if index.format != FORMAT:
        raise BadReleaseError(
            f"{slices / INDEX}: found format {index.format}, expected {FORMAT}: build the release again"
        )
    return index


def read_slice(slices: Path, unique_id: str, index: Index, env: Mapping[str, str]) -> dict[str, Any]:
    """Return a node's slice as plain data; raise NoSliceError where it can't stand for the project here and now."""
    for package, built in (("dbt-core", index.dbt), (f"dbt-{index.adapter}", index.adapter_version)):
        if version(package) != built:
            raise NoSliceError(f"{package} is {version(package)}, the slices are of {built}")
    try:
        found: dict[str, Any] = unpack(node_path(slices, unique_id).read_bytes())
    except FileNotFoundError:
        raise NoSliceError(f"the release has no slice of {unique_id}") from None
    except (OSError, ValueError, msgpack.UnpackException) as error:
        raise NoSliceError(f"the slice of {unique_id} can't be read: {error}") from None
    if found["why"]:
        raise NoSliceError(found["why"])
    for name, built in {**index.env, **found["env"]}.items():
        if env_hash(env.get(name)) != built:
            raise NoSliceError(f"{name} is not what it was when the project was parsed")
    return found


def load(slices: Path, found: Mapping[str, Any], index: Index, on_graph: Callable[[], None]) -> Manifest:
    """Return the manifest of one slice; `on_graph` is called when a macro looks at the whole graph."""
    from dbt.artifacts.schemas.manifest import ManifestMetadata
    from dbt.contracts.graph import nodes as classes
    from dbt.contracts.graph.manifest import Manifest

    shared = unpack((slices / SHARED).read_bytes())
    diet.use_schemas(shared["schemas"])
    members: dict[str, dict[str, Any]] = {"nodes": {}, "sources": {}, "functions": {}, "unit_tests": {}}
    for kind, class_name, data in found["members"]:
        members[kind][data["unique_id"]] = getattr(classes, class_name).from_dict(data)
    return Manifest(
        nodes=members["nodes"],
        sources=members["sources"],
        functions=members["functions"],
        unit_tests=members["unit_tests"],
        macros={macro[0]: _macro(macro) for macro in shared["macros"]},
        groups={uid: classes.Group.from_dict(group) for uid, group in shared["groups"].items()},
        metadata=ManifestMetadata(project_name=index.project, adapter_type=index.adapter),
        flat_graph=LazyGraph(slices / GRAPH, on_graph),
    )


class LazyGraph(dict[str, Any]):
    """What macros see as `graph`: the whole project's, read when one looks."""

    def __init__(self, path: Path, on_read: Callable[[], None]) -> None:
        """Read `path` at the first look, and tell `on_read`."""
        super().__init__()
        self._path = path
        self._on_read = on_read
        self._read = False

    def _load(self) -> dict[str, Any]:
        if not self._read:
            self._read = True
            self._on_read()
            super().update(unpack(self._path.read_bytes()))
        return self

    def __missing__(self, key: str) -> Any:
        if self._read:
            raise KeyError(key)
        return self._load()[key]

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self._load(), key)

    def __iter__(self) -> Any:
        return dict.__iter__(self._load())

    def __len__(self) -> int:
        return dict.__len__(self._load())

    def get(self, key: str, default: Any = None) -> Any:
        """Return a part of the graph."""
        return dict.get(self._load(), key, default)

    def keys(self) -> Any:
        """Return the names of the graph's parts."""
        return dict.keys(self._load())

    def values(self) -> Any:
        """Return the graph's parts."""
        return dict.values(self._load())

    def items(self) -> Any:
        """Return the graph's parts by name."""
        return dict.items(self._load())


def _macro(fields: Sequence[Any]) -> Any:
    """Build a macro from the fields that running reads: through from_dict all would take three times as long."""
    from dbt.artifacts.resources.types import ModelLanguage, NodeType
    from dbt.contracts.graph.nodes import Macro

    uid, name, package, path, sql, languages = fields
    return Macro(
        unique_id=uid,
        name=name,
        package_name=package,
        path=path,
        original_file_path=path,
        macro_sql=sql,
        resource_type=NodeType.Macro,
        supported_languages=None if languages is None else [ModelLanguage(language) for language in languages],
        created_at=0.0,
    )


def _pack_other(value: Any) -> Any:
    if isinstance(value, datetime):
        return msgpack.ExtType(_DATETIME, value.isoformat().encode())
    if isinstance(value, date):
        return msgpack.ExtType(_DATE, value.isoformat().encode())
    return str(value)


def _unpack_other(code: int, data: bytes) -> Any:
    return (datetime if code == _DATETIME else date).fromisoformat(data.decode())
