"""What the demo does with Airflow, against a server that answers as told."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wherry.demo.airflow import AirflowApi, AirflowSettings, environment, program, warm_up, write_password_file
from wherry.demo.ports import free_port
from wherry.errors import WherryError


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


Answer = tuple[int, Any]


class Server:
    """Answers each `METHOD path` with its answers in turn, the last one for ever; any other is not found."""

    def __init__(self, answers: dict[str, list[Answer]]) -> None:
        self.answers = {"POST /auth/token": [(201, {"access_token": "first"}), (201, {"access_token": "second"})]}
        self.answers |= answers
        self.asked: list[tuple[str, str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                asked = f"{self.command} {self.path.removeprefix('/api/v2')}"
                server.asked.append((asked, self.headers.get("Authorization", ""), body))
                given = server.answers.get(asked, [(404, "no such thing")])
                status, content = given.pop(0) if len(given) > 1 else given[0]
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b"" if content is None else json.dumps(content).encode())

            do_GET = do_POST = do_PATCH = do_PUT = answer  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


Serve = Callable[[dict[str, list[Answer]]], tuple[AirflowApi, Server]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a server with these answers; a client of it that has logged in. Nobody sleeps between tries."""
    monkeypatch.setattr("wherry.demo.airflow.time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: None))
    with ExitStack() as stack:

        def start(answers: dict[str, list[Answer]]) -> tuple[AirflowApi, Server]:
            server = Server(answers)
            thread = threading.Thread(target=server.http.serve_forever, args=[0.01])
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.http.server_close)
            stack.callback(server.http.shutdown)
            api = AirflowApi(server.url, "s3cret")
            api.log_in()
            return api, server

        yield start


def test_the_client_logs_in_with_the_password_and_shows_its_token(serve: Serve) -> None:
    """Every call after that carries the token that the login gave."""
    api, server = serve({"GET /pools?limit=1000": [(200, {"pools": [{"name": "a"}, {"name": "b"}]})]})
    assert api.pools() == {"a", "b"}
    assert server.asked == [
        ("POST /auth/token", "", {"username": "admin", "password": "s3cret"}),
        ("GET /pools?limit=1000", "Bearer first", None),
    ]


