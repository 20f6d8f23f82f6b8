"""Keep as many pods waiting as a team wants, beside the tasks' own work."""

import logging
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from wherry.operator.kube import ApiError, PodApi
from wherry.operator.launch import How, Launched
from wherry.pod import PodPlan, claimable, fresh, in_vain, make_waiting_pod

_log = logging.getLogger(__name__)
_SECONDS: Final = 10  # in which those who found too few waiting pods make no more than are missing


def keep_warm(api: PodApi, plan: PodPlan, launched: Launched) -> threading.Thread:
    """Make another pod wait, in a thread that nobody has to wait for; whatever befalls it is nobody's trouble.

    What waited in vain, by what the launch saw, is cleared away.
    """
    thread = threading.Thread(target=_keep, args=(api, plan, launched), name="waiting pods", daemon=True)
    thread.start()
    return thread


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
