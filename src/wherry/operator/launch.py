"""Find the pod of this try, hand it to one that waits, or create it: never two at once."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from kubernetes.client import V1Pod

from wherry.operator.kube import ApiError, Patience, Pod, PodApi, persistently
from wherry.operator.outcome import Cause, Outcome, finished, terminated
from wherry.operator.watch import wait_gone
from wherry.pod import (
    INSTANCE_LABEL,
    PREFIX,
    PodPlan,
    TaskTry,
    arguments,
    claimable,
    instance_selector,
    launch_selector,
    make_claim,
    make_pod,
    preference,
    team_selector,
    waiting_label,
    waits_for_project,
)

_log = logging.getLogger(__name__)
_CLAIMS: Final = 4  # times that another try may be faster, before a pod is made instead


class NotLaunchedError(Exception):
    """There is no pod, and won't be one in this try; the outcome says why."""

    def __init__(self, outcome: Outcome) -> None:
        """Take the outcome."""
        super().__init__(outcome.message)
        self.outcome = outcome


class How(Enum):
    """How a try got its pod: it was there before, it waited for work, or it was made."""

    ADOPTED = "adopted"
    CLAIMED = "claimed"
    CREATED = "created"


@dataclass(frozen=True)
class Launched:
    """The pod of a try; `waiting` are the pods that were seen to wait, without this one.

    None: nobody looked, or there should be no more of them, because the quota was full.
    """

    pod: Pod
    how: How
    waiting: Sequence[Pod] | None = None


@dataclass
class Launch:
    """Gets the pod of one try; `leftover` hears of finished pods of earlier tries before their deletion."""

    api: PodApi
    plan: PodPlan
    attempt: TaskTry
    leftover: Callable[[TaskTry, Pod], None]
    patience: Patience
    _waiting: str = field(default="", init=False)
    _crowded: bool = field(default=False, init=False)

    def __call__(self, args: Sequence[str], memory: str | None = None) -> Launched:
        """Return the pod of this try.

        A pod of the same work that a dead worker left, of this try or an earlier one, is adopted. Any other pod of the
        task instance is deleted and waited for. Then a pod that waits is taken, where the team has such pods and the
        try needs no `memory` of its own. Raises NotLaunchedError; ApiError when the API is away.
        """
        wanted = make_pod(self.plan, self.attempt, args, memory)
        self._waiting = waiting_label(self.plan) if self.plan.warm and memory is None else ""
        startup = self.plan.startup_timeout.total_seconds()
        while True:
            try:
                return persistently(lambda: self._start(wanted, args), startup, again=self._make_room)
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise NotLaunchedError(of_api_error(error, self.plan)) from None
            there = persistently(lambda: self.api.read(wanted.metadata.name), self.patience.api)
            if there and (pod := self._adopt([there], wanted)):
                return Launched(pod, How.ADOPTED)

    def _start(self, wanted: V1Pod, args: Sequence[str]) -> Launched:
        """Adopt, claim or create.

        The first try needs no look round for its own pod where none waits: that pod's name is its own, so the API
        server refuses a second one. A claim has no such name: whatever became of it shows in the next look round.
        """
        claims = _CLAIMS if self._waiting else 0
        while True:
            own, waiting = self._look_round()
            if pod := self._adopt(own, wanted):
                return Launched(pod, How.ADOPTED)
            now = datetime.now(UTC)
            free = [pod for pod in waiting if claimable(pod, now, self.plan.idle)]
            if not free or not claims:
                return Launched(self.api.create(wanted), How.CREATED, self._others(waiting))
            claims -= 1
            chosen = min(free, key=lambda pod: preference(pod, self.attempt, now))
            try:
                return Launched(self._claim(chosen, args), How.CLAIMED, self._others(waiting, chosen))
            except ApiError as error:
                if error.transient:
                    raise
                if error.status not in (404, 409):
                    _log.warning("pod %s waits and could not be taken: %s", chosen["metadata"]["name"], error)
                    claims = 0

    def _look_round(self) -> tuple[list[Pod], list[Pod]]:
        """The task instance's own pods, and those that wait."""
        if not self._waiting and self.attempt.try_number == 1:
            return [], []
        selector = launch_selector(self.attempt, self._waiting) if self._waiting else instance_selector(self.attempt)
        found = self.api.find(selector)
        waiting = [pod for pod in found if pod["metadata"]["labels"][INSTANCE_LABEL] == self._waiting]
        return [pod for pod in found if pod not in waiting], waiting

    def _others(self, waiting: Sequence[Pod], chosen: Pod | None = None) -> Sequence[Pod] | None:
        return [pod for pod in waiting if pod is not chosen] if self._waiting and not self._crowded else None

    def _claim(self, pod: Pod, args: Sequence[str]) -> Pod:
        """Hand the work over, by the one call that is asked again as it was until it is answered.

        An answer that was lost leaves open whether it was done. Asked again it is done now, or refused because the pod
        has changed: then no copy of the call that is still under way can do it either.
        """
        claim = make_claim(self.plan, self.attempt, args, pod, datetime.now(UTC))
        return persistently(lambda: self.api.patch(pod["metadata"]["name"], claim), self.patience.api)

    def _make_room(self, error: ApiError) -> bool:
        """Whether it is worth waiting for room; one pod that waits for the project's work gives way to this one.

        It stays where this try can take it itself, and where somebody has taken it meanwhile.
        """
        if not _quota_is_full(error):
            return False
        self._crowded, now = True, datetime.now(UTC)
        with suppress(ApiError):
            found = [pod for pod in self.api.find(team_selector(self.plan)) if not finished(pod)]
            if any(_is_ending(pod, now) for pod in found):
                return True  # it makes room soon: no other one has to go
            for pod in found:
                label = pod["metadata"]["labels"].get(INSTANCE_LABEL)
                mine = label == self._waiting and claimable(pod, now, self.plan.idle)
                if waits_for_project(pod, self.plan) and not mine:
                    self.api.delete_as_seen(pod)
                    break
        return True

    def _adopt(self, found: Sequence[Pod], wanted: V1Pod) -> Pod | None:
        """Return the first pod that does what is wanted, as this try's own; clear away the others."""
        chosen = next((pod for pod in found if adoptable(pod, wanted)), None)
        taken = self._take_over(chosen) if chosen else None
        for other in found:
            if other is not chosen or not taken:
                self._clear_away(other)
        return taken

    def _take_over(self, pod: Pod) -> Pod | None:
        """Let the pod say that it is this try's, so that the earlier one, told to stop, leaves it; None: it is gone.

        Airflow starts the next try of a task that it takes for lost, also where its process still runs: a scheduler
        that ends waits for its tasks, and another one that starts meanwhile gives up on them.
        """
        number, meta = str(self.attempt.try_number), pod["metadata"]
        if said_try(pod) == number:
            return pod
        change = {"metadata": {"annotations": {f"{PREFIX}/try": number}}}  # labels say who made it, for good
        try:
            now = persistently(lambda: self.api.patch(meta["name"], change), self.patience.api)
        except ApiError as error:
            if error.status != 404:
                raise
            return None
        return now if now["metadata"]["uid"] == meta["uid"] and "deletionTimestamp" not in now["metadata"] else None

    def _clear_away(self, pod: Pod) -> None:
        number = said_try(pod)
        if terminated(pod) and number.isdigit() and int(number) < self.attempt.try_number:
            self.leftover(replace(self.attempt, try_number=int(number)), pod)
        name, seconds = pod["metadata"]["name"], self.plan.grace.total_seconds()
        persistently(lambda: self.api.delete(name, uid=pod["metadata"]["uid"]), self.patience.api)
        if not wait_gone(self.api, pod, seconds + self.patience.margin):
            why = f"pod {name} of an earlier try doesn't end; its node may be lost"
            raise NotLaunchedError(Outcome(Cause.NEVER_STARTED, why))


