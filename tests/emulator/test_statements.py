"""What dbt sends and plain fakesnow fails at, by the real connector: one symptom a test."""

import threading
import time
from datetime import datetime
from decimal import Decimal

import pytest

from .conftest import Client, Emulator, Session, SqlError

FIXED, REAL = 0, 1  # the connector's type codes


def test_sum_of_numbers_is_a_number(sql: Session) -> None:
    """SUM of exact numbers is exact and of type NUMBER."""
    sql("create or replace table sums as select column1::number(12,2) as amount from values (0.10), (0.20)")
    assert sql("select sum(amount) as total from sums") == [(Decimal("0.30"),)]
    assert sql.types == {"TOTAL": FIXED}


def test_null_timestamp_is_none(sql: Session) -> None:
    """A NULL timestamp arrives as None and its neighbour as itself."""
    rows = sql("select column1::timestamp_ntz as t from values ('2026-01-02 03:04:05'), (null)")
    assert rows == [(datetime(2026, 1, 2, 3, 4, 5),), (None,)]


def test_merge_with_bare_columns(sql: Session) -> None:
    """Bare columns in a MERGE's INSERT mean the source, in a transaction as dbt wraps it."""
    sql("create or replace table target (id int, amount int)")
    sql("insert into target values (1, 10)")
    sql("create or replace temporary table db.s.source as select * from values (1, 11), (2, 20) as v(id, amount)")
    sql("begin")
    sql(
        "merge into db.s.target as d using db.s.source as s on d.id = s.id "
        "when matched then update set amount = s.amount "
        'when not matched then insert ("ID", "AMOUNT") values ("ID", "AMOUNT")'
    )
    sql("commit")
    assert sql("select * from target order by id") == [(1, 11), (2, 20)]


@pytest.mark.parametrize("kind", ["table", "view"])
def test_temporary_objects_take_qualified_names_and_end_with_the_session(
    client: Client, emulator: Emulator, sql: Session, kind: str
) -> None:
    """database.schema.name may be temporary; logging out drops it and frees the session."""
    before = emulator.health()["sessions"]
    session = client.connect(emulator)
    session(f"create or replace temporary {kind} db.s.passing_{kind} as select 1 as one")
    assert session(f"select * from db.s.passing_{kind}") == [(1,)]
    session.close()
    assert emulator.health()["sessions"] == before
    with pytest.raises(SqlError, match="does not exist"):
        sql(f"select * from passing_{kind}")


def test_contract_with_a_primary_key(sql: Session) -> None:
    """CREATE TABLE with columns and a constraint, AS SELECT."""
    sql("create or replace table keyed (id integer not null, name varchar(9), primary key (id)) as (select 1, 'a')")
    assert sql("select * from keyed") == [(1, "a")]


def test_table_comment_with_an_apostrophe(sql: Session) -> None:
    """persist_docs writes whatever an author wrote."""
    sql("create or replace table told (id int)")
    sql("comment on table told is $$it's one$$")
    assert sql("select comment from information_schema.tables where table_name = 'TOLD'") == [("it's one",)]


def test_table_comment_escaped_as_dbt_does(sql: Session) -> None:
    """A backslash before the apostrophe is not part of the comment."""
    sql("create or replace table told_too (id int) comment = 'it\\'s two'")
    assert sql("select comment from information_schema.tables where table_name = 'TOLD_TOO'") == [("it's two",)]


def test_column_comments(sql: Session) -> None:
    """Several columns' comments in one ALTER."""
    sql("create or replace table columns_told (id int, name varchar)")
    sql('alter table columns_told alter "ID" COMMENT $$the key, it\'s unique$$, "NAME" COMMENT $$a name$$')
    comments = (
        "select column_name, comment from information_schema.columns where table_name = 'COLUMNS_TOLD' order by 1"
    )
    assert sql(comments) == [("ID", "the key, it's unique"), ("NAME", "a name")]


def test_query_tag(sql: Session) -> None:
    """dbt reads the session's tag, sets its own, and puts the old one back."""
    sql("alter session set query_tag = 'it''s {\"node\": 1}'")
    assert sql("show parameters like 'query_tag' in session")[0][:2] == ("QUERY_TAG", 'it\'s {"node": 1}')
    sql("alter session unset query_tag")
    assert sql("show parameters like 'query_tag' in session")[0][1] == ""


