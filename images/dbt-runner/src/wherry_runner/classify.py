"""Says by cause how a dbt run ended: what was wrong, and whether trying again makes sense. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from wherry.results.codec import NodeResult, Status

_ERRORS: Final = {"error", "runtime error", "partial success"}

# A refused login is no outage: trying again only locks the account.
_PERMANENT: Final = re.compile(
    r"password authentication failed|no password supplied|incorrect username or password|JWT token is invalid"
    r"|user account .*(locked|disabled)|is not authorized|role .* does not exist|database .* does not exist"
    r"|no pg_hba\.conf entry|name or service not known",
    re.IGNORECASE,
)
# What dbt prints of Snowflake: "250001 (08001): ...", code and SQLSTATE. 2500xx, 251xxx: no connection; 3901xx: session
# or token expired; 000625: lock wait aborted; 000608: warehouse cannot resume; 290xxx: HTTP 5xx and 429 of the service.
_SNOWFLAKE_CODES: Final = re.compile(
    r"\b(?:250001|250003|250006|250024|25100[1-9]|390110|390111|390112|390114|390195|000625|000608|290\d{3})\b(?=[ :(])"
)
# dbt drops PostgreSQL's SQLSTATE, so its classes 08, 53, 57P and 40 are known by the server's own words.
_POSTGRES: Final = re.compile(
    r"connection refused|connection reset by peer|connection timed out|timeout expired|could not connect to server"
    r"|server closed the connection unexpectedly|connection (?:already closed|has been closed unexpectedly)"
    r"|could not receive data from server|could not send data to server|no route to host|network is unreachable"
    r"|temporary failure in name resolution|terminating connection due to|the database system is (?:starting up"
    r"|shutting down|in recovery mode|not yet accepting connections)|too many (?:clients|connections)"
    r"|remaining connection slots|could not serialize access|deadlock detected|EOF detected"
    # Two pods that create the same schema, type or grant at once.
    r"|tuple concurrently updated|pg_namespace_nspname_index|pg_type_typname_nsp_index",
    re.IGNORECASE,
)
_SQLSTATE: Final = re.compile(
    r"\((?:08\w{3}|57P0[123]|53300|40001|40P01)\)|\bSQLSTATE[ :=]+(?:08\w{3}|57P0[123]|53300|40001|40P01)"
)
_HTTP: Final = re.compile(
    r"\b(?:429 Too Many Requests|50[234] (?:Bad Gateway|Service Unavailable|Gateway Time-?out))\b"
    r"|(?:HTTP|status)[ a-z:]{0,12}\b(?:429|502|503|504)\b|Max retries exceeded|Remote end closed connection",
    re.IGNORECASE,
)


def is_transient(message: str) -> bool:
    """Return whether the message tells of a warehouse that was away or busy, which may have passed a minute later."""
    if _PERMANENT.search(message):
        return False
    return any(pattern.search(message) for pattern in (_SNOWFLAKE_CODES, _POSTGRES, _SQLSTATE, _HTTP))


def classify(results: Iterable[NodeResult]) -> Status:
    """Return the status of a finished run: transient only if nothing but transient trouble went wrong."""
    results = tuple(results)
    errors = [result for result in results if result.status in _ERRORS]
    if any(not is_transient(result.message) for result in errors):
        return Status.ERROR
    if any(result.status == "fail" for result in results):
        return Status.FAIL
    if errors:
        return Status.TRANSIENT
    if any(result.status == "skipped" for result in results):
        return Status.ERROR
    return Status.WARN if any(result.status == "warn" for result in results) else Status.SUCCESS


def classify_error(kind: str, message: str) -> Status:
    """Return the status of a run that dbt gave up with an exception of class `kind`, before or between nodes."""
    if kind in {"KeyboardInterrupt", "SystemExit"}:
        return Status.CANCELLED
    if is_transient(message):
        return Status.TRANSIENT
    broken = {"DbtUsageException", "DbtProjectError", "DbtProfileError", "DbtSelectorsError", "EnvVarMissingError"}
    return Status.BROKEN if kind in broken or "Env var required but not provided" in message else Status.ERROR
