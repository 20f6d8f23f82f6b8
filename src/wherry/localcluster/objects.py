"""The rules of the small kinds: what a Secret, ConfigMap, Namespace, ServiceAccount or ResourceQuota must be. Pure."""

import base64
import binascii
import json
from typing import Any

from wherry.localcluster.errors import ApiError, Cause, Json, forbidden, invalid
from wherry.localcluster.quota import quantity
from wherry.localcluster.spec import named
from wherry.localcluster.store import KINDS, encoded

WRITE_ONLY = ("secrets", "configmaps")
_PARTS = {
    "secrets": ("metadata", "type", "immutable", "data"),
    "configmaps": ("metadata", "immutable", "data"),
    "resourcequotas": ("metadata", "spec"),
}


def write_only(resource: str, name: str) -> ApiError:
    """403: values can be written and referred to, never read."""
    return forbidden(resource, name, f"write only here: {resource} can be written and referred to, not read")


def admit(item: Json, resource: str, namespace: str) -> Json:
    """An object of a small kind as it is kept. ApiError 400 or 422 when it breaks the rules; values are never in it."""
    item = named(item, KINDS[resource], namespace)
    kept = {key: value for key, value in item.items() if key in _PARTS.get(resource, ("metadata",))}
    if resource == "secrets":
        kept = {"type": "Opaque", **kept, "data": _secret_data(item)}
    if resource == "configmaps" and not all(isinstance(value, str) for value in _object(item, "data").values()):
        raise ApiError(400, "ConfigMap in version v1 cannot be handled: data: strings are expected")
    if resource == "namespaces":
        kept |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        kept["metadata"] |= {
            "labels": {
                **(kept["metadata"].get("labels") or {}),
                "kubernetes.io/metadata.name": item["metadata"]["name"],
            }
        }
    if resource == "resourcequotas":
        kept = {"spec": {}, **kept}
        _check_quota(kept)
    return kept


def _object(item: Json, key: str) -> dict[str, Any]:
    value = item.get(key) or {}
    if not isinstance(value, dict):
        raise ApiError(400, f"{item.get('kind', 'object')} cannot be handled: {key} isn't an object")
    return value


def _secret_data(item: Json) -> Json:
    data = {**_object(item, "data"), **encoded(_object(item, "stringData"))}
    for key, value in data.items():
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise ApiError(400, f"Secret in version v1 cannot be handled: data.{key}: illegal base64 data") from None
    return data


def _check_quota(item: Json) -> None:
    causes = []
    for key, value in _object(_object(item, "spec"), "hard").items():
        try:
            quantity(value)
        except ValueError as error:
            causes.append(Cause(f"spec.hard[{key}]", f"Invalid value: {error}"))
    if causes:
        raise invalid("ResourceQuota", item["metadata"]["name"], causes)


def without_values(item: Json) -> Json:
    """A Secret or ConfigMap as a response may show it."""
    return {key: value for key, value in item.items() if key not in ("data", "stringData", "binaryData")}


def page(items: list[Json], limit: int | None, token: str) -> tuple[list[Json], Json]:
    """A part of a list, and the list's metadata: where to go on, how many are left. ApiError 400 for a bad token."""
    start = 0
    if token:
        try:
            last = tuple(json.loads(base64.urlsafe_b64decode(token)))
        except (ValueError, TypeError):
            raise ApiError(400, "continue key is not valid") from None
        start = next((index for index, item in enumerate(items) if _key(item) > last), len(items))
    rest = items[start:]
    if not limit or len(rest) <= limit:
        return rest, {}
    onward = base64.urlsafe_b64encode(json.dumps(_key(rest[limit - 1])).encode()).decode()
    return rest[:limit], {"continue": onward, "remainingItemCount": len(rest) - limit}


def _key(item: Json) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]
