"""Events: what the scheduler and the kubelet would have said about a pod."""

import itertools
import time
from collections import deque
from datetime import UTC, datetime

from wherry.localcluster.errors import ApiError, Json
from wherry.localcluster.status import NODE
from wherry.localcluster.store import Collection, timestamp

KEEP = 1000


class Events:
    """Records events about pods; the oldest go when there are more than `KEEP`, and a pod's repeated one is counted."""

    def __init__(self, events: Collection) -> None:
        self._events = events
        self._recorded: deque[tuple[str, str]] = deque()

    def record(self, pod: Json, reason: str, message: str, type_: str = "Normal") -> None:
        """Say something about a pod."""
        component = "default-scheduler" if reason in ("Scheduled", "FailedScheduling") else "kubelet"
        meta = pod["metadata"]
        container = pod["spec"]["containers"][0]["name"]
        about_container = reason in ("Pulling", "Pulled", "Created", "Started", "Killing", "Failed", "BackOff")
        about = {
            **{"kind": "Pod", "apiVersion": "v1", "resourceVersion": meta["resourceVersion"]},
            **{key: meta[key] for key in ("namespace", "name", "uid")},
            **({"fieldPath": f"spec.containers{{{container}}}"} if about_container else {}),
        }
        if self._count_again(about, reason, message):
            return
        now = datetime.now(UTC)
        name = f"{meta['name'][:236]}.{time.time_ns():016x}"
        self._events.create(
            {
                "metadata": {"name": name, "namespace": meta["namespace"]},
                "involvedObject": about,
                "reason": reason,
                "message": message,
                "type": type_,
                "count": 1,
                "firstTimestamp": timestamp(now),
                "lastTimestamp": timestamp(now),
                "eventTime": None,
                "source": {"component": component, **({"host": NODE} if component == "kubelet" else {})},
                "reportingComponent": component,
                "reportingInstance": NODE if component == "kubelet" else "",
            }
        )
        self._remember(meta["namespace"], name)

    def take(self, item: Json) -> Json:
        """Keep an event that a client made; ApiError 400 when it is about nothing."""
        if not isinstance(item.get("involvedObject"), dict):
            raise ApiError(400, "Event in version v1 cannot be handled: involvedObject: an object is expected")
        created = self._events.create(
            {"type": "Normal", "reason": "", **item, "count": 1, "lastTimestamp": timestamp()}
        )
        self._remember(item["metadata"]["namespace"], item["metadata"]["name"])
        return created

    def _count_again(self, about: Json, reason: str, message: str) -> bool:
        said = (about["uid"], reason, message)
        for key in itertools.islice(reversed(self._recorded), 50):
            known = self._events.find(*key)
            if known and (known["involvedObject"].get("uid"), known["reason"], known.get("message")) == said:
                self._events.update(known, lambda item: item.update(count=item["count"] + 1, lastTimestamp=timestamp()))
                return True
        return False

    def _remember(self, namespace: str, name: str) -> None:
        self._recorded.append((namespace, name))
        while len(self._recorded) > KEEP:
            if old := self._events.find(*self._recorded.popleft()):
                self._events.remove(old)
