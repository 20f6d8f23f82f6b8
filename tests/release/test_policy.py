"""Who decides how a node runs, and what is refused."""

from datetime import timedelta
from typing import Any

import pytest

from wherry.release import NodePolicy, Refusal, ReleaseSettings, resolve
from wherry.teams import Resources, Team

SNOWFLAKE = {"type": "snowflake", "account": "acme-eu1", "user": "DBT", "database": "FINANCE", "schema": "ANALYTICS"}


def settings(**project: Any) -> ReleaseSettings:
    team = {
        "name": "finance",
        "namespace": "team-finance",
        "owners": ["ana@example.com"],
        "secret": "warehouse",
        "warehouses": {
            "transform": {**SNOWFLAKE, "warehouse": "TRANSFORM_WH", "slots": 8},
            "heavy": {**SNOWFLAKE, "warehouse": "HEAVY_WH", "slots": 2},
            "other": {**SNOWFLAKE, "account": "acme-us1", "warehouse": "ELSEWHERE_WH", "slots": 2},
            "pg": {"type": "postgres", "host": "pg", "user": "u", "database": "d", "schema": "s", "slots": 2},
        },
        "projects": {"core": {"path": "dbt/core", "warehouse": "transform", **project}},
        "quota": {"memory_per_pod": "4Gi", "cpu_per_pod": "2"},
    }
    return ReleaseSettings.of(Team.model_validate(team), "core")


def node(wherry: Any = None, **config: Any) -> dict[str, Any]:
    meta = {} if wherry is None else {"wherry": wherry}
    return {
        "unique_id": "model.core.orders",
        "original_file_path": "models/orders.sql",
        "fqn": ["core", "orders"],
        "config": {"meta": meta, **config},
    }


RULES = [
    {"select": "tag:a", "warehouse": "heavy", "retries": 0, "timeout": "1h", "resources": {"memory": "600Mi"}},
    {"select": "tag:b", "timeout": "2h", "priority": 5, "resources": {"memory_limit": "2Gi"}},
]


def granted(found: tuple[NodePolicy, tuple[Refusal, ...]]) -> NodePolicy:
    policy, refusals = found
    assert refusals == ()
    return policy


def refused(found: tuple[NodePolicy, tuple[Refusal, ...]]) -> list[str]:
    return [refusal.key for refusal in found[1]]


def test_a_plain_node_runs_as_the_project_says() -> None:
    """Without rules and meta the project's settings and the quota's ceiling apply."""
    assert granted(resolve(node(), settings(), [])) == NodePolicy(
        pool="finance__transform",
        compute="TRANSFORM_WH",
        priority=1,
        retries=2,
        retry_delay=timedelta(seconds=30),
        timeout=timedelta(minutes=30),
        resources=Resources(),
        memory_ceiling="4Gi",
    )


def test_later_rules_win_key_by_key() -> None:
    """The order in the team file decides, whatever order the matches are given in."""
    policy = granted(resolve(node(), settings(nodes=RULES), [1, 0]))
    assert (policy.timeout, policy.retries, policy.priority) == (timedelta(hours=2), 0, 5)
    assert (policy.resources.memory, policy.resources.memory_limit) == ("600Mi", "2Gi")


def test_meta_beats_rules() -> None:
    """What the author of a node asks for and may ask for comes last."""
    asked = {"retries": 3, "timeout": "5m", "priority": 9, "resources": {"memory_limit": "3Gi"}}
    policy = granted(resolve(node(asked), settings(nodes=RULES), [0, 1]))
    assert (policy.timeout, policy.retries, policy.priority) == (timedelta(minutes=5), 3, 9)
    assert (policy.resources.memory, policy.resources.memory_limit) == ("600Mi", "3Gi")


@pytest.mark.parametrize(
    ("asked", "compute", "rules", "pool"),
    [
        ({"pool": "heavy"}, "HEAVY_WH", [0], "finance__heavy"),
        (None, "TRANSFORM_WH", [0], "finance__transform"),
        (None, "heavy_wh", [1], "finance__heavy"),
        ({"pool": "transform"}, None, [0], "finance__transform"),
        (None, None, [0], "finance__heavy"),
        (None, '"HEAVY_WH"', [], "finance__heavy"),
        (None, None, [], "finance__transform"),
    ],
)
def test_precedence_of_the_pool(asked: Any, compute: str | None, rules: list[int], pool: str) -> None:
    """snowflake_warehouse in any case, then meta.wherry.pool, the rule, the project; compute and pool agree."""
    policy = granted(resolve(node(asked, snowflake_warehouse=compute), settings(nodes=RULES), rules))
    assert policy.pool == pool
    assert policy.compute == {"finance__heavy": "HEAVY_WH", "finance__transform": "TRANSFORM_WH"}[pool]


def test_a_pool_that_contradicts_the_models_own_compute_is_refused() -> None:
    """dbt would run the model on its snowflake_warehouse, and the pool would bound the wrong one."""
    policy, refusals = resolve(node({"pool": "transform"}, snowflake_warehouse="HEAVY_WH"), settings(), [])
    assert policy.pool == "finance__heavy"
    assert [str(refusal).split(": ", 1)[1] for refusal in refusals] == [
        "meta.wherry.pool: found 'transform', expected 'heavy', where its snowflake_warehouse is"
    ]


