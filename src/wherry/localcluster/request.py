"""What a request asks for, read from its method, path and query: the API server's RequestInfo. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from wherry.localcluster.errors import ApiError
from wherry.localcluster.logs import LogOptions

_PATH = re.compile(
    r"/api/v1(/watch)?(/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<resource>[a-z]+)(/(?P<name>[^/]+)(/(?P<sub>[a-z]+))?)?/?"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True)
class RequestInfo:
    """One call: verb (get, list, watch, create, update, patch, delete, deletecollection), resource, names."""

    verb: str
    resource: str  # with its subresource: pods, pods/log
    namespace: str
    name: str


def read_request(method: str, path: str, query: Mapping[str, str]) -> RequestInfo | None:
    """None for what isn't about objects (/version, /api, ...)."""
    found = _PATH.fullmatch(path)
    if not found:
        return None
    namespace, name = found["namespace"] or "", found["name"] or ""
    if method in ("GET", "HEAD"):
        verb = "get" if name else "watch" if is_true(query.get("watch", "")) or found[1] else "list"
    else:
        verb = _VERBS.get(method, method.lower())
        verb = "deletecollection" if verb == "delete" and not name else verb
    resource = found["resource"] + (f"/{found['sub']}" if found["sub"] else "")
    return RequestInfo(verb, resource, namespace, name)


def is_true(text: str) -> bool:
    """A boolean of a query."""
    return text.lower() in ("true", "1")


def whole_number(query: Mapping[str, str], key: str) -> int | None:
    """A number of a query; ApiError 400 when it is none or negative."""
    text = query.get(key)
    if text is None or text == "":
        return None
    if not re.fullmatch(r"\d{1,18}", text):
        raise ApiError(400, f"{key}: found {text!r}, expected a whole number, at least 0")
    return int(text)


def log_options(query: Mapping[str, str]) -> LogOptions:
    """What a reader of a log asks for; ApiError 400 when it can't be read."""
    return LogOptions(
        follow=is_true(query.get("follow", "")),
        timestamps=is_true(query.get("timestamps", "")),
        tail_lines=whole_number(query, "tailLines"),
        since=_since(query),
        limit_bytes=whole_number(query, "limitBytes"),
    )


def _since(query: Mapping[str, str]) -> str:
    ago, text = whole_number(query, "sinceSeconds"), query.get("sinceTime")
    if ago is not None and text:
        raise ApiError(400, "at most one of sinceTime or sinceSeconds may be specified")
    if ago is not None:
        moment = datetime.now(UTC) - timedelta(seconds=min(ago, 10**9))
    elif text:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ApiError(400, f"sinceTime: found {text!r}, expected RFC 3339") from None
    else:
        return ""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
