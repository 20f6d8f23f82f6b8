"""Each kind of node runs from its slice as it would from the whole project, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Done, Release, run_node

from wherry.results.codec import Status

Pod = Callable[..., Done]
Sql = Callable[..., list[tuple[Any, ...]]]


def test_a_table_is_built_with_its_ephemeral_parents_and_tests(pod: Pod, sql: Sql) -> None:
    """Ephemeral parents, a package's dispatched macro, vars, hooks, data tests, groups: all from one slice."""
    done = pod("model.shop.orders", "build")
    assert (done.code, done.record.status, done.record.loaded, done.record.loaded_why) == (
        0,
        Status.SUCCESS,
        "slice",
        "",
    )
    assert done.statuses["orders"] == "success"
    kinds = sorted(result.unique_id.split(".")[0] for result in done.record.results)
    assert kinds == ["model", "operation", "operation", "test", "test", "test"]
    assert sql("select id, amount from shop.orders order by id") == [(1, 40), (3, 60)]


def test_unit_tests_run_before_their_model(pod: Pod) -> None:
    """A unit test reads its inputs' columns from the warehouse; the parents are leaves of the slice."""
    done = pod("model.shop.customers", "build")
    assert (done.code, done.record.loaded) == (0, "slice")
    assert next(r for r in done.record.results if r.unique_id.startswith("unit_test")).status == "pass"


def test_the_record_tells_rows_times_memory_and_versions(pod: Pod) -> None:
    """What a pod cost and did is in its record."""
    record = pod("model.shop.orders", "run").record
    own = next(result for result in record.results if result.unique_id == "model.shop.orders")
    assert (own.rows, own.adapter_response, own.status) == (2, "SELECT 2", "success")
    assert {"boot", "import", "load", "run", "connect", "query", "total"} <= set(record.timings)
    assert 0 < record.timings["query"] < record.timings["run"] < record.timings["total"]
    assert record.timings["connect"] > 0
    assert record.peak_memory_mb > 50
    assert record.cpu_seconds > 0.5
    assert record.dbt.startswith("1.11.")
    assert record.adapter.startswith("postgres 1.11.")


def test_tests_of_a_model_run_apart_from_it(pod: Pod) -> None:
    """`dbt test` of a model selects its own tests, also those that have another parent."""
    done = pod("model.shop.orders", "test", select="orders")
    assert done.code == 0
    assert len([r for r in done.record.results if r.unique_id.startswith("test.")]) == 3


def test_one_test_runs_alone(pod: Pod, shop: Release) -> None:
    """A test with several parents, detached from all of them, is a node of its own."""
    done = pod("test.shop.no_negative_orders", "test", select="no_negative_orders")
    assert (done.code, done.statuses["no_negative_orders"], done.record.loaded) == (0, "pass", "slice")


def test_an_incremental_model_sees_its_table(pod: Pod, sql: Sql) -> None:
    """is_incremental() is true in the second run, and --full-refresh begins anew."""
    pod("model.shop.grown", "run", "--full-refresh")
    assert sql("select count(*) from shop.grown where how = 'first'") == [(3,)]
    pod("model.shop.grown", "run")
    assert sql("select how from shop.grown order by id") == [("first",), ("first",), ("again",)]
    done = pod("model.shop.grown", "run", "--full-refresh")
    assert done.record.loaded == "slice"
    assert sql("select count(*) from shop.grown where how = 'first'") == [(3,)]


def test_a_snapshot_keeps_history(pod: Pod, sql: Sql) -> None:
    """A snapshot in a schema of a custom name, run twice with a change between."""
    assert pod("snapshot.shop.orders_history", "snapshot", select="fqn:shop.orders_history.orders_history").code == 0
    sql("update shop.raw_orders set amount = 31 where id = 3")
    assert pod("snapshot.shop.orders_history", "snapshot", select="orders_history").code == 0
    sql("update shop.raw_orders set amount = 30 where id = 3")
    assert sql("select count(*) from shop_history.orders_history where id = 3") == [(2,)]


def test_a_seed_loads_its_file(pod: Pod, sql: Sql) -> None:
    """The rows come from the release's project folder."""
    done = pod("seed.shop.raw_orders", "seed")
    assert (done.code, done.record.loaded, done.record.results[1].rows) == (0, "slice", 3)
    assert sql("select count(*) from shop.raw_orders") == [(3,)]


def test_a_contract_is_enforced(pod: Pod) -> None:
    """A model with a contract builds from its slice: its columns are there."""
    assert pod("model.shop.contracted", "run").code == 0


def test_versions_of_a_model(pod: Pod, sql: Sql) -> None:
    """A version is built by itself, and read by its number or as the latest one, each from its slice."""
    for version in ("v1", "v2"):
        done = pod(f"model.shop.lines.{version}", "build", select=f"fqn:shop.lines.{version}")
        assert (done.code, done.record.loaded, len(done.record.results)) == (0, "slice", 4), done.log
    done = pod("model.shop.lines_reader", "run")
    assert (done.code, done.record.loaded) == (0, "slice"), done.log
    assert sql("select quantity from shop.lines_reader") == [(2,)]