def test_a_file_that_is_to_be_read_already_is_not_asked_for_twice(serve: Serve) -> None:
    """Airflow keeps one such request a file, and refuses a second one until it has read it: that is as good."""
    api, server = serve({"GET /dags/d": [(200, {"file_token": "t"})], "PUT /parseDagFile/t": [(409, "unique")]})
    api.reparse("d")
    assert [asked for asked, *_ in server.asked][1:] == ["GET /dags/d", "PUT /parseDagFile/t"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_ran_out_is_renewed(serve: Serve, status: int) -> None:
    """Or is another auth manager's. The call is made again with the new one, once; who is refused then is told."""
    api, server = serve({"PATCH /dags/d": [(status, None), (200, {})]})
    api.unpause("d")
    assert [token for asked, token, _ in server.asked if asked == "PATCH /dags/d"] == ["Bearer first", "Bearer second"]
    assert server.asked[-1][2] == {"is_paused": False}
    server.answers["PATCH /dags/d"] = [(401, "still not")]
    with pytest.raises(WherryError, match=r"Airflow refused PATCH /dags/d: 401 .*still not"):
        api.pause("d")


def test_only_a_question_is_asked_again(serve: Serve) -> None:
    """A server that is overloaded is asked again; a run isn't started a second time."""
    api, server = serve({
        "GET /dags?limit=1000": [(503, None), (500, None), (200, {"dags": [{"dag_id": "d"}]})],
        "POST /dags/d/dagRuns": [(503, "overloaded"), (200, {"dag_run_id": "second"})],
    })  # fmt: skip
    assert api.dag_ids() == {"d"}
    with pytest.raises(WherryError, match=r"refused POST /dags/d/dagRuns: 503 .*overloaded"):
        api.trigger("d")
    assert [asked for asked, *_ in server.asked].count("POST /dags/d/dagRuns") == 1


def test_a_login_that_is_refused_is_said(serve: Serve) -> None:
    """Without the password."""
    api, server = serve({})
    server.answers["POST /auth/token"] = [(401, "no")]
    with pytest.raises(WherryError, match=f"Airflow at {server.url} refused the login of admin: 401") as caught:
        api.log_in()
    assert "s3cret" not in str(caught.value)


def test_a_server_is_waited_for_until_it_answers_well(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that died meanwhile ends the waiting; so does the time."""
    api, server = serve({"GET /version": [(503, None), (200, {})]})
    checks: list[int] = []
    api.wait_until_ready(lambda: checks.append(1))
    assert len(checks) == 2
    server.answers["GET /version"] = [(503, None)]
    with pytest.raises(WherryError, match=r"did not answer on .* within 0 s"):
        api.wait_until_ready(lambda: None, timeout=0.2)

    def died() -> None:
        raise WherryError("the scheduler ended")

    with pytest.raises(WherryError, match="the scheduler ended"):
        api.wait_until_ready(died)
    monkeypatch.setattr("wherry.demo.airflow._PATIENCE_SECONDS", 0)
    lost = AirflowApi(f"http://127.0.0.1:{free_port(0)}", "s3cret")
    with pytest.raises(WherryError, match="does not answer: ConnectError"):
        lost.log_in()


def test_all_pages_of_a_runs_tasks_are_read(serve: Serve) -> None:
    """A run of a large project has more task instances than one answer holds."""
    path = "GET /dags/d/dagRuns/r/taskInstances?limit=1000&offset="
    api, _ = serve({
        f"{path}0": [(200, {"task_instances": [{"task_id": "a"}, {"task_id": "b"}], "total_entries": 3})],
        f"{path}2": [(200, {"task_instances": [{"task_id": "c"}], "total_entries": 3})],
    })  # fmt: skip
    assert [one["task_id"] for one in api.task_instances("d", "r")] == ["a", "b", "c"]


def test_what_airflow_says_of_a_dag(serve: Serve) -> None:
    """Whether it is due, its last run, its active runs, a run's state, its words, and why a file wasn't read."""
    run = {"dag_id": "d", "dag_run_id": "r"}
    last = "GET /dags/d/dagRuns?order_by=-run_after&limit=1"
    api, server = serve({
        "GET /dags/d": [
            (200, {"next_dagrun_run_after": None}),
            (200, {"next_dagrun_run_after": "2000-01-01T00:00:00Z"}),
            (200, {"next_dagrun_run_after": "9000-01-01T00:00:00Z"}),
            (200, {"file_token": "t0ken"}),
        ],
        last: [(200, {"dag_runs": []}), (200, {"dag_runs": [{"dag_run_id": "r"}]})],
        "GET /dags/d/dagRuns?state=running&state=queued&limit=100": [
            (200, {"dag_runs": [{"dag_run_id": "r", "queued_at": "2026-01-02T03:04:05Z"}]})
        ],
        "GET /dags/d/details": [(200, {"doc_md": None}), (200, {"doc_md": "words"})],
        "GET /dags/~/dagRuns?dag_id_prefix_pattern=d&run_id_prefix_pattern=r&limit=100": [
            (200, {"dag_runs": [run | {"dag_id": "e"}, run | {"dag_run_id": "r2"}, run | {"state": "queued"}]}),
            (200, {"dag_runs": [run | {"dag_id": "e"}]}),
        ],
        "GET /importErrors": [(200, {"import_errors": [{"stack_trace": "no such module"}]})],
        "GET /dags/d/dagRuns/r/taskInstances/t/logs/2?full_content=true": [(200, {"content": [{"event": "a"}, "b"]})],
        "PUT /parseDagFile/t0ken": [(201, None)],
    })  # fmt: skip
    assert [api.is_due("d") for _ in range(3)] == [False, True, False]
    assert [api.latest_run("d") for _ in range(2)] == [None, {"dag_run_id": "r"}]
    assert api.active_runs("d") == {"r": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}
    assert [api.dag_docs("d") for _ in range(2)] == ["", "words"]
    assert api.run_state("d", "r") == "queued"
    with pytest.raises(WherryError, match="no run r of d"):
        api.run_state("d", "r")
    assert api.import_errors() == ["no such module"]
    assert api.log_lines("d", "r", "t", 2) == ["a", "b"]
    api.reparse("d")
    assert server.asked[-1][0] == "PUT /parseDagFile/t0ken"


def test_what_airflow_is_told_to_do(serve: Serve) -> None:
    """Pools are written over; a cleared task runs again with what comes after it unless that is not wanted."""
    done: list[Answer] = [(200, {})]
    clear = "POST /dags/d/clearTaskInstances"
    api, server = serve({"PATCH /pools": done, "PATCH /dags/d/dagRuns/r": done, clear: done})
    api.set_pools({"a__b": {"slots": 3}})
    (action,) = server.asked[-1][2]["actions"]
    assert action == {
        "action": "create",
        "entities": [{"name": "a__b", "slots": 3}],
        "action_on_existence": "overwrite",
    }
    api.fail_run("d", "r")
    assert server.asked[-1][2] == {"state": "failed"}
    for downstream in (True, False):
        api.clear("d", "r", ["t"], downstream=downstream)
        asked = server.asked[-1][2]
        assert (asked["task_ids"], asked["include_downstream"]) == (["t"], downstream)
        assert (asked["dry_run"], asked["only_failed"]) == (False, False)


def test_airflow_gets_the_demos_settings_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the AIRFLOW_ variables of the shell that starts the demo; the password is for its owner's eyes."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONFIG", "/elsewhere/airflow.cfg")
    given = AirflowSettings(
        tmp_path / "home", tmp_path / "dags", "postgresql://x", 8123, "pw", "jwt", "key", {"A": "b"}
    )
    values = environment(given)
    assert "AIRFLOW_CONFIG" not in values
    assert values["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert values["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert values["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8123/execution/"
    (bundle,) = json.loads(values["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert bundle["kwargs"]["path"] == str(tmp_path / "dags")
    assert values["A"] == "b"
    assert program(given, "scheduler", "--flag").argv[-2:] == ["scheduler", "--flag"]
    write_password_file(given)
    file = Path(values["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    assert (json.loads(file.read_text()), file.stat().st_mode & 0o777) == ({"admin": "pw"}, 0o600)
