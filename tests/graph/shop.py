"""Slim manifests: a small shop, and projects of any size."""

from typing import Any

Node = dict[str, Any]


def node(kind: str, name: str, *parents: str, folder: str = "marts", package: str = "shop", **more: Any) -> Node:
    """A node as `wherry.release.manifest.slim` leaves it; `parents` are unique ids."""
    return {
        "unique_id": f"{kind}.{package}.{name}",
        "resource_type": kind,
        "name": name.removeprefix("raw.") if kind == "source" else name.partition(".")[0],
        "package_name": package,
        "fqn": [package, folder, *name.split(".")],
        "original_file_path": f"models/{folder}/{name}.sql",
        "depends_on": {"nodes": sorted(parents)},
        "config": {},
        "tags": [],
        "wherry_rules": [],
        **more,
    }


def manifest(*nodes: Node) -> dict[str, Any]:
    """A slim manifest of these nodes."""
    by_id = {one["unique_id"]: one for one in nodes}
    return {
        "metadata": {"project_name": "shop", "adapter_type": "snowflake"},
        "nodes": {key: one for key, one in by_id.items() if one["resource_type"] not in ("source", "unit_test")},
        "sources": {key: one for key, one in by_id.items() if one["resource_type"] == "source"},
        "unit_tests": {key: one for key, one in by_id.items() if one["resource_type"] == "unit_test"},
    }


FRESH = {"warn_after": {"count": 1, "period": "day"}, "error_after": {"count": None, "period": None}}
NEVER = {"warn_after": {"count": None, "period": None}, "error_after": {"count": None, "period": None}}


def shop() -> dict[str, Any]:
    """Seeds, sources with and without freshness, an ephemeral model, a snapshot, versions, and tests of every kind."""
    raw_orders, raw_items, plain = "source.shop.raw.orders", "source.shop.raw.items", "source.shop.raw.plain"
    stg_orders, stg_items = "model.shop.stg_orders", "model.shop.stg_items"
    joined, orders, lines = "model.shop.int_joined", "model.shop.orders", "model.shop.lines.v2"
    countries, history = "seed.shop.countries", "snapshot.shop.orders_history"
    return manifest(
        node("source", "raw.orders", folder="staging", freshness=FRESH),
        node("source", "raw.items", folder="staging", freshness=NEVER),
        node("source", "raw.plain", folder="staging", freshness=None),
        node("seed", "countries", folder="seeds", description="ISO codes & names"),
        node("model", "stg_orders", raw_orders, folder="staging", config={"materialized": "view"}),
        node("model", "stg_items", raw_items, plain, folder="staging", config={"materialized": "view"}),
        node("model", "int_joined", stg_orders, stg_items, config={"materialized": "ephemeral"}),
        node("model", "orders", joined, countries, config={"snowflake_warehouse": "heavy_wh"}),
        node("model", "lines.v2", joined, config={"meta": {"wherry": {"retries": 0, "priority": 7}}}),
        node("model", "totals", orders, lines, tags=["heavy"], wherry_rules=[0]),
        node("snapshot", "orders_history", stg_orders, folder="snapshots"),
        node("test", "not_null_orders_id.c6ec7f58f2", orders),
        node("test", "unique_orders_id.aaec7f58f2", orders),
        node("test", "not_null_countries_code.c6ec7f58f3", countries, folder="seeds"),
        node("test", "source_not_null_raw_orders_id.b1", raw_orders, folder="staging"),
        node("test", "source_not_null_raw_items_id.b2", raw_items, folder="staging"),
        node("test", "not_null_int_joined_id.b3", joined),
        node("test", "relationships_lines_order_id.d1", lines, orders),
        node("test", "assert_history_matches", history, orders, folder="tests"),
        node("test", "assert_nothing_in_particular", folder="tests"),
        node("unit_test", "stg_items.rounds_amounts", stg_items, folder="staging"),
    )


def chain(size: int, tests_each: int = 2) -> dict[str, Any]:
    """A project of `size` models: each reads up to three earlier ones and has `tests_each` tests."""
    nodes = []
    for index in range(size):
        parents = [f"model.big.model_{other}" for other in {index - 1, index // 2, index // 3} if 0 <= other < index]
        folder = f"folder_{index % 20}"
        nodes.append(node("model", f"model_{index}", *parents, folder=folder, package="big", description="Rows." * 20))
        nodes += [
            node("test", f"not_null_model_{index}_{test}.h{test}", f"model.big.model_{index}", package="big")
            for test in range(tests_each)
        ]
    return manifest(*nodes)
