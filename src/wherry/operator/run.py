"""One pod from its request to its deletion."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain

from wherry.operator.kube import ApiError, Patience, Pod, PodApi, Stop, persistently
from wherry.operator.launch import How, Launch, NotLaunchedError, of_api_error, said_try
from wherry.operator.logs import LogFollower
from wherry.operator.outcome import Cause, Outcome, classify, finished, running, stuck, terminated
from wherry.operator.warm import keep_warm, nudge
from wherry.operator.watch import CHANGED, DELETED, changes, wait_gone
from wherry.pod import CONTAINER, PodPlan, TaskTry, instance_selector
from wherry.results.codec import Record, RecordError, decode


@dataclass(frozen=True)
class Ending:
    """How a try ended, and what is known of its pod. `marks` are our own clock's times, in seconds since 1970."""

    outcome: Outcome
    pod: Pod = field(default_factory=dict)
    record: Record | None = None
    adopted: bool = False
    marks: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Listener:
    """Who hears of it: `line` takes dbt's log, `leftover` the finished pods of earlier tries before their deletion."""

    line: Callable[[str], None]
    leftover: Callable[[TaskTry, Pod], None]


class PodRun:
    """Runs the pod of one try. API calls when all goes well: create, watch, log, delete; a list on later tries.

    With pods that wait: list, patch, watch, log, delete, and beside them one create.
    """

    def __init__(self, api: PodApi, plan: PodPlan, attempt: TaskTry, tell: Listener, patience: Patience) -> None:
        """Prepare; nothing is asked of the API yet."""
        self.attempt = attempt
        self._api, self._plan, self._tell, self._patience = api, plan, tell, patience
        self._log: LogFollower | None = None
        self._told: Record | None = None
        self._stop = Stop()
        self._begun = threading.Event()
        self._asked = 0.0
        self._running_since: float | None = None
        self._deleted_since: float | None = None
        self.marks: dict[str, float] = {}
        self.pod: Pod | None = None
        self.killed = False

    def run(self, args: Sequence[str], memory: str | None) -> Ending:
        """Launch the pod, wait for its end, delete it. Nothing is raised for what befalls the pod or the API."""
        launch = Launch(self._api, self._plan, self.attempt, self._tell.leftover, self._patience)
        self._mark("asked")
        self._asked, adopted = time.monotonic(), False
        try:
            launched = launch(args, memory)
            self.pod, adopted = launched.pod, launched.how is How.ADOPTED
            self._mark("claimed" if launched.how is How.CLAIMED else "created")
            if launched.waiting is not None:
                keep_warm(self._api, self._plan, launched)
            if launched.how is How.CLAIMED:
                nudge(self._api, self.pod, self._begun)
            outcome = self._wait(self.pod)
        except NotLaunchedError as error:
            outcome = error.outcome
        except ApiError as error:
            outcome = classify(self.pod or {}, self._told) if self._told else of_api_error(error, self._plan)
        self._begun.set()
        if self.killed:
            outcome = Outcome(Cause.KILLED, "the task was stopped; its pod is deleted")
        self._mark("ended")
        self._delete(outcome)
        self._mark("deleted")
        if self._log:
            self._log.finish(0)  # whatever ended the try: else it would ask for a log that doesn't come any more
        return Ending(outcome, self.pod or {}, self._record(), adopted, self.marks)

    def delete_and_wait(self, api: PodApi) -> bool:
        """Delete the pod and give dbt its grace to cancel; for a signal handler, which brings an `api` of its own.

        Where the answer to its creation or claim hasn't come yet, the pod is the one that says it is this try's. One
        that a later try has taken over is left to that one: then the answer is False.
        """
        self.killed = True
        return self._end_mine(api, self._plan.grace.total_seconds() + 5)

    def _end_mine(self, api: PodApi, seconds: float) -> bool:
        """Delete this try's pod and wait that long for its end. One that changed meanwhile is looked at again."""
        uid = self.pod and self.pod["metadata"]["uid"]
        while True:
            found = persistently(lambda: api.find(instance_selector(self.attempt)), 3.0)
            known = [pod for pod in found if uid in (None, pod["metadata"]["uid"])]
            mine = [pod for pod in known if said_try(pod) == str(self.attempt.try_number)]
            if all(_end(api, pod, seconds) for pod in mine):
                return bool(mine) or not (uid and known)

    def _wait(self, pod: Pod) -> Outcome:
        gone = False
        following = changes(self._api, pod, self._remaining, self._patience.api, self._stop)
        for kind, now in chain([(CHANGED, pod)], following):
            self.pod = now
            self._look(now)
            gone = kind == DELETED or "deletionTimestamp" in now["metadata"]
            if kind == DELETED or finished(now) or self._told:
                break
            if self.killed and not gone:
                return Outcome(Cause.KILLED, "")
            if early := stuck(now) or self._overdue(now):
                return early
        self._mark("seen_finished")
        if self._log and not self._told and not self._log.finish(self._patience.log):
            self._tell.line("(the rest of the log didn't come in time)")
        return classify(self.pod or pod, self._record(), gone=gone)

    def _record(self) -> Record | None:
        return self._told or read_record(self.pod)

    def _line(self, text: str) -> None:
        self._begun.set()
        self._tell.line(text)

    def _hear(self, record: Record) -> None:
        """Take the record that the log ends with: there is nothing more to wait for."""
        self._told = record
        self._stop.set()

    def _look(self, pod: Pod) -> None:
        if pod["spec"].get("nodeName"):
            self._mark("seen_scheduled")
        ended = terminated(pod)
        ran = running(pod) or (ended is not None and ended.get("startedAt"))
        if ran and self._running_since is None:
            self._running_since = time.monotonic()
            self._mark("seen_running")
            self._log = LogFollower(self._api, pod["metadata"]["name"], CONTAINER, self._line, self._hear)
        if "deletionTimestamp" in pod["metadata"] and self._deleted_since is None:
            self._deleted_since = time.monotonic()

    def _overdue(self, pod: Pod) -> Outcome | None:
        if self._remaining() > 0:
            return None
        if self._running_since or self._deleted_since:
            node = pod["spec"].get("nodeName", "unknown")
            return Outcome(Cause.LOST, f"no sign of the pod's end; its node {node} is probably lost")
        try:
            events = self._api.events(pod["metadata"]["name"])
        except ApiError:
            events = []
        return classify(pod, None, events)

    def _remaining(self) -> float:
        """Seconds until waiting longer makes no sense."""
        grace, margin, now = self._plan.grace.total_seconds(), self._patience.margin, time.monotonic()
        ends = [self._asked + self._plan.startup_timeout.total_seconds()]
        if self._running_since is not None:
            ends = [self._running_since + self._plan.timeout.total_seconds() + grace + margin]
        if self._deleted_since is not None:
            ends.append(self._deleted_since + grace + margin)
        return min(ends) - now

    def _delete(self, outcome: Outcome) -> None:
        """Ask for the deletion and go on: a finished pod has nothing to wait for, and a lost node wouldn't answer."""
        if self.pod is None:
            return
        name, uid = self.pod["metadata"]["name"], self.pod["metadata"]["uid"]
        grace = 0 if outcome.cause is Cause.LOST else None
        try:
            if self.killed:
                self._end_mine(self._api, 0)
            else:
                persistently(lambda: self._api.delete(name, grace=grace, uid=uid), min(30.0, self._patience.api))
        except ApiError as error:
            self._tell.line(f"(pod {name} could not be deleted: {error})")

    def _mark(self, what: str) -> None:
        self.marks.setdefault(what, time.time())


def _end(api: PodApi, pod: Pod, seconds: float) -> bool:
    """Delete a pod as it was seen, and wait that long for its end; False where it has changed since."""
    if "deletionTimestamp" not in pod["metadata"] and not api.delete_as_seen(pod):
        return False
    if seconds:
        wait_gone(api, pod, seconds)
    return True


def read_record(pod: Pod | None) -> Record | None:
    """The record in the container's termination message; None when there is none that can be read."""
    try:
        return decode(((pod and terminated(pod)) or {}).get("message", ""))
    except RecordError:
        return None
