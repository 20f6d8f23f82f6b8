"""Statements that fakesnow does not know at all, answered from their text before it parses them."""

import re
from collections.abc import Callable

import sqlglot
from duckdb import DuckDBPyConnection

from snowflake_emulator.session import GRANTS, Session, connection_of

NO_OPERATION = [
    r"\s*grant\b",
    r"\s*revoke\b",
    r"\s*(create|alter|drop)\s+(or\s+replace\s+)?(warehouse|role|user|resource\s+monitor)\b",
    r"\s*alter\s+session\b(?!.*\b(autocommit|quoted_identifiers_ignore_case)\b)",
    r"\s*alter\s+(table|dynamic\s+table)\s+\S+\s+(resume|suspend)\s+recluster",
]
"""Accepted and not done: DuckDB has no roles, warehouses or clustering."""

_DONE = "select 'Statement executed successfully.' as \"status\""
_COLUMN_COMMENT = re.compile(r'("[^"]+"|\w+)\s+comment\s+\$\$(.*?)\$\$', re.IGNORECASE | re.DOTALL)
_OTHER_LANGUAGE = re.compile(r"\blanguage\s+(python|java|javascript|scala)", re.IGNORECASE)


def translate(command: str, session: Session, duckdb: DuckDBPyConnection) -> str:
    """The command that fakesnow should run instead of this one; the same one when it can do it by itself.

    Does the effect on the session, the grants or DuckDB at once, and then answers with a SELECT of Snowflake's reply.
    """
    for pattern, answer in _ANSWERS:
        if match := pattern.match(command):
            return answer(match, session, duckdb) or command
    return command


def _grant(match: re.Match[str], _session: Session, _duckdb: DuckDBPyConnection) -> None:
    change = GRANTS.grant if match["verb"].lower() == "grant" else GRANTS.revoke
    for privilege in re.split(r"\s*,\s*", match["privileges"]):
        change(match["name"], privilege, match["role"].strip('"'))


def _show_grants(match: re.Match[str], _session: Session, _duckdb: DuckDBPyConnection) -> str:
    rows = [f"('{privilege}', 'ROLE', '{role}')" for privilege, role in GRANTS.on(match["name"].rstrip(";"))]
    values = ", ".join(rows or ["(null, null, null)"])
    return (
        'select p as "privilege", t as "granted_to", g as "grantee_name" '  # noqa: S608 - a throw-away database
        f"from (values {values}) as v(p, t, g) where p is not null"
    )


def _set_query_tag(match: re.Match[str], session: Session, _duckdb: DuckDBPyConnection) -> None:
    session.query_tag = match["tag"].replace("''", "'")


def _unset_query_tag(_match: re.Match[str], session: Session, _duckdb: DuckDBPyConnection) -> None:
    session.query_tag = ""


def _show_query_tag(_match: re.Match[str], session: Session, _duckdb: DuckDBPyConnection) -> str:
    tag = session.query_tag.replace("'", "''")
    return (
        f"""select 'QUERY_TAG' as "key", '{tag}' as "value", '' as "default", """
        """'SESSION' as "level", '' as "description", 'STRING' as "type" """
    )


def _use(match: re.Match[str], session: Session, _duckdb: DuckDBPyConnection) -> None:
    setattr(session, match["kind"].lower(), match["name"].upper())


def _comment_columns(match: re.Match[str], _session: Session, duckdb: DuckDBPyConnection) -> str:
    for column, comment in _COLUMN_COMMENT.findall(match["columns"]):
        text = comment.replace("'", "''")
        duckdb.execute(f"COMMENT ON COLUMN {match['table']}.{column} IS '{text}'")
    return _DONE


def _create_function(match: re.Match[str], _session: Session, duckdb: DuckDBPyConnection) -> str | None:
    """Make a scalar SQL function as a DuckDB macro: neither typed nor overloaded."""
    if _OTHER_LANGUAGE.search(match.string):
        return None
    arguments = ", ".join(a.split()[0] for a in match["arguments"].split(",") if a.strip())
    body = sqlglot.parse_one(match["body"].strip().rstrip(";"), read="snowflake").sql("duckdb")
    duckdb.execute(f"CREATE OR REPLACE MACRO {match['name']}({arguments}) AS ({body})")
    return "select 'Function successfully created.' as \"status\""


def _cancel(match: re.Match[str], _session: Session, _duckdb: DuckDBPyConnection) -> str:
    if connection := connection_of(int(match["id"])):
        connection._duck_conn.interrupt()
    return "select 'cancelled' as \"status\""


_Answer = Callable[[re.Match[str], Session, DuckDBPyConnection], str | None]


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(r"\s*" + text, re.IGNORECASE | re.DOTALL)


_ANSWERS: list[tuple[re.Pattern[str], _Answer]] = [
    (
        _pattern(
            r"(?P<verb>grant|revoke)\s+(?P<privileges>.+?)\s+on\s+(?:\w+\s+)?(?P<name>\S+)"
            r"\s+(?:to|from)\s+(?:role\s+)?(?P<role>[^\s;/]+)"
        ),
        _grant,
    ),
    (_pattern(r"show\s+grants\s+on\s+(?:\w+\s+)?(?P<name>\S+)"), _show_grants),
    (_pattern(r"alter\s+session\s+set\s+query_tag\s*=\s*'(?P<tag>(?:[^']|'')*)'"), _set_query_tag),
    (_pattern(r"alter\s+session\s+unset\s+query_tag"), _unset_query_tag),
    (_pattern(r"show\s+parameters\s+like\s+'query_tag'"), _show_query_tag),
    (_pattern(r'use\s+(?P<kind>role|warehouse)\s+"?(?P<name>[\w$]+)'), _use),
    (
        _pattern(
            r"alter\s+(?:\w+\s+)*?(?:table|view)\s+(?P<table>\S+)\s+alter\s+(?=\S+\s+comment\s+\$\$)(?P<columns>.*)"
        ),
        _comment_columns,
    ),
    (
        _pattern(
            r"create\s+(?:or\s+replace\s+)?(?:secure\s+|immutable\s+)*function\s+(?P<name>[\w.\"]+)\s*"
            r"\((?P<arguments>.*?)\)\s*returns\s+.*?\s(?:language\s+sql\s+)?(?:immutable\s+|volatile\s+)?"
            r"as\s+(?:\$\$|')(?P<body>.*)(?:\$\$|')\s*;?\s*(?:/\*.*\*/\s*;?\s*)?$"
        ),
        _create_function,
    ),
    (_pattern(r"select\s+system\$(?:cancel_all_queries|abort_session)\s*\(\s*'?(?P<id>\d+)'?\s*\)"), _cancel),
]