@pytest.mark.parametrize(
    ("table", "word", "code", "status"), [("events", "pass", 0, "success"), ("old_events", "error", 1, "fail")]
)
def test_freshness(pod: Pod, table: str, word: str, code: int, status: str) -> None:
    """A fresh source passes; one that is too old is a failed check, no error of dbt."""
    done = pod(f"source.shop.raw.{table}", "source freshness", select=f"source:raw.{table}")
    checked = next(result for result in done.record.results if result.unique_id.startswith("source."))
    assert (done.code, checked.status, done.record.status.value) == (code, word, status)
    assert done.record.loaded == "slice"


def test_a_macro_that_reads_the_graph_sees_all_of_it(pod: Pod, sql: Sql) -> None:
    """`graph` is the whole project's though only a slice was loaded; macros are found by computed names."""
    done = pod("model.shop.graph_reader", "run")
    assert (done.code, done.record.loaded, done.record.loaded_why) == (0, "slice", "a macro read the whole graph")
    assert sql("select models, answer from shop.graph_reader") == [(18, 42)]


def test_hooks_run_in_every_pod(pod: Pod, sql: Sql) -> None:
    """on-run-start and on-run-end run in each invocation, as they do when Cosmos runs dbt."""
    before = sql("select count(*) from shop.audit")[0][0]
    pod("model.shop.contracted", "run")
    assert sql("select count(*) from shop.audit")[0][0] == before + 1


def test_a_warning_is_a_success(pod: Pod) -> None:
    """Exit code 0, and the status says warn."""
    done = pod("model.shop.warned", "build")
    assert (done.code, done.record.status, done.statuses["warned"]) == (0, Status.WARN, "success")
    assert next(r for r in done.record.results if r.status == "warn").failures == 1


def test_a_failing_test_fails_the_node(pod: Pod) -> None:
    """Exit code 1, and the failing test is named with its count."""
    done = pod("model.shop.failed", "build")
    assert (done.code, done.record.status) == (1, Status.FAIL)
    assert next(r for r in done.record.results if r.status == "fail").failures == 1
    assert "Got 1 result" in done.record.message


def test_an_sql_error_is_dbts_own(pod: Pod) -> None:
    """Exit code 1 with the warehouse's words; no retry makes it better."""
    done = pod("model.shop.divided", "run")
    assert (done.code, done.record.status) == (1, Status.ERROR)
    assert "division by zero" in done.record.message
    assert done.record.loaded == "slice"


def test_slice_and_project_agree(pod: Pod, sql: Sql) -> None:
    """The same node by a full parse gives the same results; only how it was loaded differs."""
    by_slice = pod("model.shop.orders", "build").record
    rows = sql("select * from shop.orders order by id")
    by_project = pod("model.shop.orders", "build", select="orders,config.materialized:table").record
    assert (by_slice.loaded, by_project.loaded) == ("slice", "project")
    assert {(r.unique_id, r.status) for r in by_slice.results} == {(r.unique_id, r.status) for r in by_project.results}
    assert sql("select * from shop.orders order by id") == rows


def test_every_node_is_selected_by_its_slice_as_by_the_project(shop: Release) -> None:
    """`dbt ls` lists the same for each node's own selection, slice or project."""
    import json

    from dbt.cli.main import dbtRunner
    from wherry_runner import slices

    manifest = json.loads((shop.folder / "manifest.json").read_text())
    index = slices.read_index(shop.folder / "slices")
    folders = ["--project-dir", str(shop.folder / "project"), "--profiles-dir", str(shop.folder / "profiles")]
    whole = None
    with pytest.MonkeyPatch.context() as patch:
        for name, value in shop.env.items():
            patch.setenv(name, value)
        whole = (
            dbtRunner()
            .invoke(["parse", "--no-partial-parse", "-q", *folders, "--target-path", str(shop.scratch)])
            .result
        )
        for uid, node in manifest["nodes"].items():
            if (
                node["resource_type"] == "operation"
                or node["config"].get("materialized") == "ephemeral"
                or "env" in uid
            ):
                continue
            try:
                part = slices.read_slice(shop.folder / "slices", uid, index, {})
            except slices.NoSliceError:
                continue
            loaded = slices.load(shop.folder / "slices", part, index, lambda: None)
            ask = ["ls", "-q", "--select", "fqn:" + ".".join(node["fqn"]), *folders, "--target-path", str(shop.scratch)]
            listed = [dbtRunner(manifest=m).invoke(ask).result for m in (whole, loaded)]
            assert listed[0] == listed[1] != []


def test_a_node_that_selects_nothing_is_broken(shop: Release) -> None:
    """A pod that did nothing must not look like one that did."""
    done = run_node(shop, "model.shop.orders", "run", select="fqn:shop.nothing_here")
    assert (done.code, done.record.status) == (2, Status.BROKEN)
    assert "selected nothing" in done.record.message
    assert done.record.loaded_why.startswith("the slice lacked something")
