"""Watches: what changed since a revision, then what changes from now on, as the API streams it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from wherry.localcluster.errors import ApiError, Json
from wherry.localcluster.logs import first_of
from wherry.localcluster.selectors import Predicate
from wherry.localcluster.store import Change, Collection, Store

_BOOKMARK_EVERY = 30.0


@dataclass(frozen=True)
class WatchOptions:
    """What a watcher asked for. `revision` None: begin with what is there."""

    namespace: str
    matches: Predicate
    revision: int | None
    bookmarks: bool
    timeout: float


async def watch(
    store: Store, collection: Collection, options: WatchOptions, cut: asyncio.Event
) -> AsyncIterator[bytes]:
    """One JSON object a line until the timeout, or until `cut` is set."""
    loop = asyncio.get_running_loop()
    end = loop.time() + options.timeout
    revision = options.revision
    if revision is None:
        revision = store.revision
        for item in collection.list(options.namespace):
            if options.matches(item):
                yield _line("ADDED", item)
    while True:
        signal = collection.signal.next
        try:
            changes = collection.since(revision)
        except ApiError as error:
            yield _line("ERROR", error.body())
            return
        for change in changes:
            revision = change.revision
            if seen := _seen(change, options):
                yield _line(seen, change.object)
        left = end - loop.time()
        if left > 0 and not cut.is_set():
            await first_of(signal, cut, timeout=min(left, _BOOKMARK_EVERY))
        if not signal.is_set() and options.bookmarks and not cut.is_set():
            yield _line("BOOKMARK", _bookmark(collection, max(revision, store.revision)))
        if cut.is_set() or loop.time() >= end:
            return


def _seen(change: Change, options: WatchOptions) -> str | None:
    """What a watcher sees of a change: an object that comes to match its selector is ADDED, one that ceases DELETED."""
    if options.namespace and change.object["metadata"].get("namespace") != options.namespace:
        return None
    now = options.matches(change.object)
    before = change.previous is not None and options.matches(change.previous)
    if change.type == "DELETED":
        return "DELETED" if before else None
    if now:
        return "MODIFIED" if before else "ADDED"
    return "DELETED" if before else None


def _bookmark(collection: Collection, revision: int) -> Json:
    return {
        "kind": collection.kind,
        "apiVersion": "v1",
        "metadata": {"resourceVersion": str(revision), "creationTimestamp": None},
    }


def _line(type_: str, item: Json) -> bytes:
    return json.dumps({"type": type_, "object": item}, separators=(",", ":")).encode() + b"\n"
