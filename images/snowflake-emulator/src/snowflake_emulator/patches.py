"""What fakesnow 0.12.1 does otherwise than Snowflake, and dbt minds: one function a patch, with the symptom it cures.

fakesnow's functions are replaced in place: its server and cursor call each other by module, with no seam between.
`install()` is called once, before the first connection. To see whether a newer fakesnow still needs a patch,
start the emulator with `--without NAME`.
"""

import time
from collections.abc import Callable, Collection
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from fakesnow import arrow, info_schema, transforms
from fakesnow.cursor import FakeSnowflakeCursor
from snowflake.connector.errors import Error as SnowflakeError
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

from snowflake_emulator.rewrites import rewrite
from snowflake_emulator.session import session_of
from snowflake_emulator.statements import translate

_CONFLICT_TRIES = 20


def keep_sum_type() -> None:
    """SUM of a NUMBER stays a NUMBER.

    Symptom: fakesnow rewrites SUM(x) to SUM(TRY_CAST(x AS DOUBLE)); the column becomes FLOAT, and exact sums of money
    differ in the last digits, so tests that compare them fail.
    """
    transforms.numeric_agg_implicit_cast = lambda expression: expression


def escape_table_comments() -> None:
    """A table comment may hold an apostrophe, or be absent.

    Symptoms: "unterminated string literal" with persist_docs; and for an absent comment fakesnow stores 'None' in its
    global database, which fails inside a transaction: "Attempting to write to database _fs_global in a transaction
    that has already modified database ..." (DuckDB: one transaction, one database), at every MERGE of dbt.
    """
    original = info_schema.insert_table_comment_sql

    def insert_table_comment_sql(catalog: str, schema: str, table: str, comment: str | None) -> str:
        if comment is None:
            return "select 1"
        return original(catalog, schema, table, comment.replace("\\'", "'").replace("'", "''"))

    info_schema.insert_table_comment_sql = insert_table_comment_sql


def send_null_timestamps() -> None:
    """A NULL timestamp arrives as None.

    Symptom: it arrives as 1970-01-01, because the arrow struct that carries a timestamp has no validity mask.
    """
    original = arrow.timestamp_to_sf_struct

    def timestamp_to_sf_struct(ts: pa.Array | pa.ChunkedArray) -> pa.Array:
        ts = ts.combine_chunks() if isinstance(ts, pa.ChunkedArray) else ts
        if not ts.null_count:
            return original(ts)
        filled = original(ts.fill_null(0))
        return pa.StructArray.from_arrays(filled.flatten(), fields=list(filled.type), mask=pc.is_null(ts))

    arrow.timestamp_to_sf_struct = timestamp_to_sf_struct


def rewrite_statements() -> None:
    """Temporary objects, MERGE with bare columns, contracts with a primary key, context functions: see `rewrites`."""
    original = FakeSnowflakeCursor._transform_explode

    def transform_explode(self: FakeSnowflakeCursor, expression: exp.Expr) -> list[exp.Expr]:
        return original(self, rewrite(expression, session_of(self._conn)))

    FakeSnowflakeCursor._transform_explode = transform_explode  # type: ignore[method-assign]


def answer_statements() -> None:
    """Grants, query tags, USE, column comments, SQL functions and cancelling: see `statements`."""
    original = FakeSnowflakeCursor.execute

    def execute(self: FakeSnowflakeCursor, command: str, *args: Any, **kwargs: Any) -> FakeSnowflakeCursor:
        return original(self, translate(command, session_of(self._conn), self._duck_conn), *args, **kwargs)

    FakeSnowflakeCursor.execute = execute  # type: ignore[method-assign]


def report_errors_as_sql() -> None:
    """Whatever goes wrong in a statement is a SQL error; a conflict of catalog changes is tried again.

    Symptom: fakesnow answers an error that it does not know with HTTP 500, which the connector retries, and
    dbt-snowflake sets no network timeout: the client hangs for ever.
    DuckDB finds conflicting catalog changes when they are made, where Snowflake lets the second one wait: outside a
    transaction the statement is tried again for up to 10 seconds, inside one it is error 625 (statement aborted).
    """
    original = FakeSnowflakeCursor.execute

    def execute(self: FakeSnowflakeCursor, command: str, *args: Any, **kwargs: Any) -> FakeSnowflakeCursor:
        for attempt in range(1, _CONFLICT_TRIES + 1):
            try:
                return original(self, command, *args, **kwargs)
            except duckdb.TransactionException as error:
                again = "conflict" in str(error).lower() and not self._conn._in_transaction
                if not again or attempt == _CONFLICT_TRIES:
                    raise ProgrammingError(msg=str(error), errno=625, sqlstate="40001") from error
                time.sleep(0.05 * attempt)
            except SnowflakeError:
                raise
            except duckdb.InterruptException as error:
                raise ProgrammingError(msg="SQL execution canceled", errno=604, sqlstate="57014") from error
            except Exception as error:
                message = f"emulator: {type(error).__name__}: {error}"
                raise ProgrammingError(msg=message, errno=603, sqlstate="XX000") from error
        raise AssertionError("the last attempt returns or raises")

    FakeSnowflakeCursor.execute = execute  # type: ignore[method-assign]


def leave_failed_transactions() -> None:
    """A session is usable after a failed statement in a transaction.

    Symptom: "Current transaction is aborted (please ROLLBACK)" for every later statement. Snowflake keeps such a
    transaction open and dbt sends no ROLLBACK. DuckDB can only roll back: what the transaction did before is lost.
    """
    original = FakeSnowflakeCursor.execute

    def execute(self: FakeSnowflakeCursor, command: str, *args: Any, **kwargs: Any) -> FakeSnowflakeCursor:
        try:
            return original(self, command, *args, **kwargs)
        except Exception:
            _roll_back_if_aborted(self)
            raise

    FakeSnowflakeCursor.execute = execute  # type: ignore[method-assign]


def _roll_back_if_aborted(cursor: FakeSnowflakeCursor) -> None:
    try:
        cursor._duck_conn.execute("select 1")
    except duckdb.TransactionException:
        cursor._duck_conn.rollback()
        cursor._conn._in_transaction = False


PATCHES: dict[str, Callable[[], None]] = {
    patch.__name__: patch
    for patch in (
        keep_sum_type,
        escape_table_comments,
        send_null_timestamps,
        rewrite_statements,
        answer_statements,
        report_errors_as_sql,
        leave_failed_transactions,
    )
}
"""Every patch by its name, in the order in which they wrap one another."""


def install(without: Collection[str] = ()) -> None:
    """Patch fakesnow in this process, but for the patches named."""
    for name, patch in PATCHES.items():
        if name not in without:
            patch()
