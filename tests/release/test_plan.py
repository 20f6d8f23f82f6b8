"""The plan: which tasks there are, what each runs, and that no test is lost."""

from collections import Counter
from typing import Any

import pytest

from tests.graph.shop import manifest, node, shop
from wherry.release.plan import Plan, Tests, one_line

BEHAVIOURS: tuple[Tests, ...] = ("build", "after_each", "after_all", "none")


def plan(of: dict[str, Any] | None = None, tests: Tests = "build", freshness: bool = True) -> Plan:
    return Plan(shop() if of is None else of, "shop", tests, freshness)


def edges(of: Plan) -> set[tuple[str, str]]:
    return {(before, after) for after, waits_for in of.upstream.items() for before in waits_for}


def test_build_puts_each_nodes_tests_into_its_own_task() -> None:
    """With `build`, models, seeds and snapshots are one task each, which runs dbt build for the node alone."""
    spec = plan().tasks["orders.build"]
    assert (spec.select, spec.cautious, spec.group, spec.title) == (
        "fqn:shop.marts.orders",
        True,
        None,
        "orders (build)",
    )
    assert "orders.test" not in plan().tasks


def test_build_gives_tests_that_no_build_runs_a_task_of_their_own() -> None:
    """Tests of sources, of ephemeral models, of several nodes and of none aren't part of any node's dbt build."""
    found = {task_id: spec.select for task_id, spec in plan().tasks.items() if spec.verb == "test"}
    assert found == {
        "raw_orders.test": "source:shop.raw.orders",
        "raw_items.test": "source:shop.raw.items",
        "int_joined.test": "fqn:shop.marts.int_joined",
        "relationships_lines_order_id_test": "fqn:shop.marts.relationships_lines_order_id.d1",
        "assert_history_matches_test": "fqn:shop.tests.assert_history_matches",
        "assert_nothing_in_particular_test": "fqn:shop.tests.assert_nothing_in_particular",
    }


def test_a_test_of_two_nodes_waits_for_both() -> None:
    """A relationship test doesn't run before its other parent exists."""
    for tests, done in (("build", "build"), ("after_each", "run")):
        upstream = plan(tests=tests).upstream["relationships_lines_order_id_test"]
        assert upstream == {"lines_v2.run" if tests == "after_each" else "lines_v2.build", _tested("orders", done)}


def _tested(name: str, verb: str) -> str:
    return f"{name}.test" if verb == "run" else f"{name}.{verb}"


def test_after_each_groups_a_node_with_its_tests() -> None:
    """A node with data tests or unit tests becomes a task group of two tasks; what follows waits for the tests."""
    after_each = plan(tests="after_each")
    assert after_each.tasks["orders.run"].group == after_each.tasks["orders.test"].group == "orders"
    assert after_each.tasks["stg_items.test"].select == "fqn:shop.staging.stg_items"  # it has a unit test only
    assert after_each.upstream["totals.run"] == {"orders.test", "lines_v2.run"}
    assert after_each.tasks["lines_v2.run"].group is None


def test_after_all_tests_the_whole_project_after_its_last_nodes() -> None:
    """One task runs all tests once nothing is left to build."""
    after_all = plan(tests="after_all")
    spec = after_all.tasks["shop_test"]
    assert (spec.node, spec.select, spec.cautious) == ("", None, False)
    assert after_all.upstream["shop_test"] == {"totals.run", "orders_history.snapshot"}


def test_none_has_no_tests() -> None:
    """With `none` there is no test task at all."""
    assert not [spec for spec in plan(tests="none").tasks.values() if spec.verb == "test"]


def test_only_sources_with_freshness_become_tasks_and_only_where_the_team_wants_them() -> None:
    """A source that declares no period, as dbt's nulls, has nothing to check."""
    assert [spec.id for spec in plan(tests="none").tasks.values() if spec.verb == "source"] == ["raw_orders.source"]
    assert plan(tests="none").tasks["raw_orders.source"].select == "source:shop.raw.orders"
    assert not [spec for spec in plan(freshness=False).tasks.values() if spec.verb == "source"]


def test_models_wait_for_their_sources_freshness_and_tests() -> None:
    """What reads a source starts once the source has been checked, as in dbt build."""
    assert plan().upstream["stg_orders.build"] == {"raw_orders.source", "raw_orders.test"}
    assert plan().upstream["raw_orders.test"] == {"raw_orders.source"}
    assert plan(freshness=False).upstream["raw_orders.test"] == frozenset()


