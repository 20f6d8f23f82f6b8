"""The client's edges: what a proxy, a dying connection or an endless line does to it."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiClient, Configuration

from tests.pod.examples import FINANCE, FIRST
from wherry.operator import kube
from wherry.operator.kube import FORBIDDEN, ApiError, Patience, PodApi, connect, persistently
from wherry.operator.launch import How, Launch, NotLaunchedError
from wherry.operator.run import Ending, Listener, PodRun

Answer = Callable[[BaseHTTPRequestHandler], None]


class Api(ThreadingHTTPServer):
    """A server on loopback that gives the answers it is told to, in turn; the last one again and again."""

    daemon_threads = True

    def __init__(self, answers: list[Answer]) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.command, self.path, json.loads(body) if body else None))
                (answers.pop(0) if len(answers) > 1 else answers[0])(self)

            do_GET = do_POST = do_DELETE = do_PATCH = answer  # noqa: N815

            def log_message(self, *_: Any) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def client(self) -> PodApi:
        configuration = Configuration(host=f"http://127.0.0.1:{self.server_port}")
        return PodApi(ApiClient(configuration), "team-finance")


@pytest.fixture
def serve() -> Iterator[Callable[..., Api]]:
    started: list[Api] = []

    def start(*answers: Answer) -> Api:
        started.append(Api(list(answers)))
        return started[-1]

    yield start
    for api in started:
        api.shutdown()
        api.server_close()


def says(body: Any, status: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def streams(*chunks: bytes, whole: bool = True) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for chunk in chunks:
            handler.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        if whole:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    return answer


def test_a_proxys_page_is_an_error_like_any_other(serve: Callable[..., Api]) -> None:
    """HTML from something between here and there: a short message, without the page."""
    api = serve(says(b"<html>Bad gateway, you have been hacked</html>", 502)).client()
    with pytest.raises(ApiError) as caught:
        api.find("")
    assert (caught.value.status, caught.value.transient) == (502, True)
    assert "hacked" not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[1]", b""])
def test_an_answer_that_is_no_json_is_transient(serve: Callable[..., Api], body: bytes) -> None:
    """200 and nonsense (a captive portal, a cut answer): asked again, not believed."""
    api = serve(says(body)).client()
    if body == b"[1]":
        assert api.read("p") == {}
        return
    with pytest.raises(ApiError) as caught:
        api.read("p")
    assert caught.value.transient


def test_nobody_listens() -> None:
    """A refused connection is an ApiError without a traceback of urllib3's, and names the server."""
    api = PodApi(ApiClient(Configuration(host="http://127.0.0.1:9")), "n")
    with pytest.raises(ApiError, match=r"http://127\.0\.0\.1:9: no answer") as caught:
        api.find("")
    assert caught.value.transient
    assert caught.value.__cause__ is None


def test_a_stream_that_breaks_off_is_told_from_one_that_ends(serve: Callable[..., Api]) -> None:
    """Lines come as they are whole; a missing end is an error, after the lines."""
    server = serve(streams(b"a\nb", b"c\nd"), streams(b"a\nbc\n", whole=False))
    assert list(server.client().log("p", "dbt", None)) == [b"a", b"bc", b"d"]
    cut = server.client().log("p", "dbt", "2026-11-22T06:00:00Z")
    assert [next(cut), next(cut)] == [b"a", b"bc"]
    with pytest.raises(ApiError):
        next(cut)
    assert "sinceTime=2026-11-22T06%3A00%3A00Z" in server.asked[1][1]


