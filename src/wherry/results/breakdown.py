"""Where the time of one pod's task went, from its process to its last call. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Final

from wherry.results.codec import Record

# What we did, in its order, and the stage that each ends.
_OURS: Final = (("started", ""), ("asked", "parse"), ("created", "create"), ("claimed", "claim"))


@dataclass(frozen=True)
class Breakdown:
    """Seconds by stage, in the order in which they passed.

    `parse` is all that the task's process does before it asks for the pod; `start` ends with the first instruction of
    the pod's PID 1. Of a pod that waited, `claim` is the taking of it instead, and `handover` ends when its PID 1 has
    its work: what it did before is no node's time. Then come the runner's own stages, of its `run` what connections and
    queries took apart from dbt's part; `report` ends when we have its record, or know that the container ended, `end`
    when the pod's deletion is asked for.
    """

    stages: Mapping[str, float]

    @property
    def total(self) -> float:
        """Seconds from the task's start to its end, as far as they are known."""
        return sum(self.stages.values())

    def __str__(self) -> str:
        """As one line of a log."""
        return f"{self.total:.1f} s: " + ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in self.stages.items())


def breakdown(marks: Mapping[str, float], record: Record | None) -> Breakdown:
    """Order what is known into stages; what isn't known is left out.

    `marks` are seconds since 1970 by our clock: started, asked, created (or claimed: a pod that waited),
    seen_scheduled, seen_running, seen_finished, deleted. A pod's clock may differ from ours and an event may come late:
    both are believed within what our own marks leave open, so the stages add up to the whole and none is negative.
    """
    return Breakdown({stage: round(max(0.0, seconds), 3) for stage, seconds in _stages(marks, record)})


def _stages(marks: Mapping[str, float], record: Record | None) -> Iterator[tuple[str, float]]:
    waited = "claimed" in marks
    reached = [(marks[moment], stage) for moment, stage in _OURS if moment in marks]
    if not reached:
        return
    timings = record.timings if record else {}
    began = _began(marks, record, reached[-1][0])
    if not waited and "seen_scheduled" in marks:
        reached.append((min(marks["seen_scheduled"], inf if began is None else began), "schedule"))
    yield from ((stage, at - before) for (before, _), (at, stage) in pairwise(reached))
    if began is None:
        return
    yield ("handover" if waited else "start"), began - reached[-1][0]
    yield from _runner(timings)
    if finished := marks.get("seen_finished"):
        yield ("report" if timings else "container"), finished - began - timings.get("total", 0.0)
        yield "end", marks.get("deleted", finished) - finished


def _began(marks: Mapping[str, float], record: Record | None, asked: float) -> float | None:
    """When the pod's PID 1 began: after it was asked for, and long enough before its end for all that it did."""
    told = record.began if record and record.began else marks.get("seen_running")
    if told is None:
        return None
    ran = record.timings.get("total", 0.0) if record else 0.0
    return min(max(told, asked), marks.get("seen_finished", inf) - ran)


def _runner(timings: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    within = {stage: timings[stage] for stage in ("connect", "query") if stage in timings}
    for stage, seconds in timings.items():
        if stage == "run":
            yield "dbt", seconds - sum(within.values())
            yield from within.items()
        elif stage not in ("connect", "query", "total"):
            yield stage, seconds
