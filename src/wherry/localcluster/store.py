"""The objects, their resourceVersions and their history, from which watches are served. All in memory."""

import asyncio
import base64
import itertools
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from wherry.localcluster.errors import ApiError, Json, already_exists, conflict, not_found

KINDS = {
    "namespaces": "Namespace",
    "pods": "Pod",
    "events": "Event",
    "secrets": "Secret",
    "configmaps": "ConfigMap",
    "serviceaccounts": "ServiceAccount",
    "resourcequotas": "ResourceQuota",
}


def timestamp(moment: datetime | None = None) -> str:
    """RFC 3339 in whole seconds, as the API writes times."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Signal:
    """Wakes all who wait, each time that it is fired. Take `next` before you look, then wait for it."""

    def __init__(self) -> None:
        self.next = asyncio.Event()

    def fire(self) -> None:
        """Wake those who wait now; later comers wait for the next time."""
        fired, self.next = self.next, asyncio.Event()
        fired.set()


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one object: ADDED, MODIFIED or DELETED."""

    revision: int
    type: str
    object: Json
    previous: Json | None


class Collection:
    """All objects of one kind. Objects are never changed in place: each version is a new one."""

    def __init__(self, resource: str, revisions: Iterator[int], history: int) -> None:
        self.resource = resource
        self.kind = KINDS[resource]
        self.signal = Signal()
        self._revisions = revisions
        self._objects: dict[tuple[str, str], Json] = {}
        self._history: deque[Change] = deque()
        self._keep = history
        self._forgotten = 0

    def find(self, namespace: str, name: str) -> Json | None:
        """The object, or None."""
        return self._objects.get((namespace, name))

    def get(self, namespace: str, name: str) -> Json:
        """The object; ApiError 404 where there is none."""
        found = self.find(namespace, name)
        if found is None:
            raise not_found(self.resource, name)
        return found

    def list(self, namespace: str = "") -> list[Json]:
        """The objects of a namespace (of all of them, if none is named), by name."""
        return [self._objects[key] for key in sorted(self._objects) if not namespace or key[0] == namespace]

    def create(self, item: Json) -> Json:
        """Keep a new object under a new uid; ApiError 409 when its name is taken."""
        meta = item["metadata"]
        if (meta.get("namespace", ""), meta["name"]) in self._objects:
            raise already_exists(self.resource, meta["name"])
        meta = {**meta, "uid": str(uuid.uuid4()), "creationTimestamp": timestamp()}
        return self._keep_version("ADDED", {"apiVersion": "v1", "kind": self.kind, **item, "metadata": meta}, None)

    def update(self, current: Json, change: Callable[[Json], None]) -> Json:
        """Keep a new version: a copy of `current` on which `change` was called; ApiError 404 if that object is gone.

        `change` may set keys of the object and of its parts (metadata, spec, status), and nothing deeper.
        """
        meta = current["metadata"]
        stored = self.get(meta.get("namespace", ""), meta["name"])
        if stored["metadata"]["uid"] != meta["uid"]:
            raise not_found(self.resource, meta["name"])
        item = _copied(stored)
        change(item)
        return self._keep_version("MODIFIED", item, stored)

    def remove(self, current: Json) -> Json | None:
        """Drop the object; None if that very object (by uid) is gone already."""
        key = (current["metadata"].get("namespace", ""), current["metadata"]["name"])
        stored = self._objects.get(key)
        if stored is None or stored["metadata"]["uid"] != current["metadata"]["uid"]:
            return None
        del self._objects[key]
        return self._publish("DELETED", _copied(stored), stored)

    def since(self, revision: int) -> Sequence[Change]:
        """What changed after a revision, oldest first; ApiError 410 when that is no longer known."""
        if revision < self._forgotten:
            raise ApiError(410, f"too old resource version: {revision} ({self._forgotten})", reason="Expired")
        newer = itertools.takewhile(lambda change: change.revision > revision, reversed(self._history))
        return list(newer)[::-1]

    def _keep_version(self, type_: str, item: Json, previous: Json | None) -> Json:
        self._objects[(item["metadata"].get("namespace", ""), item["metadata"]["name"])] = item
        return self._publish(type_, item, previous)

    def _publish(self, type_: str, item: Json, previous: Json | None) -> Json:
        revision = next(self._revisions)
        item["metadata"]["resourceVersion"] = str(revision)
        self._history.append(Change(revision, type_, item, previous))
        while len(self._history) > self._keep:
            self._forgotten = self._history.popleft().revision
        self.signal.fire()
        return item


def _copied(item: Json) -> Json:
    return {key: dict(value) if isinstance(value, dict) else value for key, value in item.items()}


class Store:
    """One collection a kind, one count of revisions for all, as etcd has it."""

    def __init__(self, history: int = 2000) -> None:
        self.revision = 0
        revisions = self._count()
        self._collections = {resource: Collection(resource, revisions, history) for resource in KINDS}

    def _count(self) -> Iterator[int]:
        while True:
            self.revision += 1
            yield self.revision

    def __getitem__(self, resource: str) -> Collection:
        return self._collections[resource]


def check_preconditions(item: Json, preconditions: Json, resource: str) -> None:
    """ApiError 409 when the uid or resourceVersion that a caller expects isn't the object's."""
    meta = item["metadata"]
    for key, title in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        wanted = preconditions.get(key)
        if wanted and wanted != meta[key]:
            why = f"Precondition failed: {title} in precondition: {wanted}, {title} in object meta: {meta[key]}"
            raise conflict(resource, meta["name"], why)


def encoded(values: Json) -> Json:
    """A Secret's `stringData` as its `data`: base64."""
    return {key: base64.b64encode(str(value).encode()).decode() for key, value in values.items()}
