"""The two sample projects, built by the real adapters against the emulator and against PostgreSQL."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.emulator.conftest import ENVIRONMENT, RUNNER_PYTHON, Client, Emulator
from wherry.demo.postgres import Postgres
from wherry.demo.raw import load_raw
from wherry.errors import WherryError
from wherry.release.profiles import profiles_yml
from wherry.teams import Team, load_team

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Built:
    """A sample project with its warehouse: load its raw data, run dbt on it, count rows."""

    team: Team
    secret: Mapping[str, str]
    scratch: Path
    query: Callable[[str], list[tuple[Any, ...]]]

    def load(self) -> None:
        load_raw(self.team, self.project, self.secret, REPOSITORY)

    def dbt(self, *arguments: str) -> str:
        """What dbt printed; fails the test when dbt failed."""
        return self._run(str(RUNNER_PYTHON.with_name("dbt")), "--no-use-colors", *arguments, *self._common())

    def node_by_node(self) -> dict[str, Any]:
        script = str(Path(__file__).with_name("node_by_node.py"))
        return json.loads(self._run(str(RUNNER_PYTHON), script, "--quiet", *self._common()).splitlines()[-1])

    def counts(self, *tables: str) -> dict[str, int]:
        return {table: self.query(f"select count(*) from {table}")[0][0] for table in tables}

    @property
    def project(self) -> Any:
        return self.team.projects[self.team.name]

    def _common(self) -> list[str]:
        profiles = profiles_yml(self.team.name, self.project, self.team.warehouses[self.project.warehouse])
        (self.scratch / "profiles.yml").write_text(profiles)
        paths = [f"--{kind}-path={self.scratch}" for kind in ("target", "log")]
        return [f"--project-dir={REPOSITORY / self.project.path}", f"--profiles-dir={self.scratch}", *paths]

    def _run(self, *command: str) -> str:
        environment = {**ENVIRONMENT, **self.secret, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def finance(tmp_path: Path) -> Iterator[Built]:
    team = load_team(REPOSITORY / "k8s/teams/finance.yaml")
    emulator, client = Emulator(tmp_path), Client()
    secret = {
        "SNOWFLAKE_HOST": "127.0.0.1",
        "SNOWFLAKE_PORT": str(emulator.port),
        "SNOWFLAKE_PROTOCOL": "http",
        "DBT_ENV_SECRET_PASSWORD": "not-checked",
    }
    yield Built(team, secret, tmp_path, client.connect(emulator, database="FINANCE", schema="ANALYTICS"))
    client.stop()
    emulator.stop()


@pytest.fixture
def growth(tmp_path: Path) -> Iterator[Built]:
    team = load_team(REPOSITORY / "k8s/teams/growth.yaml")
    warehouse = team.warehouses["main"]
    with Postgres(tmp_path, roles={warehouse.user: "s3cret"}, databases={warehouse.database: warehouse.user}) as server:
        secret = {
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(server.port),
            "DBT_ENV_SECRET_PASSWORD": "s3cret",
        }

        def query(statement: str) -> list[tuple[Any, ...]]:
            connection = psycopg2.connect(server.url(warehouse.database), options="-csearch_path=analytics")
            try:
                with connection, connection.cursor() as cursor:
                    cursor.execute(statement)
                    return cursor.fetchall()
            finally:
                connection.close()

        yield Built(team, secret, tmp_path, query)


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_finance_builds_node_by_node_and_whole_and_again(finance: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """Green with the same rows each time: node by node, and at once over that after the raw data was loaded again."""
    monkeypatch.setenv("WHERRY_RUNNER_PYTHON", str(RUNNER_PYTHON))
    rows = {
        "dim_customers": 30,
        "fct_invoices": 507,
        "fct_payments": 512,
        "fct_mrr": 441,
        "revenue_monthly": 22,
        "receivables_ageing": 23,
        "ledger_reconciliation": 1019,
        "trial_balance": 15,
        "customers_history": 30,
    }
    finance.load()
    assert finance.dbt("source", "freshness").count("PASS freshness") == 3

    alone = finance.node_by_node()
    assert alone["nodes"] == 24
    assert alone["bad"] == ["fqn:finance.marts.receivables_ageing: warn_receivables_over_90_days: warn"]
    assert len(alone["alone"]) == 5, "a test over several nodes waits for all of them"
    assert finance.counts(*rows) == rows

    finance.load()
    output = finance.dbt("build")
    assert "PASS=81 WARN=1 ERROR=0 SKIP=0" in output
    assert "WARN 18 warn_receivables_over_90_days" in output
    assert finance.counts(*rows) == rows


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_growth_builds_node_by_node_and_whole_and_again(growth: Built) -> None:
    """Green with the same rows each time."""
    rows = {
        "fct_sessions": 596,
        "dim_users": 60,
        "funnel_weekly": 40,
        "channel_performance": 5,
        "campaign_performance": 4,
        "retention_weekly": 36,
        "users_history": 60,
    }
    growth.load()
    assert growth.dbt("source", "freshness").count("PASS freshness") == 2

    alone = growth.node_by_node()
    assert alone["nodes"] == 16
    assert alone["bad"] == []
    assert alone["alone"] == [
        "assert_every_purchase_is_by_a_paid_user",
        "relationships_stg_web__events_utm_source__utm_source__ref_channels_",
    ]
    assert growth.counts(*rows) == rows

    growth.load()
    assert "PASS=52 WARN=0 ERROR=0 SKIP=0" in growth.dbt("build")
    assert growth.counts(*rows) == rows


def test_late_events_change_their_session(growth: Built) -> None:
    """An event that arrives late, within the lookback, is in its session after the next run."""
    growth.load()
    growth.dbt("build", "--select", "+fct_sessions", "--resource-type", "model", "--resource-type", "seed")
    last = "select session_id, events from fct_sessions order by started_at desc, session_id desc limit 1"
    ((session, events),) = growth.query(last)
    growth.query(
        "insert into raw_web.events select 999999, visitor_id, user_id, 'page_view', '/', null, null, "
        f"occurred_at + interval '1 second', now() from raw_web.events where id = {session} returning id"
    )
    growth.dbt("run", "--select", "fct_sessions")
    assert growth.query(last) == [(session, events + 1)]


def test_raw_data_that_can_not_be_loaded_is_said(growth: Built) -> None:
    """The error holds the file, the team and the warehouse's own words."""
    refused = {**growth.secret, "DBT_ENV_SECRET_PASSWORD": "wrong"}
    with pytest.raises(WherryError, match=r"(?s)raw\.sql.*team growth.*password authentication failed") as caught:
        load_raw(growth.team, growth.project, refused, REPOSITORY)
    assert "wrong" not in str(caught.value)


def test_no_raw_data_is_fine(growth: Built, tmp_path: Path) -> None:
    """A project without raw.sql needs none."""
    load_raw(growth.team, growth.project, {}, tmp_path)


def test_unreachable_emulator_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connector's words, without a traceback."""
    monkeypatch.setenv("WHERRY_RUNNER_PYTHON", str(RUNNER_PYTHON))
    team = load_team(REPOSITORY / "k8s/teams/finance.yaml")
    secret = {
        "SNOWFLAKE_HOST": "127.0.0.1",
        "SNOWFLAKE_PORT": "1",
        "SNOWFLAKE_PROTOCOL": "http",
        "DBT_ENV_SECRET_PASSWORD": "s3cret",
    }
    with pytest.raises(WherryError, match=r"raw\.sql.*team finance") as caught:
        load_raw(team, team.projects["finance"], secret, REPOSITORY)
    assert "Traceback" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
