"""A pod's changes, as they happen."""

import random
import time
from collections.abc import Callable, Iterator

from wherry.operator.kube import FORBIDDEN, ApiError, Pod, PodApi, Stop, persistently

_LONGEST_WATCH = 240.0  # seconds; a connection that died in silence is found out after that
_PASSING = (403, 410)  # an API server that has just started knows no roles yet; the version asked for is too old
CHANGED, DELETED, QUIET = "changed", "deleted", "quiet"


def changes(
    api: PodApi, pod: Pod, remaining: Callable[[], float], patience: float, stop: Stop | None = None
) -> Iterator[tuple[str, Pod]]:
    """Yield (CHANGED, pod) for each change after the state given; stop after (DELETED, last state).

    (QUIET, last state) comes when nothing happened for `remaining()` seconds, or when `stop` was set: time to look
    at the clock. A watch that is cut, refused or too old is begun again after a read of the pod; ApiError when that
    fails for `patience` seconds, or when watching stays forbidden.
    """
    name, uid, failures, forbidden = pod["metadata"]["name"], pod["metadata"]["uid"], 0, 0
    version = pod["metadata"]["resourceVersion"]
    while True:
        try:
            for kind, found in api.watch(name, version, min(max(1.0, remaining()), _LONGEST_WATCH), stop):
                version, failures = found["metadata"]["resourceVersion"], 0
                if kind == "BOOKMARK" or found["metadata"].get("uid") != uid:
                    continue
                pod = found
                yield (DELETED if kind == "DELETED" else CHANGED), pod
                if kind == "DELETED":
                    return
        except ApiError as error:
            forbidden = forbidden + 1 if error.status == 403 else 0
            if forbidden > FORBIDDEN or (not error.transient and error.status not in _PASSING):
                raise
            time.sleep(max(error.retry_after, random.uniform(0, min(0.1 * 2**failures, 15.0))))  # noqa: S311
            failures += 1
            current = persistently(lambda: api.read(name), patience, again=lambda error: error.status in _PASSING)
            if current is None or current["metadata"]["uid"] != uid:
                yield DELETED, pod
                return
            version = current["metadata"]["resourceVersion"]
            pod = current
            yield CHANGED, pod
        else:
            yield QUIET, pod


def wait_gone(api: PodApi, pod: Pod, seconds: float) -> bool:
    """Wait until the pod doesn't exist any more; False when it still does after `seconds`."""
    end = time.monotonic() + seconds
    for kind, _ in changes(api, pod, lambda: end - time.monotonic(), seconds):
        if kind == DELETED:
            return True
        if time.monotonic() >= end:
            break
    return False
