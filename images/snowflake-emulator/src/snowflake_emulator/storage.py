"""A fakesnow instance whose data outlives the process: one DuckDB file a database, in one folder."""

import logging
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
from fakesnow import info_schema, macros
from fakesnow.instance import GLOBAL_DATABASE_NAME, FakeSnow

from snowflake_emulator.statements import NO_OPERATION

log = logging.getLogger("fakesnow.server")


class RecentResults(OrderedDict[str, tuple[Any, ...]]):
    """fakesnow keeps every result for RESULT_SCAN and never forgets one: keep the last 200."""

    _lock = threading.Lock()
    _limit = 200

    def __setitem__(self, query_id: str, result: tuple[Any, ...]) -> None:
        """Keep a result, forget the oldest."""
        with self._lock:
            super().__setitem__(query_id, result)
            while len(self) > self._limit:
                self.popitem(last=False)


def open_instance(folder: Path | None) -> FakeSnow:
    """Open every database of a folder (made if absent); None: in memory only.

    `fakesnow -s` ignores its own --db-path, and attaches a file only when a client logs in to that database.
    """
    if folder is None:
        fs = FakeSnow(nop_regexes=NO_OPERATION)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        fs = _open_with_global_on_disk(folder)
        for file in sorted(folder.glob("*.db")):
            if file.stem != GLOBAL_DATABASE_NAME:
                fs.duck_conn.execute(f"ATTACH DATABASE '{_quoted(file)}' AS {file.stem}")
                fs.duck_conn.execute(info_schema.per_db_creation_sql(file.stem))
                fs.duck_conn.execute(macros.creation_sql(file.stem))
    fs.results_cache = RecentResults()
    return fs


def checkpoint(fs: FakeSnow) -> None:
    """Write every database's log into its file, then close. A busy database keeps its log, which is replayed."""
    found = fs.duck_conn.execute("select database_name from duckdb_databases() where path is not null").fetchall()
    for (name,) in found:
        try:
            fs.duck_conn.execute(f"FORCE CHECKPOINT {name}")
        except duckdb.Error as error:
            log.warning("checkpoint %s: %s", name, error)
    fs.duck_conn.close()


def _open_with_global_on_disk(folder: Path) -> FakeSnow:
    """fakesnow attaches its catalog of comments and column lengths in memory "if not exists": attach a file before."""
    connect = duckdb.connect

    def connect_with_global(*args: Any, **kwargs: Any) -> duckdb.DuckDBPyConnection:
        connection = connect(*args, **kwargs)
        connection.execute(f"ATTACH '{_quoted(folder / f'{GLOBAL_DATABASE_NAME}.db')}' AS {GLOBAL_DATABASE_NAME}")
        return connection

    with mock.patch.object(duckdb, "connect", connect_with_global):
        return FakeSnow(db_path=folder, nop_regexes=NO_OPERATION)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
