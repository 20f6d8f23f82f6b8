"""Faults on demand: what goes wrong in real clusters, at the time and place that a test asks for.

`docs/reference/localcluster-faults.md` lists them.
"""

import asyncio
import itertools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wherry.localcluster.errors import ApiError, Json
from wherry.localcluster.selectors import label_predicate
from wherry.localcluster.store import Signal

ANNOTATION = "wherry.dev/fault"
POD_KINDS = frozenset({"create-failed", "evict", "image-pull", "lost-node", "oom", "slow-start", "status-gone"})
STREAM_KINDS = frozenset({"log-cut", "watch-cut"})
REQUEST_KINDS = frozenset({"error", "reset"})
KINDS = POD_KINDS | STREAM_KINDS | REQUEST_KINDS | {"down"}
STATUSES = (429, 500, 503)
_DURATION = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>ms|s|m|)")


@dataclass(frozen=True)
class PodFault:
    """What befalls one pod. `seconds`: after how long (slow-start: for how long)."""

    kind: str
    seconds: float = 0


@dataclass
class Fault:
    """A fault that waits for its turn. `count` is how many requests, streams or pods it will still hit."""

    id: int
    kind: str
    count: int = 1
    seconds: float = 0
    status: int = 500
    retry_after: int | None = None
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    selector: str = ""
    until: float = 0

    def to_json(self) -> Json:
        """As the fault API shows it."""
        return {key: value for key, value in vars(self).items() if value not in ("", None) and key != "until"}


_TYPES: dict[str, type | tuple[type, ...]] = {
    **{"count": int, "status": int, "retry_after": int, "seconds": (int, float)},
    **dict.fromkeys(("verb", "resource", "namespace", "name", "selector"), str),
}


def seconds(text: str) -> float:
    """`5s`, `200ms`, `1m` or `2` in seconds; ValueError otherwise."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} isn't a duration such as 5s or 200ms")
    return float(found["number"]) * {"ms": 0.001, "m": 60}.get(found["unit"], 1)


def annotated(pod: Json) -> tuple[PodFault, ...]:
    """The faults that a pod's annotation asks for: `evict=2s`, `slow-start=5s,oom`. ApiError 400 otherwise."""
    text = (pod["metadata"].get("annotations") or {}).get(ANNOTATION, "")
    faults = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        kind, _, after = part.partition("=")
        if kind not in POD_KINDS:
            raise ApiError(
                400, f"annotation {ANNOTATION}: {kind!r} is no pod fault; known: {', '.join(sorted(POD_KINDS))}"
            )
        try:
            faults.append(PodFault(kind, seconds(after) if after else 0))
        except ValueError as error:
            raise ApiError(400, f"annotation {ANNOTATION}: {error}") from None
    return tuple(faults)


class Faults:
    """The faults that wait for their turn. `on_pod(pod, fault)` hits a pod that runs already; True if it could."""

    def __init__(self, on_pod: Callable[[Fault], int]) -> None:
        self._waiting: dict[int, Fault] = {}
        self._ids = itertools.count(1)
        self._on_pod = on_pod
        self._cuts = {kind: Signal() for kind in STREAM_KINDS}

    def add(self, spec: Mapping[str, Any]) -> Fault:
        """Take a fault (see the reference page). ApiError 400 names what can't be read."""
        fault = self._read(spec)
        if fault.kind == "down":
            fault.until = time.monotonic() + fault.seconds
            self.cut_all()
        elif fault.kind in STREAM_KINDS and "count" not in spec:
            self._cuts[fault.kind].fire()
            return fault
        elif fault.kind in POD_KINDS - {"slow-start", "image-pull", "create-failed"}:
            fault.count -= self._on_pod(fault)
        if fault.count > 0:
            self._waiting[fault.id] = fault
        return fault

    def _read(self, spec: Mapping[str, Any]) -> Fault:
        kind = spec.get("kind")
        if kind not in KINDS:
            raise ApiError(400, f"kind: found {kind!r}, expected one of {', '.join(sorted(KINDS))}")
        options = {key: value for key, value in spec.items() if key != "kind"}
        for key, value in options.items():
            if key not in _TYPES or not isinstance(value, _TYPES[key]) or isinstance(value, bool):
                raise ApiError(400, f"{key}: found {value!r}; known keys: kind, {', '.join(_TYPES)}")
        if options.get("count", 1) < 1 or options.get("seconds", 0) < 0:
            raise ApiError(400, "count: at least 1 is expected; seconds: at least 0")
        if options.get("status", 500) not in STATUSES:
            raise ApiError(400, f"status: found {options['status']}, expected one of {STATUSES}")
        label_predicate(options.get("selector", ""))
        return Fault(next(self._ids), str(kind), **options)

    def cut_all(self) -> None:
        """Cut every stream that is open."""
        for signal in self._cuts.values():
            signal.fire()

    def clear(self, id_: int | None = None) -> None:
        """Forget one fault, or all."""
        for key in [id_] if id_ is not None else list(self._waiting):
            self._waiting.pop(key, None)

    def list(self) -> list[Fault]:
        """The faults that wait."""
        return list(self._waiting.values())

    def for_request(self, verb: str, resource: str, namespace: str, name: str) -> Fault | None:
        """The fault that hits this request, counted down."""
        now = time.monotonic()
        for fault in self.list():
            if fault.kind == "down" and fault.until <= now:
                self.clear(fault.id)
            elif fault.kind == "down":
                return fault
            elif fault.kind in REQUEST_KINDS and _fits(
                fault, verb=verb, resource=resource, namespace=namespace, name=name
            ):
                return self._spend(fault)
        return None

    def for_pod(self, pod: Json) -> tuple[PodFault, ...]:
        """The faults that befall a new pod: those of its annotation and those that waited for a pod like it."""
        hit = [self._spend(fault) for fault in self.list() if fault.kind in POD_KINDS and concerns(fault, pod)]
        return (*annotated(pod), *(PodFault(fault.kind, fault.seconds) for fault in hit))

    def cut(self, kind: str) -> asyncio.Event:
        """An event that is set when the stream that just opened shall be cut."""
        event = self._cuts[kind].next
        for fault in self.list():
            if fault.kind == kind:
                self._spend(fault)
                event = asyncio.Event()
                asyncio.get_running_loop().call_later(fault.seconds, event.set)
                break
        return event

    def _spend(self, fault: Fault) -> Fault:
        fault.count -= 1
        if fault.count <= 0:
            self.clear(fault.id)
        return fault


def concerns(fault: Fault, pod: Json) -> bool:
    """Whether a fault's namespace, name and selector fit a pod."""
    meta = pod["metadata"]
    return _fits(fault, namespace=meta["namespace"], name=meta["name"]) and label_predicate(fault.selector)(pod)


def _fits(fault: Fault, **facts: str) -> bool:
    return all(getattr(fault, key) in ("", value) for key, value in facts.items())