@pytest.mark.parametrize("name", ["UNKNOWN_WH", "ELSEWHERE_WH", 7])
def test_a_virtual_warehouse_outside_the_pools_is_refused(name: Any) -> None:
    """A node would run on compute that no pool bounds, also when its name belongs to another account."""
    policy, refusals = resolve(node(snowflake_warehouse=name), settings(), [])
    assert policy.pool == "finance__transform"
    assert refusals == (
        Refusal(
            "model.core.orders",
            "models/orders.sql",
            "config.snowflake_warehouse",
            repr(name),
            "one of the team's warehouses: HEAVY_WH, TRANSFORM_WH",
        ),
    )


def test_snowflake_warehouse_means_nothing_to_postgres() -> None:
    """The PostgreSQL adapter ignores the config, and so does the pool."""
    assert granted(resolve(node(snowflake_warehouse="X"), settings(warehouse="pg"), [])).pool == "finance__pg"


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ({"namespace": "kube-system"}, "meta.wherry.namespace"),
        ({"image": "evil"}, "meta.wherry.image"),
        ({"retries": 99}, "meta.wherry.retries"),
        ({"retries": "2"}, "meta.wherry.retries"),
        ({"timeout": 60}, "meta.wherry.timeout"),
        ({"pool": "nowhere"}, "meta.wherry.pool"),
        ({"pool": "pg"}, "meta.wherry.pool"),
        ({"pool": ["heavy"]}, "meta.wherry.pool"),
        ({"resources": {"memory_limit": "5Gi"}}, "meta.wherry.resources"),
        ({"resources": {"cpu_limit": "3"}}, "meta.wherry.resources"),
        ({"resources": {"memory": "2Gi"}}, "meta.wherry.resources"),
        ({"resources": {"gpu": 1}}, "meta.wherry.resources.gpu"),
        ("fast please", "meta.wherry"),
    ],
)
def test_what_a_node_may_not_ask_for_has_no_effect(asked: Any, key: str) -> None:
    """The refusal names the key; the policy is that of a node that asked for nothing."""
    policy, refusals = resolve(node(asked), settings(), [])
    assert [refusal.key for refusal in refusals] == [key]
    assert policy == granted(resolve(node(), settings(), []))


def test_one_bad_key_does_not_cost_the_good_ones() -> None:
    """All problems are told at once, and what is well formed stands."""
    found = resolve(node({"retries": 1, "secret": "x", "timeout": "soon"}), settings(), [])
    assert refused(found) == ["meta.wherry.secret", "meta.wherry.timeout"]
    assert found[0].retries == 1


def test_a_project_may_allow_less() -> None:
    """A key that the team file doesn't allow is refused, and the refusal lists what is."""
    policy, (refusal,) = resolve(node({"retries": 1, "priority": 2}), settings(allow=["priority"]), [])
    assert (policy.retries, policy.priority) == (2, 2)
    assert "one of: priority" in str(refusal)


@pytest.mark.parametrize(
    ("cosmos", "keys"),
    [
        (
            {"operator_kwargs": {"namespace": "kube-system", "image": "evil"}, "profile_config": {"target_name": "x"}},
            [
                "meta.cosmos.operator_kwargs.namespace",
                "meta.cosmos.operator_kwargs.image",
                "meta.cosmos.profile_config.target_name",
            ],
        ),
        ({"operator_kwargs": {}}, ["meta.cosmos.operator_kwargs"]),
        ("anything", ["meta.cosmos"]),
        ({}, ["meta.cosmos"]),
    ],
)
def test_nothing_for_cosmos_passes(cosmos: Any, keys: list[str]) -> None:
    """meta.cosmos would set the operator's own arguments; values aren't repeated, they may be secret."""
    refusals = resolve(node(meta={"cosmos": cosmos}), settings(), [])[1]
    assert [refusal.key for refusal in refusals] == keys
    assert "evil" not in "".join(map(str, refusals))


def test_meta_beside_the_config_counts_too() -> None:
    """Older dbt keeps meta on the node itself; the config's wins."""
    beside = {**node(), "meta": {"wherry": {"retries": 1}, "cosmos": {"pool": "x"}}}
    policy, refusals = resolve(beside, settings(), [])
    assert policy.retries == 1
    assert [refusal.key for refusal in refusals] == ["meta.cosmos.pool"]


def test_names_that_a_template_engine_would_read_are_refused() -> None:
    """A node's name becomes a dbt argument in a field that Airflow could render."""
    evil = {**node(), "fqn": ["core", "{{ conn.x.password }}"]}
    assert refused(resolve(evil, settings(), [])) == ["fqn"]


def test_two_rules_that_make_no_pod_together_are_refused() -> None:
    """Each rule fits the project's resources, both together put a limit below its request."""
    rules = [{"select": "a", "resources": {"memory": "900Mi"}}, {"select": "b", "resources": {"memory_limit": "600Mi"}}]
    found = resolve(node(), settings(nodes=rules), [0, 1])
    assert refused(found) == ["nodes[1].resources"]
    assert (found[0].resources.memory, found[0].resources.memory_limit) == ("900Mi", "1Gi")
