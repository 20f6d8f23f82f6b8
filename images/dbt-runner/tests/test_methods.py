"""The methods that a process takes out of the bundle do what those that mashumaro would have written do."""

from __future__ import annotations

import json

from conftest import WRITTEN, run_in_process

# Writes and reads a table's worth of contracts with and without a bundle: what each makes, and what it refuses.
_CONTRACTS = (
    """
import json, os, sys
from wherry_runner import bundle
if sys.argv[1]:
    bundle.PATH = sys.argv[1]
    bundle.use()
from wherry_runner import diet
diet.before_import()
import dbt.cli.main
from dbt.adapters.postgres import PostgresCredentials
from dbt.artifacts.resources.v1.model import ModelConfig
from dbt.contracts.graph.nodes import ModelNode, SourceDefinition
from dbt.contracts.project import Project
"""
    + WRITTEN
    + """
def shown(contract, data):
    try:
        return contract.from_dict(data).to_dict(omit_none=True)
    except Exception as error:
        return f"{type(error).__name__}: {error}"

node = {
    "name": "orders", "resource_type": "model", "package_name": "shop", "path": "orders.sql",
    "original_file_path": "models/orders.sql", "unique_id": "model.shop.orders", "fqn": ["shop", "orders"],
    "alias": "orders", "checksum": {"name": "sha256", "checksum": "1"}, "database": "db", "schema": "public",
    "created_at": 1.5, "columns": {"id": {"name": "id", "data_type": "int", "tags": ["key"]}}, "raw_code": "select 1",
    "config": {"materialized": "table", "post-hook": ["analyze"], "tags": "a", "meta": {"owner": "x"}, "own": [1]},
    "refs": [{"name": "a"}, {"name": "b", "version": 2}], "depends_on": {"nodes": ["model.shop.a"]},
    "deprecation_date": "2026-01-01T00:00:00",
}
project = {"name": "shop", "config-version": 2, "version": "1.0.0", "model-paths": ["models"], "profile": "shop"}
profile = {"host": "h", "port": 5432, "user": "u", "pass": "p", "dbname": "d", "schema": "s"}
cases = [
    (ModelNode, node), (ModelNode, node | {"config": {"docs": "none"}}), (ModelNode, node | {"name": None}),
    (ModelNode, {}), (ModelConfig, {"enabled": False, "docs": {"show": False}}), (ModelConfig, {"enabled": 1}),
    (ModelConfig, []), (Project, project), (Project, project | {"config-version": "two"}),
    (PostgresCredentials, profile), (PostgresCredentials, profile | {"port": "many"}),
    (SourceDefinition, {"name": "x"}),
]
print(json.dumps({"shown": [shown(*case) for case in cases], "written": len(written)}, default=str, sort_keys=True))
"""
)


def test_contracts_read_and_write_the_same_out_of_the_bundle(baked: tuple[str, str]) -> None:
    """What they make and what they refuse, with its reason; and mashumaro writes nothing for it."""
    within, without = (json.loads(run_in_process(_CONTRACTS, path)) for path in (baked[0], ""))
    assert within["shown"] == without["shown"]
    assert without["shown"][1].startswith('InvalidFieldValue: Field "config"')
    assert without["shown"][0]["config"]["own"] == [1]
    assert within["written"] == 0 < without["written"]
