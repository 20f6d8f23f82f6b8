"""Label and field selectors, as the API's list, watch and deletecollection take them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from wherry.localcluster.errors import ApiError

Predicate = Callable[[Mapping[str, Any]], bool]

_KEY = r"[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?"
_SET = re.compile(rf"(?P<key>{_KEY})\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUAL = re.compile(rf"(?P<key>{_KEY})\s*(?P<op>==|!=|=)\s*(?P<value>[-A-Za-z0-9_.]*)")
_EXISTS = re.compile(rf"(?P<no>!?)\s*(?P<key>{_KEY})")

FIELDS: dict[str, tuple[str, ...]] = {
    "pods": ("spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.phase", "status.podIP"),
    "events": (
        *(f"involvedObject.{key}" for key in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")),
        "involvedObject.resourceVersion",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "namespaces": ("status.phase",),
}


def label_predicate(selector: str) -> Predicate:
    """Turn `a=b,c!=d,e in (f,g),h notin (i),j,!k` into a predicate. ApiError 400 when it can't be read."""
    parts = [_label_requirement(part.strip()) for part in re.split(r",(?![^()]*\))", selector) if part.strip()]
    return lambda item: all(part(item.get("metadata", {}).get("labels") or {}) for part in parts)


def _label_requirement(text: str) -> Predicate:
    if found := _SET.fullmatch(text):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["op"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.fullmatch(text):
        key, value = found["key"], found["value"]
        if found["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.fullmatch(text):
        key, wanted = found["key"], not found["no"]
        return lambda labels: (key in labels) is wanted
    raise ApiError(400, f"unable to parse requirement: {text!r} in the label selector")


def field_predicate(selector: str, resource: str) -> Predicate:
    """Turn `metadata.name=x,status.phase!=Running` into a predicate. ApiError 400 for an unknown field."""
    parts = [_field_requirement(part.strip(), resource) for part in selector.split(",") if part.strip()]
    return lambda item: all(part(item) for part in parts)


def _field_requirement(text: str, resource: str) -> Predicate:
    found = re.fullmatch(r"(?P<path>[A-Za-z.]+)\s*(?P<op>==|!=|=)\s*(?P<value>.*)", text)
    if not found:
        raise ApiError(400, f"invalid field selector: {text!r}")
    path, value = found["path"], found["value"]
    if path not in ("metadata.name", "metadata.namespace", *FIELDS.get(resource, ())):
        raise ApiError(400, f"field label not supported: {path}")
    if found["op"] == "!=":
        return lambda item: _field(item, path) != value
    return lambda item: _field(item, path) == value


def _field(item: Mapping[str, Any], path: str) -> str:
    value: Any = item
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if path == "source" and isinstance(value, Mapping):
        value = value.get("component")
    return str(value) if value is not None else ""
