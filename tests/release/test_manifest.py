"""The slim manifest against dbt's own, as Cosmos loads them."""

import copy
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wherry.release.manifest import rendered, slim
from wherry.release.model import canonical_json

Manifest = dict[str, Any]


@pytest.fixture(autouse=True)
def quiet_cosmos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Cosmos wants an AIRFLOW_HOME and warns of each seed file that isn't on Airflow's side."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    logging.getLogger("cosmos").setLevel(logging.ERROR)
    yield
    logging.getLogger("cosmos").setLevel(logging.NOTSET)


def load(manifest: Manifest, folder: Path) -> dict[str, dict[str, Any]]:
    """What rendering reads of each node that Cosmos loads from `manifest`; None for its `select`."""
    from cosmos.config import ExecutionConfig, ProjectConfig, RenderConfig
    from cosmos.constants import DbtResourceType, LoadMode
    from cosmos.dbt.graph import DbtGraph

    path = folder / "manifest.json"
    path.write_bytes(canonical_json(manifest))
    graph = DbtGraph(
        project=ProjectConfig(manifest_path=path, project_name="tiny"),
        render_config=RenderConfig(should_detach_multiple_parents_tests=True),
        execution_config=ExecutionConfig(dbt_project_path=folder),
    )
    graph.load(method=LoadMode.DBT_MANIFEST)
    kinds = {DbtResourceType(kind) for kind in ("model", "seed", "snapshot", "test", "source")}
    return {
        unique_id: {
            "name": node.name,
            "resource_type": node.resource_type,
            "package": node.package_name,
            "depends_on": sorted(node.depends_on),
            "file": node.file_path,
            "tags": sorted(node.tags),
            "fqn": node.fqn,
            "owner": node.owner,
            "ephemeral": node.has_ephemeral_materialization,
            "freshness": node.has_freshness,
            "tested": (node.has_test, node.has_non_detached_test),
            "tests": sorted(graph.tests_per_model.get(unique_id, [])),
        }
        for unique_id, node in graph.filtered_nodes.items()
        if node.resource_type in kinds
    }


def synthetic(manifest: Manifest, copies: int) -> Manifest:
    """A manifest with `copies` times the nodes of `manifest`, in packages of their own."""
    text = json.dumps({section: manifest[section] for section in ("nodes", "sources", "unit_tests", "exposures")})
    many: Manifest = {**manifest, "nodes": {}, "sources": {}, "unit_tests": {}, "exposures": {}}
    for index in range(copies):
        for section, nodes in json.loads(text.replace("tiny", f"tiny{index}")).items():
            many[section] = {**many[section], **nodes}
    return many


def odd(manifest: Manifest) -> Manifest:
    """A manifest with what the small project lacks: null config, versions, no freshness at all, an operation."""
    odd = copy.deepcopy(manifest)
    nodes, source = odd["nodes"], next(iter(odd["sources"].values()))
    version = {**nodes["model.tiny.revenue"], "unique_id": "model.tiny.revenue.v2", "fqn": ["tiny", "revenue", "v2"]}
    ephemeral = {
        **version,
        "unique_id": "model.tiny.eph",
        "config": {"materialized": "ephemeral", "meta": None},
        "meta": {},
        "tags": None,
    }
    hook = {**version, "unique_id": "operation.tiny.hook", "resource_type": "operation"}
    external = {**version, "unique_id": "model.other.external", "package_name": "other", "original_file_path": ""}
    odd["nodes"] = {**nodes, **{node["unique_id"]: node for node in (version, ephemeral, hook, external)}}
    odd["sources"]["source.tiny.crm.old"] = {**source, "unique_id": "source.tiny.crm.old", "freshness": None}
    odd["nodes"]["model.tiny.eph"]["depends_on"] = {"nodes": ["source.tiny.crm.old", "model.other.external"]}
    return odd


@pytest.mark.parametrize("make", [lambda m: m, odd, lambda m: synthetic(m, 30)], ids=["real", "odd", "many"])
def test_cosmos_loads_the_same_graph_from_either(full_manifest: Manifest, tmp_path: Path, make: Any) -> None:
    """Every field that rendering reads is equal, for every node that is rendered."""
    full = make(full_manifest)
    assert len(load(full, tmp_path)) >= 10
    assert load(slim(full, {}), tmp_path) == load(full, tmp_path)


