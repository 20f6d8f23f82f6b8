"""The HTTP API: one table of verbs and resources, and the functions that answer them."""

import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from wherry.localcluster import discovery, objects
from wherry.localcluster.cluster import Cluster
from wherry.localcluster.errors import ApiError, Json, not_found, success
from wherry.localcluster.request import RequestInfo, is_true, log_options, read_request, whole_number
from wherry.localcluster.selectors import Predicate, field_predicate, label_predicate
from wherry.localcluster.store import KINDS
from wherry.localcluster.table import as_table, wants_table
from wherry.localcluster.watch import WatchOptions, watch

_log_to = logging.getLogger(__name__)
FAULTS = "/wherry.dev/v1/faults"
BODY_LIMIT = 3 * 1024 * 1024  # bytes, as the real one
WATCH_FOR = 1800.0  # seconds, where the caller names no timeoutSeconds
OPEN = ("/healthz", "/readyz", "/livez")


@dataclass(frozen=True)
class Call:
    """A request about objects, with what answering it needs."""

    cluster: Cluster
    info: RequestInfo
    request: Request

    @property
    def query(self) -> QueryParams:
        """The query's parameters."""
        return self.request.query_params

    def matches(self) -> Predicate:
        """The call's selectors as one predicate."""
        labels = label_predicate(self.query.get("labelSelector", ""))
        fields = field_predicate(self.query.get("fieldSelector", ""), self.info.resource)
        return lambda item: labels(item) and fields(item)


