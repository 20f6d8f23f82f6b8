"""Good files load, and mean what they say."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from wherry.teams import (
    EnvRef,
    NodeMeta,
    Postgres,
    ResourceOverrides,
    Resources,
    Snowflake,
    Team,
    dag_id,
    format_duration,
    load_team,
    load_teams,
    parse_duration,
    parse_quantity,
    pool_name,
)

GOOD = Path(__file__).parent / "good"
SAMPLES = Path(__file__).parents[2] / "k8s" / "teams"


def test_every_key() -> None:
    """A file with every key of the format loads into what it says."""
    team = load_team(GOOD / "everything.yaml")
    core = team.projects["core"]
    assert core.timeout == timedelta(hours=168)
    assert core.resources == Resources(cpu="0.5", memory="512Mi", cpu_limit="2", memory_limit="4Gi")
    assert core.nodes[0].resources == ResourceOverrides(memory="1Gi")
    assert core.allow == ()
    assert team.projects["marts"].assets == ("snowflake://acme-eu1/RAW/ORDERS", "s3://bucket/customers")
    assert team.projects["by_hand"].schedule is None
    assert isinstance(team.warehouses["events"], Postgres)
    assert team.warehouses["events"].port == 5432


def test_like_takes_over_what_it_does_not_say() -> None:
    """A chain of `like` ends in one connection with other compute."""
    warehouses = load_team(GOOD / "everything.yaml").warehouses
    transform, heavy, huge = (warehouses[name] for name in ("transform", "heavy", "huge"))
    assert isinstance(transform, Snowflake)
    assert isinstance(huge, Snowflake)
    assert transform.account == huge.account == EnvRef(env="SNOWFLAKE_ACCOUNT")
    assert huge == heavy.model_copy(update={"warehouse": "HUGE_WH"})
    assert (huge.slots, huge.schema_) == (2, "PUBLIC")


def test_pools_and_dag_ids() -> None:
    """Each warehouse is a pool, each project a DAG."""
    team = load_team(GOOD / "everything.yaml")
    assert team.pools() == {
        "everything__transform": 8,
        "everything__heavy": 2,
        "everything__huge": 2,
        "everything__events": 4,
    }
    assert team.dag_ids()["by_hand"] == dag_id("everything", "by_hand") == "everything__by_hand"
    assert pool_name("a-b", "c") == "a-b__c"


def test_defaults() -> None:
    """The smallest file gets the documented defaults."""
    team = load_team(GOOD / "least.yaml")
    project = team.projects["a"]
    assert (project.retries, project.retry_delay, project.timeout) == (2, timedelta(seconds=30), timedelta(minutes=30))
    assert (project.threads, project.tests, project.freshness, project.schedule) == (4, "build", False, None)
    assert project.allow == ("resources", "retries", "pool", "timeout", "priority")
    assert (team.service_account, team.slack) == ("runner", None)


def test_a_few_aliases_are_fine() -> None:
    """YAML's own anchors work within their bounds."""
    projects = load_team(GOOD / "aliases.yaml").projects
    assert projects["a"].resources == projects["b"].resources == Resources(cpu="100m", memory="128Mi")


def test_byte_order_mark_is_fine(tmp_path: Path) -> None:
    """An editor's UTF-8 mark at the head doesn't matter."""
    path = tmp_path / "least.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + (GOOD / "least.yaml").read_bytes())
    assert load_team(path) == load_team(GOOD / "least.yaml")


@pytest.mark.parametrize("path", [*GOOD.glob("*.yaml"), *SAMPLES.glob("*.yaml")], ids=lambda path: path.stem)
def test_json_round_trip(path: Path) -> None:
    """A team is the same after JSON, which is how a release carries it."""
    team = load_team(path)
    assert Team.model_validate_json(team.model_dump_json()) == team


def test_samples() -> None:
    """The two sample teams are valid together, and wait in pools of their own."""
    finance, growth = load_teams(SAMPLES)
    assert finance.pools() == {"finance__transform": 8, "finance__heavy": 2}
    assert growth.pools() == {"growth__main": 6}
    assert finance.projects["finance"].path == "dbt/finance"
    assert growth.warehouses["main"].host == EnvRef(env="POSTGRES_HOST")


def test_models_are_frozen() -> None:
    """Nobody changes a team after it was validated."""
    team = load_team(GOOD / "least.yaml")
    with pytest.raises(ValueError, match="frozen"):
        team.namespace = "other"  # type: ignore[misc]


def test_models_check_themselves() -> None:
    """A team that isn't made from a file obeys the same rules between its parts."""
    data = load_team(GOOD / "least.yaml").model_dump()
    data["projects"]["a"]["warehouse"] = "none"
    with pytest.raises(ValueError, match="a warehouse of this file: main"):
        Team.model_validate(data)


def test_updated_resources() -> None:
    """Overrides replace only what they name, and can't put a limit below its request."""
    assert Resources().updated(ResourceOverrides(memory_limit="2Gi")) == Resources(memory_limit="2Gi")
    with pytest.raises(ValueError, match="at least memory, which is 3Gi"):
        Resources().updated(ResourceOverrides(memory="3Gi"))


def test_node_meta() -> None:
    """A dbt author's meta takes what the contract names, and nothing else."""
    meta = NodeMeta.model_validate({"pool": "heavy", "resources": {"cpu": 1}, "timeout": "1h", "priority": 5})
    assert (meta.pool, meta.timeout, meta.retries) == ("heavy", timedelta(hours=1), None)
    with pytest.raises(ValueError, match="namespace"):
        NodeMeta.model_validate({"namespace": "kube-system"})


@pytest.mark.parametrize(("text", "seconds"), [("45s", 45), ("30m", 1800), ("2h", 7200), ("90m", 5400)])
def test_duration(text: str, seconds: int) -> None:
    """A duration is read, and written so that it is read again as the same."""
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert parse_duration(format_duration(parse_duration(text))) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30", "m", "1.5h", "-1s", "1d", "1h30m", " 1s", "1s\n", "\u0663s"])
def test_not_a_duration(text: str) -> None:
    """Anything but a number and a unit is refused."""
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250m", Decimal("0.25")),
        ("2", Decimal(2)),
        ("0.5", Decimal("0.5")),
        ("512Mi", Decimal(512 * 1024**2)),
        ("4Gi", Decimal(4 * 1024**3)),
        ("1.5G", Decimal(1_500_000_000)),
        ("1k", Decimal(1000)),
        ("1Ti", Decimal(1024**4)),
    ],
)
def test_quantity(text: str, value: Decimal) -> None:
    """Kubernetes quantities are compared exactly."""
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "m", "1e9", "1E", "512MB", "1 Gi", "-1", "1n", "0x10", "\u0661"])
def test_not_a_quantity(text: str) -> None:
    """Slips of the pen aren't quantities."""
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity(text)
