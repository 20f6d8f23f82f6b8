"""The slim manifest: of dbt's manifest only what rendering a DAG reads.

Cosmos builds a `DbtNode` from: resource_type, package_name, original_file_path, depends_on.nodes, tags, config, fqn and
(sources) freshness; of `config` rendering reads materialized and meta.owner, our policy meta.wherry and
snowflake_warehouse, our assets access. That is a sixth of dbt's file (1,000 models with 2,000 tests: 6.7 to 1.1 MB),
which the dag-processor reads whenever it looks at the DAGs; a task's process reads its own task alone (`tasks`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wherry.release.policy import meta

_RENDERED = ("model", "seed", "snapshot", "test", "source", "unit_test")
_SECTIONS = ("nodes", "sources", "unit_tests")
DESCRIPTION_LENGTH = 200
_CONFIG = ("materialized", "snowflake_warehouse", "tags")
_METADATA = ("adapter_type", "dbt_schema_version", "dbt_version", "project_name")


def slim(manifest: Mapping[str, Any], rules: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Cut dbt's `manifest` down; `rules` holds, per unique id, the node rules that select it.

    The result depends on the project's content only: no times, no invocation ids, dependencies sorted.
    """
    return {
        "metadata": {key: manifest["metadata"].get(key) for key in _METADATA},
        **{
            section: {key: _slim_node(node, rules.get(key, ())) for key, node in _rendered(manifest[section])}
            for section in _SECTIONS
        },
    }


def rendered(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The nodes of dbt's `manifest` that become tasks or part of one, by unique id, sorted."""
    return dict(sorted(pair for section in _SECTIONS for pair in _rendered(manifest[section])))


def _rendered(section: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """dbt leaves a test of a model that isn't there in its manifest, disabled."""
    enabled = ((key, node) for key, node in section.items() if node["config"].get("enabled", True))
    return ((key, node) for key, node in enabled if node["resource_type"] in _RENDERED)


def _slim_node(node: Mapping[str, Any], rules: Sequence[int]) -> dict[str, Any]:
    slimmed: dict[str, Any] = {
        "config": _slim_config(node),
        "depends_on": {"nodes": sorted(node.get("depends_on", {}).get("nodes", []))},
        "fqn": [_plain(part) for part in node["fqn"]],
        "name": _plain(node["name"]),
        "original_file_path": _plain(node["original_file_path"]),
        "package_name": node["package_name"],
        "resource_type": node["resource_type"],
        "tags": [_plain(tag) for tag in node.get("tags") or []],
        "unique_id": node["unique_id"],
        "wherry_rules": list(rules),
    }
    description = _plain((node.get("description") or "")[:DESCRIPTION_LENGTH])
    if description:
        slimmed["description"] = description
    if node["resource_type"] == "source":
        slimmed["freshness"] = _periods(node.get("freshness"))
    return slimmed


def _slim_config(node: Mapping[str, Any]) -> dict[str, Any]:
    config = {key: value for key, value in node["config"].items() if key in _CONFIG and value not in (None, [], {})}
    if "tags" in config:
        config["tags"] = [_plain(tag) for tag in config["tags"]]
    if node.get("access") == "public":
        config["access"] = "public"
    kept = {key: value for key, value in meta(node).items() if key == "wherry"}
    owner = meta(node).get("owner")
    if isinstance(owner, str) and owner:
        kept["owner"] = _plain(owner)
    return {**config, **({"meta": kept} if kept else {})}


def _periods(freshness: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A source's freshness without its filter, which is SQL."""
    if freshness is None:
        return None
    return {key: freshness.get(key) for key in ("warn_after", "error_after")}


def _plain(text: str) -> str:
    """`text` without Jinja's delimiters: a team's words are shown by Airflow, never rendered by it."""
    return re.sub(r"\{(?=[{%#])", "{ ", text)