def make_app(cluster: Cluster, token: str) -> Callable[..., Awaitable[None]]:
    """The ASGI application: token, faults, dispatch, errors as Status objects."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await _answer(cluster, token, request)
        except ApiError as error:
            retry = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else None
            response = JSONResponse(error.body(), status_code=error.code, headers=retry)
        except Exception:
            _log_to.exception("internal error: %s %s", request.method, request.url.path)
            response = JSONResponse(ApiError(500, "Internal error occurred").body(), status_code=500)
        if response is None:
            scope["extensions"]["wherry.transport"].abort()
            return
        await response(scope, receive, send)

    return app


async def _answer(cluster: Cluster, token: str, request: Request) -> Response | None:
    path, method = request.url.path, request.method
    info = read_request(method, path, request.query_params)
    if path != FAULTS and not path.startswith(f"{FAULTS}/"):
        verb, resource, namespace, name = (
            (info.verb, info.resource, info.namespace, info.name) if info else ("", "", "", "")
        )
        fault = cluster.faults.for_request(verb, resource, namespace, name)
        if fault and fault.kind == "error":
            raise ApiError(fault.status, "injected fault", retry_after=fault.retry_after)
        if fault:
            return None
    if path in OPEN:
        return Response("ok", media_type="text/plain")
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not secrets.compare_digest(given.encode(), token.encode()):
        raise ApiError(401, "Unauthorized")
    if info is None:
        return await _other(cluster, request, method, path)
    return await _dispatch(Call(cluster, info, request))


async def _other(cluster: Cluster, request: Request, method: str, path: str) -> Response:
    if path.startswith(FAULTS):
        return await _faults(cluster, request, method, path.removeprefix(FAULTS).strip("/"))
    if method in ("GET", "HEAD") and (answer := discovery.document(path)):
        return JSONResponse(answer)
    raise ApiError(404, "the server could not find the requested resource", details={})


async def _faults(cluster: Cluster, request: Request, method: str, id_: str) -> Response:
    if method == "POST" and not id_:
        return JSONResponse(cluster.faults.add(await _body(request)).to_json(), status_code=201)
    if method == "DELETE" and (not id_ or id_.isdigit()):
        cluster.faults.clear(int(id_) if id_ else None)
        return JSONResponse(success({}))
    if method == "GET" and not id_:
        return JSONResponse({"items": [fault.to_json() for fault in cluster.faults.list()]})
    raise ApiError(405, f"{method} isn't supported here; POST and GET {FAULTS}, DELETE {FAULTS}[/id] are")


async def _dispatch(call: Call) -> Response:
    info = call.info
    if info.resource.split("/", maxsplit=1)[0] not in KINDS:
        raise ApiError(404, "the server could not find the requested resource", details={"kind": info.resource})
    handler = _HANDLERS.get((info.verb, info.resource)) or _HANDLERS.get(
        (info.verb, "*" if "/" not in info.resource else "")
    )
    if handler is None or (info.verb == "create" and info.name):
        raise ApiError(
            405, f"the server does not allow this method on the requested resource ({info.verb} {info.resource})"
        )
    if info.resource in objects.WRITE_ONLY and info.verb in ("get", "list", "watch"):
        raise objects.write_only(info.resource, info.name)
    return await handler(call)


async def _get(call: Call) -> Response:
    return _shown(call, call.cluster.view(call.cluster.store[_plain(call)].get(call.info.namespace, call.info.name)))


async def _list(call: Call) -> Response:
    matches, limit = call.matches(), whole_number(call.query, "limit")
    found = call.cluster.store[call.info.resource].list(call.info.namespace)
    page, meta = objects.page([item for item in found if matches(item)], limit, call.query.get("continue", ""))
    items = [call.cluster.view(item) for item in page]
    meta["resourceVersion"] = str(call.cluster.store.revision)
    return _shown(
        call, {"kind": f"{KINDS[call.info.resource]}List", "apiVersion": "v1", "metadata": meta, "items": items}
    )


async def _watch(call: Call) -> Response:
    if call.query.get("sendInitialEvents"):
        raise ApiError(422, "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled")
    revision = whole_number(call.query, "resourceVersion")
    timeout = whole_number(call.query, "timeoutSeconds")
    options = WatchOptions(
        namespace=call.info.namespace,
        matches=call.matches(),
        revision=revision or None,
        bookmarks=is_true(call.query.get("allowWatchBookmarks", "")),
        timeout=timeout or WATCH_FOR,
    )
    cluster = call.cluster
    lines = watch(cluster.store, cluster.store[call.info.resource], options, cluster.faults.cut("watch-cut"))
    return StreamingResponse(lines, media_type="application/json")


async def _create(call: Call) -> Response:
    return JSONResponse(
        call.cluster.create(call.info.resource, call.info.namespace, await _body(call.request)), status_code=201
    )


async def _update(call: Call) -> Response:
    return JSONResponse(
        call.cluster.replace(call.info.resource, call.info.namespace, call.info.name, await _body(call.request))
    )


async def _patch(call: Call) -> Response:
    content_type = call.request.headers.get("content-type", "").split(";")[0].strip()
    body = await _body(call.request, required=False)
    return JSONResponse(call.cluster.patch(call.info.resource, call.info.namespace, call.info.name, body, content_type))


async def _delete(call: Call) -> Response:
    return JSONResponse(
        call.cluster.delete(call.info.resource, call.info.namespace, call.info.name, await _delete_options(call))
    )


async def _delete_collection(call: Call) -> Response:
    options, matches = await _delete_options(call), call.matches()
    for item in call.cluster.store[call.info.resource].list(call.info.namespace):
        if matches(item):
            meta = item["metadata"]
            call.cluster.delete(call.info.resource, meta.get("namespace", ""), meta["name"], options)
    return JSONResponse(success({"kind": call.info.resource}))


async def _log(call: Call) -> Response:
    log = call.cluster.log(call.info.namespace, call.info.name, call.query)
    cut = call.cluster.faults.cut("log-cut") if is_true(call.query.get("follow", "")) else call.cluster.never
    chunks: AsyncIterator[bytes] = log.read(log_options(call.query), cut)
    return StreamingResponse(chunks, media_type="text/plain")


_HANDLERS: dict[tuple[str, str], Callable[[Call], Awaitable[Response]]] = {
    ("get", "*"): _get,
    ("get", "pods/status"): _get,
    ("get", "pods/log"): _log,
    ("list", "*"): _list,
    ("watch", "*"): _watch,
    ("create", "*"): _create,
    ("update", "*"): _update,
    ("patch", "*"): _patch,
    ("delete", "*"): _delete,
    ("deletecollection", "*"): _delete_collection,
}


async def _delete_options(call: Call) -> Json:
    grace = whole_number(call.query, "gracePeriodSeconds")
    options = await _body(call.request, required=False)
    return {**({"gracePeriodSeconds": grace} if grace is not None else {}), **options}


async def _body(request: Request, required: bool = True) -> Json:
    media = request.headers.get("content-type", "").split(";")[0].strip()
    if media and not media.endswith("json"):
        raise ApiError(
            415, f"the body is {media}; this server reads application/json only (for kubectl create: from a file)"
        )
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_LIMIT:
            raise ApiError(413, f"Request entity too large: limit is {BODY_LIMIT}", reason="RequestEntityTooLarge")
        chunks.append(chunk)
    if not size and not required:
        return {}
    try:
        body = json.loads(b"".join(chunks))
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body isn't JSON: {type(error).__name__}") from None
    if not isinstance(body, dict):
        raise ApiError(400, f"the body must be a JSON object, found {type(body).__name__}")
    return body


def _plain(call: Call) -> str:
    resource = call.info.resource.split("/", maxsplit=1)[0]
    if resource not in KINDS:
        raise not_found(resource, call.info.name)
    return resource


def _shown(call: Call, answer: Json) -> Response:
    return JSONResponse(as_table(answer) if wants_table(call.request.headers.get("accept", "")) else answer)
