"""Beside the tasks' own work: keep as many pods waiting as a team wants, and see that what is handed over arrives."""

import logging
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from wherry.operator.kube import ApiError, Pod, PodApi
from wherry.operator.launch import How, Launched
from wherry.pod import PREFIX, PodPlan, claimable, fresh, in_vain, make_waiting_pod

NUDGE: Final = f"{PREFIX}/nudge"
_log = logging.getLogger(__name__)
_NUDGES: Final = (2.0, 4.0, 8.0, 16.0)  # seconds of silence before each
_SECONDS: Final = 10  # in which those who found too few waiting pods make no more than are missing


def keep_warm(api: PodApi, plan: PodPlan, launched: Launched) -> threading.Thread:
    """Make another pod wait, in a thread that nobody has to wait for; whatever befalls it is nobody's trouble.

    What waited in vain, by what the launch saw, is cleared away.
    """
    thread = threading.Thread(target=_keep, args=(api, plan, launched), name="waiting pods", daemon=True)
    thread.start()
    return thread


def nudge(api: PodApi, pod: Pod, begun: threading.Event) -> None:
    """Change a pod that was handed its work once more, and again, in a thread, as long as it hasn't begun.

    The kubelet writes a pod's annotations into its files whenever the pod changes, within a tenth of a second; but now
    and then it doesn't, and would at its next full round, a minute later. Seen on kind: 2 of 33 times.
    """
    threading.Thread(target=_nudge, args=(api, pod["metadata"]["name"], begun), name="nudge", daemon=True).start()


def _nudge(api: PodApi, name: str, begun: threading.Event) -> None:
    for number, pause in enumerate(_NUDGES):
        if begun.wait(pause):
            return
        try:
            api.patch(name, {"metadata": {"annotations": {NUDGE: str(number)}}})
        except ApiError as error:
            _log.debug("pod %s can't be nudged: %s", name, error)


def _keep(api: PodApi, plan: PodPlan, launched: Launched) -> None:
    now, waiting = datetime.now(UTC), launched.waiting or ()
    missing = plan.warm - sum(claimable(pod, now, plan.idle) for pod in waiting)
    for seed in islice(_seeds(launched, plan, now), max(0, missing)):
        try:
            api.create(make_waiting_pod(plan, seed))
        except ApiError as error:  # it is there already, or there is no room
            _log.debug("no further pod waits: %s", error)
    for pod in waiting:
        try:
            if in_vain(pod, now, plan.idle):
                api.delete_as_seen(pod)
        except ApiError as error:
            _log.debug("a pod that waited in vain is left: %s", error)


def _seeds(launched: Launched, plan: PodPlan, now: datetime) -> Iterator[str]:
    """What the new pods' names are made of: of those who ask for the same at once, the API server serves one.

    A pod that was taken is replaced once. Where none was, or only one that wasn't ready yet, too few wait: as many
    names are free at a time as pods may wait, so a whole level of tasks that finds none makes no more than that.
    """
    if launched.how is How.CLAIMED:
        yield str(launched.pod["metadata"]["uid"])
    if launched.how is not How.CLAIMED or fresh(launched.pod, now):
        yield f"{int(time.time()) // _SECONDS} {random.randrange(plan.warm)}"  # noqa: S311
