"""Keep as many pods waiting as a team wants, beside the tasks' own work."""

import logging
import random
import threading
import time
from datetime import UTC, datetime
from typing import Final

from wherry.operator.kube import ApiError, PodApi
from wherry.operator.launch import How, Launched
from wherry.pod import PodPlan, claimable, in_vain, make_waiting_pod

_log = logging.getLogger(__name__)
_SECONDS: Final = 10  # in which those who found too few waiting pods make no more than are missing


def keep_warm(api: PodApi, plan: PodPlan, launched: Launched) -> threading.Thread:
    """Make at most one more pod wait, in a thread that nobody has to wait for; whatever befalls it is nobody's trouble.

    What waited in vain, by what the launch saw, is cleared away.
    """
    thread = threading.Thread(target=_keep, args=(api, plan, launched), name="waiting pods", daemon=True)
    thread.start()
    return thread


def _keep(api: PodApi, plan: PodPlan, launched: Launched) -> None:
    now, waiting = datetime.now(UTC), launched.waiting or ()
    try:
        if sum(claimable(pod, now, plan.idle) for pod in waiting) < plan.warm:
            api.create(make_waiting_pod(plan, _seed(launched, plan)))
    except ApiError as error:  # it is there already, or there is no room
        _log.debug("no further pod waits: %s", error)
    try:
        for pod in waiting:
            if in_vain(pod, now, plan.idle):
                api.delete(
                    pod["metadata"]["name"], uid=pod["metadata"]["uid"], version=pod["metadata"]["resourceVersion"]
                )
    except ApiError as error:
        _log.debug("a pod that waited in vain is left: %s", error)


def _seed(launched: Launched, plan: PodPlan) -> str:
    """What the new pod's name is made of: of those who ask for the same at once, the API server serves one.

    A pod that was taken is replaced once. Where none was, as many names are free at a time as pods may wait: so a whole
    level of tasks that all found none makes no more than that.
    """
    if launched.how is How.CLAIMED:
        return str(launched.pod["metadata"]["uid"])
    return f"{int(time.time()) // _SECONDS} {random.randrange(plan.warm)}"  # noqa: S311
