"""The few calls of the Kubernetes API that running one pod takes, as plain JSON.

The official client does the configuration, TLS and credentials. Its models are left out on the way back: a watch
event parsed into them costs fifty objects to read four fields.
"""

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import urllib3
from kubernetes.client import ApiClient, Configuration, V1Pod
from kubernetes.config import load_incluster_config, load_kube_config

_TOKEN: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_CONNECT: Final = 5.0  # seconds to connect
_ANSWER: Final = 30.0  # seconds for an answer
_FIRST_PAUSE: Final = 0.2  # seconds before the first of further tries
FORBIDDEN: Final = (
    5  # times in a row that a call may be forbidden: an API server that has just started knows no roles yet
)
_MERGE: Final = "application/merge-patch+json"
_LINE_LIMIT: Final = 4 * 2**20  # bytes of one line of a stream: more is cut, so that no pod fills a worker's memory

Pod = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long to bear with others, in seconds."""

    api: float = 300.0  # an API server that is away or overloaded
    log: float = 10.0  # the rest of the log of a container that ended
    margin: float = 60.0  # a pod that is past its deadline or deletion, before its node counts as lost


class ApiError(Exception):
    """The API server answered with an error; `status` 0 when it didn't answer."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float = 0.0) -> None:
        """Take what the answer said; `retry_after` is in seconds."""
        super().__init__(f"{status or 'no answer'} {reason}: {message}")
        self.status, self.reason, self.message, self.retry_after = status, reason, message, retry_after

    @property
    def transient(self) -> bool:
        """Whether the same call may succeed later."""
        return self.status in (0, 401, 408, 429) or self.status >= 500


class Stop:
    """Ends a stream that another thread reads."""

    def __init__(self) -> None:
        """Not set."""
        self.is_set = False
        self._response: urllib3.BaseHTTPResponse | None = None
        self._lock = threading.Lock()

    def set(self) -> None:
        """End the stream that is read, and any that is begun from now on."""
        with self._lock:
            self.is_set = True
            if self._response:
                _end(self._response)

    @contextmanager
    def ends(self, response: urllib3.BaseHTTPResponse) -> Iterator[None]:
        """Let this be the stream, for so long."""
        with self._lock:
            self._response = response
            if self.is_set:
                _end(response)
        try:
            yield
        finally:
            with self._lock:
                self._response = None