def adoptable(pod: Pod, wanted: V1Pod) -> bool:
    """Whether the pod does the work that is wanted: same release, same dbt arguments, and nobody cleared the run since.

    Of an earlier try only a pod that runs or succeeded: a failed one is what this try is for.
    """
    wish = wanted.spec.containers[0]
    container: Pod = next((c for c in pod["spec"]["containers"] if c["name"] == wish.name), {})
    said, wished = pod["metadata"].get("annotations") or {}, wanted.metadata.annotations
    same = (container.get("image"), arguments(pod)) == (wish.image, list(wish.args))
    same = same and said.get(f"{PREFIX}/clears") == wished[f"{PREFIX}/clears"]
    this_try = said_try(pod) == wished[f"{PREFIX}/try"]
    alive = not finished(pod) or pod["status"].get("phase") == "Succeeded"
    return same and (this_try or alive) and not pod["metadata"].get("deletionTimestamp")


def _is_ending(pod: Pod, now: datetime) -> bool:
    """Whether the pod is being deleted, and not past its grace yet, as it is on a node that is lost."""
    gone = pod["metadata"].get("deletionTimestamp")
    return bool(gone) and datetime.fromisoformat(gone) > now


def said_try(pod: Pod) -> str:
    """The number of the try that a pod says it works for; empty where it says none."""
    return str((pod["metadata"].get("annotations") or {}).get(f"{PREFIX}/try", ""))


def of_api_error(error: ApiError, plan: PodPlan) -> Outcome:
    """What it means that the API didn't do what it was asked."""
    if _quota_is_full(error):
        return Outcome(Cause.QUOTA, error.message)
    if error.transient:
        return Outcome(Cause.API, f"the Kubernetes API can't serve: {error}")
    return Outcome(Cause.REFUSED, f"Kubernetes refused the pod in namespace {plan.namespace}: {error.message}")


def _quota_is_full(error: ApiError) -> bool:
    return error.status == 403 and "exceeded quota" in error.message