@pytest.mark.parametrize("name", ["finance", "growth"])
def test_cosmos_loads_the_sample_projects_alike(
    name: str, tmp_path: Path, sample_manifest: Callable[[str], Manifest]
) -> None:
    """The same on projects with everything that dbt has, parsed for the warehouses of their teams."""
    full = sample_manifest(name)
    loaded = load(full, tmp_path)
    assert len(loaded) > 30
    assert load(slim(full, {}), tmp_path) == loaded


def test_the_slim_manifest_is_small(full_manifest: Manifest) -> None:
    """A quarter of dbt's file at most (a tenth without its macros), and the SQL is gone."""
    full = synthetic(full_manifest, 30)
    assert len(canonical_json(slim(full, {}))) * 4 < len(canonical_json(full))
    assert b"select sum(amount)" not in canonical_json(slim(full, {}))


def test_the_slim_manifest_does_not_depend_on_the_time_or_order(full_manifest: Manifest) -> None:
    """Another invocation, another order of nodes and dependencies: the same bytes."""
    other = copy.deepcopy(full_manifest)
    other["metadata"] |= {"invocation_id": "x", "generated_at": "y"}
    other["nodes"] = dict(reversed(other["nodes"].items()))
    for node in other["nodes"].values():
        node["created_at"] = 1.0
        node["depends_on"]["nodes"] = node["depends_on"].get("nodes", [])[::-1]
    assert canonical_json(slim(other, {})) == canonical_json(slim(full_manifest, {}))


def test_a_teams_words_hold_no_template(full_manifest: Manifest) -> None:
    """Descriptions are cut, and Jinja's delimiters don't survive anywhere, however they are stacked."""
    full = copy.deepcopy(full_manifest)
    node = full["nodes"]["model.tiny.revenue"]
    node["description"] = "{{{{ conn.x.password }}}} {{% raw %}} {#" + "x" * 1000
    node["tags"] = ["{{ var.value.x }}"]
    node["config"] |= {"tags": ["{% x %}"], "meta": {"owner": "{{{ x", "cosmos": {"operator_kwargs": {"image": "x"}}}}
    found = slim(full, {})["nodes"]["model.tiny.revenue"]
    text = canonical_json(found).replace(b"}", b"").replace(b'{"', b"").decode()
    assert not any(delimiter in text for delimiter in ("{{", "{%", "{#"))
    assert len(found["description"]) < 250
    assert "cosmos" not in found["config"]["meta"]


def test_rules_are_kept_per_node(full_manifest: Manifest) -> None:
    """The indexes come back with the node that they were matched with."""
    nodes = slim(full_manifest, {"model.tiny.revenue": [0, 2]})["nodes"]
    assert nodes["model.tiny.revenue"]["wherry_rules"] == [0, 2]
    assert nodes["model.tiny.customers"]["wherry_rules"] == []


def test_what_dbt_will_not_run_is_not_rendered(full_manifest: Manifest) -> None:
    """dbt keeps a test whose model doesn't exist in its manifest, disabled: a task of its own would find nothing."""
    full = copy.deepcopy(full_manifest)
    test = next(key for key, node in full["nodes"].items() if node["resource_type"] == "test")
    full["nodes"][test]["config"]["enabled"] = False
    assert rendered(full_manifest).keys() - rendered(full).keys() == {test}


def test_public_models_are_known(full_manifest: Manifest) -> None:
    """Of dbt's access levels only public matters: such a model is an asset."""
    full = copy.deepcopy(full_manifest)
    full["nodes"]["model.tiny.revenue"]["access"] = "public"
    found = {key for key, node in slim(full, {})["nodes"].items() if "access" in node["config"]}
    assert found == {"model.tiny.revenue"}


def test_unit_tests_are_among_the_rendered(full_manifest: Manifest) -> None:
    """Exposures aren't; a build of a model runs its unit tests, so the model's task must know of them."""
    kinds = {node["resource_type"] for node in rendered(full_manifest).values()}
    assert kinds == {"model", "seed", "snapshot", "test", "source", "unit_test"}
    assert "unit_test.tiny.revenue.revenue_adds_up" in slim(full_manifest, {})["unit_tests"]
