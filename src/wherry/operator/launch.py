"""Find the pod of this try, or create it: never two at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kubernetes.client import V1Pod

from wherry.operator.kube import ApiError, Patience, Pod, PodApi, persistently
from wherry.operator.outcome import Cause, Outcome, finished, terminated
from wherry.operator.watch import wait_gone
from wherry.pod import PREFIX, PodPlan, TaskTry, instance_selector


class NotLaunchedError(Exception):
    """There is no pod, and won't be one in this try; the outcome says why."""

    def __init__(self, outcome: Outcome) -> None:
        """Take the outcome."""
        super().__init__(outcome.message)
        self.outcome = outcome


@dataclass(frozen=True)
class Launch:
    """Gets the pod of one try; `leftover` hears of finished pods of earlier tries before their deletion."""

    api: PodApi
    plan: PodPlan
    attempt: TaskTry
    leftover: Callable[[TaskTry, Pod], None]
    patience: Patience

    def __call__(self, wanted: V1Pod) -> tuple[Pod, bool]:
        """Return the pod of this try, and whether it was there before.

        A pod of the same work that a dead worker left, of this try or an earlier one, is adopted. Any other pod of the
        task instance is deleted and waited for. The first try needs no look round: its pod's name is its own, so the
        API server refuses a second one. Raises NotLaunchedError; ApiError when the API is away.
        """
        if self.attempt.try_number > 1:
            found = persistently(lambda: self.api.find(instance_selector(self.attempt)), self.patience.api)
            if pod := self._adopt(found, wanted):
                return pod, True
        startup = self.plan.startup_timeout.total_seconds()
        while True:
            try:
                return persistently(lambda: self.api.create(wanted), startup, again=_quota_is_full), False
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise NotLaunchedError(of_api_error(error, self.plan)) from None
            there = persistently(lambda: self.api.read(wanted.metadata.name), self.patience.api)
            if there and (pod := self._adopt([there], wanted)):
                return pod, True

    def _adopt(self, found: Sequence[Pod], wanted: V1Pod) -> Pod | None:
        """Return the first pod that does what is wanted; clear away the others."""
        pod = next((pod for pod in found if adoptable(pod, wanted)), None)
        for other in found:
            if other is not pod:
                self._clear_away(other)
        return pod

    def _clear_away(self, pod: Pod) -> None:
        number = (pod["metadata"].get("annotations") or {}).get(f"{PREFIX}/try", "")
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
    same = (container.get("image"), container.get("args") or []) == (wish.image, list(wish.args))
    same = same and said.get(f"{PREFIX}/clears") == wished[f"{PREFIX}/clears"]
    this_try = pod["metadata"]["name"] == wanted.metadata.name
    alive = not finished(pod) or pod["status"].get("phase") == "Succeeded"
    return same and (this_try or alive) and not pod["metadata"].get("deletionTimestamp")


def of_api_error(error: ApiError, plan: PodPlan) -> Outcome:
    """What it means that the API didn't do what it was asked."""
    if _quota_is_full(error):
        return Outcome(Cause.QUOTA, error.message)
    if error.transient:
        return Outcome(Cause.API, f"the Kubernetes API can't serve: {error}")
    return Outcome(Cause.REFUSED, f"Kubernetes refused the pod in namespace {plan.namespace}: {error.message}")


def _quota_is_full(error: ApiError) -> bool:
    return error.status == 403 and "exceeded quota" in error.message