@pytest.mark.parametrize("tests", ["build", "after_each", "after_all"])
def test_every_test_has_exactly_one_home(tests: Tests) -> None:
    """Each data test and unit test is run by exactly one task that exists."""
    of = plan(tests=tests)
    every = [n for n in of.manifest["nodes"].values() if n["resource_type"] == "test"]
    every += of.manifest["unit_tests"].values()
    runs = Counter(test for spec in of.tasks.values() for test in _tests_run_by(of, spec))
    assert runs == Counter(one["unique_id"] for one in every)


def _tests_run_by(of: Plan, spec: Any) -> list[str]:
    """What dbt runs for a task, by dbt's rules of indirect selection (`cautious`, or the test itself)."""
    tests = {n["unique_id"]: n for n in of.manifest["nodes"].values() if n["resource_type"] == "test"}
    tests |= of.manifest["unit_tests"]
    if spec.empty or spec.verb not in ("build", "test"):
        return []
    if not spec.node:
        return list(tests)
    if spec.node in tests:
        return [spec.node]
    return [test for test, found in tests.items() if found["depends_on"]["nodes"] == [spec.node]]


@pytest.mark.parametrize("tests", BEHAVIOURS)
def test_task_ids_dont_change_when_a_test_is_added(tests: Tests) -> None:
    """The first test of a model adds a task at most; it renames none."""
    before = plan(tests=tests)
    added = manifest(*_all(shop()), node("test", "not_null_totals_id.e1", "model.shop.totals"))
    after = plan(added, tests=tests)
    assert before.tasks.keys() <= after.tasks.keys()


def _all(of: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for section in ("nodes", "sources", "unit_tests") for one in of[section].values()]


def test_names_that_would_clash_are_told_apart() -> None:
    """A source, a version and a model of another package may lead to one id; each keeps a task of its own."""
    of = plan(
        manifest(
            node("model", "raw_orders"),
            node("model", "orders_v1"),
            node("model", "orders.v1"),
            node("model", "orders_v1", package="other"),
            node("source", "raw.orders", freshness={"warn_after": {"count": 1, "period": "day"}}),
            node("test", "x", "model.shop.raw_orders", "model.shop.orders_v1"),
            node("model", "x_test"),
        ),
        tests="after_each",
    )
    assert len(of.tasks) == 7
    assert len({name.casefold() for name in of.names.values()}) == 7
    assert "raw_orders.run" in of.tasks


def test_any_name_becomes_a_valid_id() -> None:
    """Spaces, other alphabets, signs and great length don't break a DAG."""
    names = ["über größe", "a/b", "{{ conn.x }}", "n" * 400, "n" * 400 + "m", "-", "<b>"]
    of = plan(
        manifest(*(node("model", name) for name in names), node("test", "t " * 200, "model.shop.a/b", "model.shop.-"))
    )
    assert len(of.tasks) == 8
    for task_id in of.tasks:
        assert len(task_id) <= 250
        assert all(character.isascii() and (character.isalnum() or character in "_-.") for character in task_id)


def test_a_selector_matches_its_node_and_not_a_folder_of_the_same_name() -> None:
    """dbt's fqn takes a folder too: a model called like one is told apart by a bracket, which matches whole names."""
    of = plan(manifest(node("model", "marts", folder=""), node("model", "orders")))
    of.manifest["nodes"]["model.shop.marts"]["fqn"] = ["shop", "marts"]
    assert of.tasks["marts.build"].select == "fqn:shop.mart[s]"
    assert of.tasks["orders.build"].select == "fqn:shop.marts.orders"


def test_signs_of_dbts_selector_syntax_are_no_syntax_in_a_name() -> None:
    """A test called `a b,c+` is one selection, of that test."""
    of = plan(
        manifest(node("model", "a"), node("model", "b"), node("test", "a b,c+@*", "model.shop.a", "model.shop.b"))
    )
    assert [spec.select for spec in of.tasks.values() if spec.verb == "test"] == ["fqn:shop.marts.a?b?c???"]


def test_a_project_without_nodes_has_no_tasks() -> None:
    """Nothing to build, nothing to test."""
    assert not plan(manifest(), tests="after_all").tasks


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("one\ttwo\r\n three ", "one two three"),
        ("a\x00b\x1b[31mc", "a b [31mc"),
        ("a\u202eb\u2028c\xa0d", "a b c d"),
        ("é" * 300, "é" * 200),
        ("\x00", ""),
    ],
)
def test_a_teams_words_are_one_printable_line(words: str, line: str) -> None:
    """Whatever a description holds, a page and a log show one line of it."""
    assert one_line(words) == line