def test_query_tag_of_the_login(client: Client, emulator: Emulator) -> None:
    """The tag in dbt's profile comes with the login."""
    session = client.connect(emulator, session_parameters={"QUERY_TAG": '{"team": "finance"}'})
    assert session("show parameters like 'query_tag' in session")[0][1] == '{"team": "finance"}'
    session.close()


def test_context_functions(client: Client, emulator: Emulator) -> None:
    """Role, user and warehouse are those of the login, until USE."""
    session = client.connect(emulator, user="ana", role="transformer", warehouse="transform_wh")
    context = "select current_user(), current_role(), current_warehouse()"
    assert session(context) == [("ANA", "TRANSFORMER", "TRANSFORM_WH")]
    session("use warehouse heavy_wh")
    session("use role loader")
    assert session(context) == [("ANA", "LOADER", "HEAVY_WH")]
    assert session("select current_warehouse()") == [("HEAVY_WH",)]
    session.close()


def test_grants_are_listed(sql: Session) -> None:
    """dbt compares SHOW GRANTS with what it should be."""
    sql("create or replace table granted (id int)")
    sql("grant select, insert on table db.s.granted to role reader")
    sql("revoke insert on table db.s.granted from role reader")
    assert sql("show grants on table db.s.granted") == [("SELECT", "ROLE", "READER")]
    assert sql("show grants on table db.s.other") == []


def test_scalar_function(sql: Session) -> None:
    """A SQL function with an argument."""
    sql("create or replace function doubled(x number) returns number as $$ x * 2 $$")
    assert sql("select doubled(21)") == [(42,)]


@pytest.mark.parametrize(
    "statement",
    ["create warehouse if not exists w", "alter session set timezone = 'UTC'", "create role if not exists r"],
)
def test_administration_is_accepted(sql: Session, statement: str) -> None:
    """What has no meaning here is accepted and does nothing."""
    assert sql(statement) == [("Statement executed successfully.",)]


@pytest.mark.parametrize("statement", ["select (", "create or replace macro m(x) as table select nothing from x y z"])
def test_any_failure_is_a_sql_error_at_once(sql: Session, statement: str) -> None:
    """Never HTTP 500, which the connector would retry for as long as its network timeout is, for ever in dbt."""
    began = time.monotonic()
    with pytest.raises(SqlError):
        sql(statement)
    assert time.monotonic() - began < 3


def test_session_is_usable_after_an_error_in_a_transaction(sql: Session) -> None:
    """dbt sends no ROLLBACK after a failed statement."""
    sql("create or replace table after_error (id int)")
    sql("begin")
    with pytest.raises(SqlError):
        sql("insert into after_error select 1 / 0 from absent")
    sql("insert into after_error values (1)")
    assert sql("select * from after_error") == [(1,)]


def test_sessions_that_replace_one_table_wait_for_each_other(client: Client, emulator: Emulator) -> None:
    """DuckDB refuses conflicting catalog changes where Snowflake lets one wait."""
    statement = "create or replace table contended as select 1 as one"
    assert {answer[0] for answer in client.ask("run_at_once", emulator.port, [statement] * 6)} == {"rows"}


def test_a_running_query_is_cancelled(client: Client, emulator: Emulator) -> None:
    """Cancelling from another session, as dbt does on Ctrl-C, ends the query with Snowflake's own error."""
    other = Client()
    slow, quick = other.connect(emulator), client.connect(emulator)
    (session_id,) = slow("select current_session()")[0]
    timer = threading.Timer(1, quick, [f"select system$cancel_all_queries({session_id})"])
    began = time.monotonic()
    timer.start()
    with pytest.raises(SqlError, match="canceled") as caught:
        slow("select count(*) from range(200000) a, range(200000) b where (a.range * b.range) % 7 = 3")
    assert caught.value.state == "57014"
    assert time.monotonic() - began < 6
    timer.join()
    other.stop()
    quick.close()
