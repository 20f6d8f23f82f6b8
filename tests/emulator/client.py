"""The other end of `conftest.Client`, run by the runner's Python: the real connector, driven by pickles on stdin."""

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import snowflake.connector

sessions: dict[str, Any] = {}


def connect(port: int, facts: dict[str, Any]) -> Any:
    """Log in, as dbt-snowflake would."""
    login: dict[str, Any] = {"account": "test", "user": "tester", "password": "any", "database": "DB", "schema": "S"}
    where = {"host": "127.0.0.1", "port": port, "protocol": "http", "login_timeout": 10, "network_timeout": 8}
    return snowflake.connector.connect(**{**login, **where, **facts})


def run(session: Any, statement: str) -> tuple[Any, ...]:
    """('rows', rows, {column: type code}) or ('error', number, SQL state, message)."""
    try:
        cursor = session.cursor()
        cursor.execute(statement)
        return "rows", cursor.fetchall(), {column.name: column.type_code for column in cursor.description}
    except snowflake.connector.errors.Error as error:
        return "error", error.errno, error.sqlstate, str(error)


def run_at_once(port: int, statements: list[str]) -> list[tuple[Any, ...]]:
    """Each statement in a session and a thread of its own."""
    logins = [connect(port, {}) for _ in statements]
    with ThreadPoolExecutor(len(statements)) as pool:
        answers = list(pool.map(run, logins, statements))
    for login in logins:
        login.close()
    return answers


def answer(request: tuple[Any, ...]) -> Any:
    """Do what is asked."""
    match request:
        case "connect", name, port, facts:
            sessions[name] = connect(port, facts)
            return None
        case "run", name, statement:
            return run(sessions[name], statement)
        case "run_at_once", port, statements:
            return run_at_once(port, statements)
        case "close", name:
            return sessions.pop(name).close()
    raise ValueError(request)


if __name__ == "__main__":
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            break
        pickle.dump(answer(request), sys.stdout.buffer)
        sys.stdout.buffer.flush()
