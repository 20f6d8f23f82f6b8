"""Cuts a parsed dbt manifest into slices: for each node, what running that node needs. Pure.

A slice holds the node, its tests, the project's on-run hooks, ephemeral parents (whole, recursively: they become part
of the SQL), and all other parents as leaves: where they are, not what they do. Macros aren't cut: which of them a node
calls is known only when it runs (dispatch, materializations), all of them load in some 20 ms, so they are shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import (
    FunctionNode,
    GenericTestNode,
    GraphMemberNode,
    HookNode,
    ModelNode,
    SeedNode,
    SingularTestNode,
    SnapshotNode,
    SourceDefinition,
    UnitTestDefinition,
)

_RUNS: Final = (ModelNode, SeedNode, SnapshotNode, SingularTestNode, GenericTestNode, FunctionNode)
_DATA_TESTS: Final = (SingularTestNode, GenericTestNode)


class CannotCutError(Exception):
    """The node needs more of the project than a slice holds; the message says what."""


@dataclass(frozen=True)
class Slice:
    """The unique_ids that one node needs: whole, for their SQL only (never selected), or as leaves."""

    whole: tuple[str, ...]
    inlined: tuple[str, ...]
    leaves: tuple[str, ...]


def sliceable(manifest: Manifest) -> list[str]:
    """Return the unique_ids of all that a pod can be asked to run, sorted."""
    nodes = [uid for uid, node in manifest.nodes.items() if isinstance(node, _RUNS)]
    return sorted([*nodes, *manifest.functions, *manifest.unit_tests, *manifest.sources])


def tests_by_parent(manifest: Manifest) -> dict[str, list[str]]:
    """Return the data and unit tests that hang on each node."""
    found: dict[str, list[str]] = {}
    data_tests = [node for node in manifest.nodes.values() if isinstance(node, _DATA_TESTS)]
    for test in [*data_tests, *manifest.unit_tests.values()]:
        for parent in test.depends_on.nodes:
            found.setdefault(parent, []).append(test.unique_id)
    return found


def cut(manifest: Manifest, unique_id: str, tests: Mapping[str, list[str]]) -> Slice:
    """Return the slice of one node; raise CannotCutError where it needs something that no slice holds."""
    hooks = [uid for uid, node in manifest.nodes.items() if isinstance(node, HookNode)]
    whole = [unique_id, *tests.get(unique_id, ()), *(uid for uid in hooks if uid != unique_id)]
    cutter = _Cutter(manifest, whole, [], [])
    for uid in whole:
        node = manifest.expect(uid)
        # A unit test runs the SQL of the model that it tests.
        tested = node.depends_on.nodes[0] if isinstance(node, UnitTestDefinition) else None
        for parent in _parents(node):
            cutter.add(parent, sql_needed=parent == tested)
    return Slice(tuple(whole), tuple(cutter.inlined), tuple(uid for uid in cutter.leaves if uid not in cutter.inlined))


def leaf(node: GraphMemberNode) -> dict[str, Any]:
    """Return a node as the relation that it is: selected by nothing, without SQL, columns and documentation."""
    data = {**as_data(node), "fqn": _unselectable(node), "description": "", "columns": {}, "meta": {}, "docs": {}}
    for key in ("raw_code", "unrendered_config", "constraints", "patch_path", "refs", "sources", "metrics", "contract"):
        data.pop(key, None)
    data["config"] = {key: value for key, value in data.get("config", {}).items() if key not in {"meta", "docs"}}
    if isinstance(node, SourceDefinition):
        return {**data, "source_description": "", "source_meta": {}}
    return {
        **data,
        "depends_on": {"macros": [], "nodes": []},
        **({} if isinstance(node, SeedNode) else {"raw_code": ""}),
    }


def inlined(node: GraphMemberNode) -> dict[str, Any]:
    """Return a node whose SQL becomes part of another one's: selected by nothing."""
    return {**as_data(node), "fqn": _unselectable(node), "description": "", "docs": {}}


def as_data(node: GraphMemberNode) -> dict[str, Any]:
    """Return the node as dbt writes it, without what differs between two builds of the same project."""
    data: dict[str, Any] = node.to_dict(omit_none=True)
    if "root_path" in data:
        data["root_path"] = ""
    return {**data, "created_at": 0.0}


def flat_graph(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Return what macros see as `graph`, without what differs between two builds of the same project."""
    manifest.build_flat_graph()  # type: ignore[no-untyped-call]
    return {
        kind: {uid: _settled(node) for uid, node in members.items()} for kind, members in manifest.flat_graph.items()
    }


def env_names(manifest: Manifest, members: Iterable[GraphMemberNode]) -> set[str]:
    """Return the environment variables that parsing the members' files asked for."""
    files = {str(getattr(node, key, "")) for node in members for key in ("file_id", "patch_path")}
    found = {name for file in files for name in _texts(getattr(manifest.files.get(file), "env_vars", ()))}
    return found & set(manifest.env_vars)


@dataclass(frozen=True)
class _Cutter:
    """Collects the parents of a slice's nodes."""

    manifest: Manifest
    whole: Sequence[str]
    inlined: list[str]
    leaves: list[str]

    def add(self, uid: str, sql_needed: bool = False) -> None:
        if uid.partition(".")[0] in {"metric", "semantic_model", "saved_query", "exposure"}:
            raise CannotCutError(f"refers to {uid}")
        if uid in self.whole or uid in self.inlined:
            return
        node = self.manifest.expect(uid)
        if sql_needed or (isinstance(node, ModelNode) and node.is_ephemeral_model):
            self.inlined.append(uid)
            for parent in _parents(node):
                self.add(parent)
        elif uid not in self.leaves:
            self.leaves.append(uid)


def _unselectable(node: GraphMemberNode) -> list[str]:
    """An fqn that no selector matches. dbt drops its first part and, of a versioned model, looks at the last two."""
    return ["", "", node.unique_id]


def _parents(node: Any) -> list[str]:
    return list(getattr(node, "depends_on_nodes", ()))


def _settled(node: dict[str, Any]) -> dict[str, Any]:
    settled = {"created_at": 0.0, "root_path": ""}
    return {key: settled.get(key, value) for key, value in node.items()}


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, Iterable):
        for item in value:
            yield from _texts(item)