def test_an_endless_line_does_not_fill_the_memory(serve: Callable[..., Api], monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod that prints without newlines is cut into pieces."""
    monkeypatch.setattr(kube, "_LINE_LIMIT", 1000)
    found = list(serve(streams(*[b"x" * 400] * 10)).client().log("p", "dbt", None))
    assert b"".join(found) == b"x" * 4000
    assert max(map(len, found)) <= 1400


def test_an_error_in_a_watch_is_raised(serve: Callable[..., Api]) -> None:
    """410 comes as an event of an answer that was 200."""
    event = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old resource version"}}
    with pytest.raises(ApiError) as caught:
        list(serve(streams(json.dumps(event).encode())).client().watch("p", "1", 5))
    assert (caught.value.status, caught.value.reason) == (410, "Expired")


def test_patience_ends(serve: Callable[..., Api]) -> None:
    """A server that never recovers is asked several times, less and less often, and then given up."""
    server = serve(says({"reason": "InternalError", "message": "no"}, 500))
    with pytest.raises(ApiError, match="InternalError: no"):
        persistently(lambda: server.client().read("p"), 1.5)
    assert 3 <= len(server.asked) <= 40


def test_what_will_not_change_is_not_asked_twice(serve: Callable[..., Api]) -> None:
    """404 is an answer."""
    server = serve(says({"reason": "NotFound", "message": "no"}, 404))
    with pytest.raises(ApiError):
        persistently(lambda: server.client().find(""), 5)
    assert len(server.asked) == 1


NO_RIGHT = says({"reason": "Forbidden", "message": 'User "airflow-worker" cannot create resource "pods"'}, 403)
NO_LOGIN = says({"reason": "Unauthorized", "message": "Unauthorized"}, 401)


def launch(server: Api) -> Launch:
    return Launch(server.client(), FINANCE, FIRST, lambda *_: None, Patience())


def test_a_pod_is_asked_for_again_while_an_api_server_starts(serve: Callable[..., Api]) -> None:
    """Before its tokens and roles are loaded it refuses everybody: 401, then 403, then it takes the pod."""
    server = serve(NO_LOGIN, NO_RIGHT, NO_RIGHT, says({"metadata": {"name": "p"}}, 201))
    launched = launch(server)(["build"])
    assert (launched.pod["metadata"]["name"], launched.how, len(server.asked)) == ("p", How.CREATED, 4)


def test_a_right_to_create_pods_that_is_missing_is_named(
    serve: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a few times it isn't the API server that is new."""
    monkeypatch.setattr(kube, "_FIRST_PAUSE", 0.01)
    server = serve(NO_RIGHT)
    with pytest.raises(NotLaunchedError) as caught:
        launch(server)(["build"])
    assert caught.value.outcome.cause == "refused"
    assert 'cannot create resource "pods"' in caught.value.outcome.message
    assert len(server.asked) == 1 + FORBIDDEN


def test_a_full_quota_is_waited_for_longer(serve: Callable[..., Api], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is forbidden too, but room comes: that isn't counted."""
    monkeypatch.setattr(kube, "_FIRST_PAUSE", 0.001)
    full = says({"reason": "Forbidden", "message": "exceeded quota: team, requested: pods=1"}, 403)
    none_waits = says({"items": []})
    server = serve(*[full, none_waits] * (2 * FORBIDDEN), says({"metadata": {"name": "p"}}, 201))
    launch(server)(["build"])
    assert [method for method, _, _ in server.asked].count("POST") == 2 * FORBIDDEN + 1


def test_deleting_what_is_gone_is_no_error(serve: Callable[..., Api]) -> None:
    """404, or another pod under the name (409 by the uid's precondition): nothing to delete."""
    server = serve(says({"reason": "NotFound", "message": ""}, 404), says({"reason": "Conflict", "message": ""}, 409))
    assert [server.client().delete("p", uid="1"), server.client().delete("p", grace=0)] == [False, False]
    assert server.asked[0][2]["preconditions"] == {"uid": "1"}
    assert server.asked[1][2]["gracePeriodSeconds"] == 0


def test_in_a_cluster_the_service_account_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a token file there, neither KUBECONFIG nor an Airflow connection is looked at."""
    token = tmp_path / "token"
    token.write_text("abc")
    monkeypatch.setattr(kube, "_TOKEN", token)
    used: list[Any] = []
    monkeypatch.setattr(
        kube,
        "load_incluster_config",
        lambda client_configuration: used.append(client_configuration),  # noqa: PLW0108
    )
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    assert connect("team-finance").namespace == "team-finance"
    assert len(used) == 1


class SilentNode(PodApi):
    """A pod that runs, and of which nobody hears again: its node was cut off, which no local process can play."""

    def __init__(self, metadata: dict[str, Any] | None = None, events: list[Any] | None = None) -> None:
        self.pod = {
            "metadata": {"name": "p", "uid": "u", "resourceVersion": "1", **(metadata or {})},
            "spec": {"nodeName": "node-7"},
            "status": {"phase": "Running", "containerStatuses": [{"name": "dbt", "state": {"running": {}}}]},
        }
        self.deleted: list[int | None] = []
        self.told = events or []

    def create(self, pod: Any) -> dict[str, Any]:
        return self.pod

    def watch(self, *_: object) -> Iterator[tuple[str, dict[str, Any]]]:
        threading.Event().wait(0.05)
        yield from ()

    def log(self, name: str, container: str, since: str | None) -> Iterator[bytes]:
        yield from ()

    def events(self, name: str) -> list[Any]:
        return self.told

    def delete(self, name: str, *, grace: int | None = None, uid: str | None = None) -> bool:
        self.deleted.append(grace)
        return True


def ending_on(api: SilentNode, **changes: timedelta) -> Ending:
    plan = replace(FINANCE, grace=timedelta(seconds=0), **changes)
    listener = Listener(lambda _: None, lambda *_: None)
    return PodRun(api, plan, FIRST, listener, Patience(api=1, log=1, margin=0.1)).run(["build"], None)


def test_a_pod_past_its_deadline_on_a_silent_node_is_lost() -> None:
    """Nobody ends it: it counts as lost, and is deleted by force, so that the next try needn't wait for its node."""
    api = SilentNode()
    ending = ending_on(api, timeout=timedelta(seconds=0))
    assert (ending.outcome.cause, api.deleted) == ("lost", [0])
    assert "node-7" in ending.outcome.message


def test_a_deletion_that_a_silent_node_never_confirms() -> None:
    """The node controller marks the pod deleted; after its grace and a margin it counts as lost."""
    api = SilentNode({"deletionTimestamp": "2026-11-22T06:00:00Z"})
    assert (ending_on(api).outcome.cause, api.deleted) == ("lost", [0])


def test_a_pod_that_never_started_tells_its_last_warning() -> None:
    """Events are read once, when waiting is over."""
    api = SilentNode(events=[{"type": "Warning", "reason": "FailedMount", "message": "no disk"}])
    api.pod["status"] = {"phase": "Pending"}
    ending = ending_on(api, startup_timeout=timedelta(seconds=0))
    assert (ending.outcome.cause, ending.outcome.message) == ("never_started", "FailedMount: no disk")


class GoneMeanwhile(SilentNode):
    """The watch is cut, and the pod isn't there any more when it is asked for."""

    def watch(self, *_: object) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "BOOKMARK", {"metadata": {"resourceVersion": "9"}}
        raise ApiError(410, "Expired", "too old")

    def read(self, name: str) -> None:
        return None


def test_a_pod_that_goes_while_the_watch_is_cut() -> None:
    """No event told of its end: the read does."""
    assert ending_on(GoneMeanwhile()).outcome.cause == "gone"


def test_a_watch_that_is_forbidden_ends_the_try() -> None:
    """A right that is missing is named after a few tries (roles may not be loaded yet), and the pod is deleted."""

    class Forbidden(SilentNode):
        def watch(self, *_: object) -> Iterator[tuple[str, dict[str, Any]]]:
            raise ApiError(403, "Forbidden", "cannot watch resource pods")
            yield

        def read(self, name: str) -> dict[str, Any]:
            return self.pod

    api = Forbidden()
    ending = ending_on(api)
    assert ending.outcome.cause == "refused"
    assert "cannot watch resource pods" in ending.outcome.message
    assert api.deleted == [None]
