"""Objects as the tables that kubectl prints. Pure."""

from datetime import UTC, datetime

from wherry.localcluster.errors import Json

_POD_COLUMNS = ("Name", "Ready", "Status", "Restarts", "Age")
_EVENT_COLUMNS = ("Last Seen", "Type", "Reason", "Object", "Message")
_COLUMNS = ("Name", "Age")


def wants_table(accept: str) -> bool:
    """Whether a caller (kubectl get) asks for a table first."""
    return "as=Table" in accept.split(",", maxsplit=1)[0] and "application/json" in accept


def as_table(answer: Json) -> Json:
    """A list, or one object, as a `Table` of meta.k8s.io/v1."""
    items = answer.get("items", [answer])
    kind = answer["kind"].removesuffix("List")
    columns = {"Pod": _POD_COLUMNS, "Event": _EVENT_COLUMNS}.get(kind, _COLUMNS)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": answer["metadata"] if "items" in answer else {},
        "columnDefinitions": [
            {
                "name": name,
                "type": "string",
                "format": "name" if name == "Name" else "",
                "description": "",
                "priority": 0,
            }
            for name in columns
        ],
        "rows": [{"cells": _cells(item, kind), "object": _partial(item)} for item in items],
    }


def _partial(item: Json) -> Json:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}


def _cells(item: Json, kind: str) -> list[str]:
    name, age = item["metadata"]["name"], _age(item["metadata"]["creationTimestamp"])
    if kind == "Pod":
        containers = item["status"].get("containerStatuses") or [{}]
        ready = sum(1 for container in containers if container.get("ready"))
        return [name, f"{ready}/{len(containers)}", pod_word(item), "0", age]
    if kind == "Event":
        about = item["involvedObject"]
        subject = f"{about['kind'].lower()}/{about['name']}"
        return [_age(item["lastTimestamp"]), item["type"], item["reason"], subject, item["message"]]
    return [name, age]


def pod_word(pod: Json) -> str:
    """A pod's state in one word, as kubectl shows it."""
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    state = (pod["status"].get("containerStatuses") or [{}])[0].get("state", {})
    inner = state.get("waiting") or state.get("terminated") or {}
    return str(pod["status"].get("reason") or inner.get("reason") or pod["status"].get("phase", "Unknown"))


def _age(created: str) -> str:
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 120)):
        if seconds >= length:
            return f"{seconds // (60 if unit == 'm' else length)}{unit}"
    return f"{seconds}s"