class PodApi:
    """Pods of one namespace."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        """Use the client's connection pool and credentials."""
        self._client, self.namespace = client, namespace
        self._path = f"/api/v1/namespaces/{quote(namespace, safe='')}"
        self.calls = 0

    def create(self, pod: V1Pod) -> Pod:
        """Create the pod; ApiError 409 when its name is taken."""
        return self._json("POST", "/pods", body=self._client.sanitize_for_serialization(pod))

    def read(self, name: str) -> Pod | None:
        """The pod as it is now, or None."""
        try:
            return self._json("GET", f"/pods/{name}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def find(self, selector: str) -> list[Pod]:
        """The pods that the label selector matches."""
        return list(self._json("GET", "/pods", {"labelSelector": selector})["items"])

    def patch(self, name: str, change: Mapping[str, Any]) -> Pod:
        """Merge a change into the pod; ApiError 409 when it names another resourceVersion than the pod has now."""
        return self._json("PATCH", f"/pods/{name}", body=change)

    def delete(
        self, name: str, *, grace: int | None = None, uid: str | None = None, version: str | None = None
    ) -> bool:
        """Ask for the pod's deletion and don't wait; False when it isn't there (any more), as it was seen."""
        body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
        body |= {} if grace is None else {"gracePeriodSeconds": grace}
        seen = {key: value for key, value in (("uid", uid), ("resourceVersion", version)) if value}
        body |= {"preconditions": seen} if seen else {}
        try:
            self._json("DELETE", f"/pods/{name}", body=body)
        except ApiError as error:
            if error.status in (404, 409):  # 409: another pod took the name, or this one was changed
                return False
            raise
        return True

    def delete_as_seen(self, pod: Pod) -> bool:
        """Ask for the deletion of a pod that hasn't changed since; False when it has, or isn't there any more."""
        meta = pod["metadata"]
        return self.delete(meta["name"], uid=meta["uid"], version=meta["resourceVersion"])

    def events(self, name: str) -> list[Pod]:
        """What Kubernetes reported about the pod."""
        return list(self._json("GET", "/events", {"fieldSelector": f"involvedObject.name={name}"})["items"])

    def watch(self, name: str, version: str, seconds: float, stop: Stop | None = None) -> Iterator[tuple[str, Pod]]:
        """Yield (type, pod) for each change after `version`, for at most `seconds`, or until `stop` is set.

        ApiError 410 when the version is too old.
        """
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(max(1, int(seconds))),
        }
        for line in self._lines("/pods", query, seconds + 5, stop or Stop()):
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise _error(event["object"].get("code", 500), event["object"], {})
            yield event["type"], event["object"]

    def log(self, name: str, container: str, since: str | None) -> Iterator[bytes]:
        """Yield the container's log lines, with their timestamps, as they are printed, until the container ends."""
        query = {"container": container, "follow": "true", "timestamps": "true"}
        yield from self._lines(f"/pods/{name}/log", query | ({"sinceTime": since} if since else {}), 300, Stop())

    def _json(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None) -> Pod:
        response = self._request(method, path, query or {}, body, _ANSWER)
        try:
            found = json.loads(response.data)
        except (ValueError, urllib3.exceptions.HTTPError) as error:
            raise ApiError(0, "Unreadable", f"{type(error).__name__} in the answer to {method} {path}") from None
        return found if isinstance(found, dict) else {}

    def _lines(self, path: str, query: Mapping[str, str], silence: float, stop: Stop) -> Iterator[bytes]:
        with closing(self._request("GET", path, query, None, silence)) as response, stop.ends(response):
            rest = b""
            try:
                for chunk in response.stream(amt=None, decode_content=False):
                    if stop.is_set:  # by ending TLS it may let undeciphered bytes through
                        return
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from lines
                    if len(rest) > _LINE_LIMIT:
                        yield rest
                        rest = b""
            except (urllib3.exceptions.HTTPError, ValueError) as error:  # ValueError: TLS was ended by `stop`
                if stop.is_set:
                    return
                raise ApiError(0, "Cut", f"{type(error).__name__} while reading {path}") from None
            if rest and not stop.is_set:
                yield rest

    def _request(
        self, method: str, path: str, query: Mapping[str, str], body: Any, silence: float
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": "wherry"}
        headers |= {} if body is None else {"Content-Type": _MERGE if method == "PATCH" else "application/json"}
        self._client.update_params_for_auth(headers, [], ["BearerToken"])
        url = f"{self._client.configuration.host}{self._path}{path}"
        self.calls += 1
        try:
            response: urllib3.BaseHTTPResponse = self._client.rest_client.pool_manager.request(
                method,
                f"{url}?{urlencode(query)}" if query else url,
                body=None if body is None else json.dumps(body),
                headers=headers,
                preload_content=False,
                retries=False,
                timeout=urllib3.Timeout(connect=_CONNECT, read=silence),
            )
            if response.status < 300:
                return response
            found = response.data
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(0, type(error).__name__, f"{method} {self._client.configuration.host}: no answer") from None
        raise _error(response.status, found, response.headers)


def connect(namespace: str) -> PodApi:
    """Reach the API server: with the pod's service account inside a cluster, else by `KUBECONFIG`."""
    configuration = Configuration()
    if _TOKEN.exists():
        load_incluster_config(client_configuration=configuration)
    else:
        load_kube_config(config_file=os.environ.get("KUBECONFIG"), client_configuration=configuration)
    return PodApi(ApiClient(configuration), namespace)


def persistently(call: Callable[[], T], patience: float, again: Callable[[ApiError], bool] | None = None) -> T:
    """Call until it succeeds; a transient error is tried again for `patience` seconds, then it is raised.

    The pauses double from 0.2 to 15 s with jitter, and are never shorter than the server's Retry-After.
    `again` tells of further errors that are worth the wait. What is forbidden otherwise is asked for FORBIDDEN times
    more, over 3 to 6 s: then the right is missing, and the error names it.
    """
    end, pause, forbidden = time.monotonic() + patience, _FIRST_PAUSE, 0
    while True:
        try:
            return call()
        except ApiError as error:
            worth_it = error.transient or bool(again and again(error))
            forbidden = forbidden + 1 if error.status == 403 and not worth_it else 0
            if not (worth_it or 0 < forbidden <= FORBIDDEN) or time.monotonic() >= end:
                raise
            wait = max(error.retry_after, random.uniform(pause / 2 if forbidden else 0, pause))  # noqa: S311
            time.sleep(max(0.0, min(wait, end - time.monotonic())))
            pause = min(2 * pause, 15.0)


def _end(response: urllib3.BaseHTTPResponse) -> None:
    with suppress(OSError, ValueError, RuntimeError):  # it has ended by itself
        response.shutdown()


def _error(status: int, body: Any, headers: Mapping[str, str]) -> ApiError:
    """Read a Kubernetes Status object, or whatever a proxy between here and there has answered."""
    try:
        found = body if isinstance(body, dict) else json.loads(body)
        reason, message = str(found["reason"]), str(found["message"])
    except (ValueError, KeyError, TypeError):
        reason, message = "Error", f"HTTP {status}"
    after = headers.get("Retry-After", "")
    return ApiError(status, reason, message, float(after) if after.isdigit() else 0.0)
