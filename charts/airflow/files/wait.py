"""Wait until the database takes connections, then become the command that was given."""

import os
import sys
import time

import psycopg2

WAIT_SECONDS = 600


def wait() -> None:
    """Return once a connection was made; raise the last error after ten minutes."""
    url = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            psycopg2.connect(url, connect_timeout=5).close()
            return
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline:
                raise
            print(str(error).strip(), flush=True)
            time.sleep(2)


if __name__ == "__main__":
    wait()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606
