"""What the demo does with Airflow, against a server that answers as told."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from wherry.demo.airflow import AirflowSettings, warm_up
from wherry.demo.ports import free_port


def settings(port: int) -> AirflowSettings:
    return AirflowSettings(Path("home"), Path("dags"), "", port, "", "", "", {})


@pytest.fixture
def asked() -> Iterator[tuple[int, list[str]]]:
    """A port at which a server listens half a second later, and the paths that it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    port = free_port(0)
    servers: list[HTTPServer] = []

    def serve() -> None:
        servers.append(HTTPServer(("127.0.0.1", port), Handler))
        servers[0].serve_forever()

    timer = threading.Timer(0.5, serve)
    timer.start()
    yield port, paths
    while not servers:
        time.sleep(0.05)
    servers[0].shutdown()
    servers[0].server_close()
    timer.join()


def test_the_execution_api_is_asked_before_a_task_does(asked: tuple[int, list[str]]) -> None:
    """Once the server listens it is asked, once."""
    port, paths = asked
    warm_up(settings(port))
    assert paths == ["/execution/health/ping"]


def test_a_server_that_never_listens_is_given_up() -> None:
    """Whoever waits for the server says that it doesn't answer."""
    warm_up(settings(free_port(0)), patience=0.5)
