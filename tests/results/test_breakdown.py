"""Where a task's time went: stages that add up, in their order, whatever is missing."""

import pytest

from wherry.results.breakdown import breakdown
from wherry.results.codec import Record, Status

MARKS = {
    "started": 100.0,
    "asked": 100.4,
    "created": 100.5,
    "seen_scheduled": 100.6,
    "seen_running": 101.5,
    "seen_finished": 104.0,
    "ended": 104.05,
    "deleted": 104.1,
}
TIMINGS = {"boot": 0.1, "import": 0.9, "load": 0.2, "run": 1.0, "connect": 0.1, "query": 0.2, "total": 2.2}


def test_the_stages_add_up_to_the_whole() -> None:
    """From the task's start to the pod's deletion, every second is in one stage, but what passes as the runner ends."""
    found = breakdown(MARKS, Record(Status.SUCCESS, timings=TIMINGS, began=101.2))
    assert list(found.stages.items()) == [
        ("parse", 0.4), ("create", 0.1), ("schedule", 0.1), ("start", 0.6), ("boot", 0.1), ("import", 0.9),
        ("load", 0.2), ("dbt", 0.7), ("connect", 0.1), ("query", 0.2), ("report", 0.6), ("end", 0.1),
    ]  # fmt: skip
    assert found.total == pytest.approx(104.1 - 100.0, abs=0.1)
    assert str(found).startswith("4.1 s: parse 0.40, create 0.10, ")


def test_a_pod_that_waited_was_claimed_and_handed_its_work() -> None:
    """No pod was made, scheduled or started in the node's time; the stages still add up to the whole."""
    taken = {"claimed" if moment == "created" else moment: at for moment, at in MARKS.items()}
    found = breakdown(taken, Record(Status.SUCCESS, timings=TIMINGS | {"boot": 0.0, "import": 0.0}, began=100.8))
    assert list(found.stages.items())[:3] == [("parse", 0.4), ("claim", 0.1), ("handover", 0.3)]
    assert not {"create", "schedule", "start"} & found.stages.keys()


@pytest.mark.parametrize(
    ("marks", "stages"),
    [
        ({}, {}),
        ({"started": 1.0, "asked": 2.0}, {"parse": 1.0}),
        ({"asked": 2.0, "created": 5.0, "deleted": 6.0}, {"create": 3.0}),
        (
            {"asked": 2.0, "created": 5.0, "seen_running": 7.0, "seen_finished": 9.0},
            {"create": 3.0, "start": 2.0, "container": 2.0, "end": 0.0},
        ),
    ],
)
def test_what_is_not_known_is_left_out(marks: dict[str, float], stages: dict[str, float]) -> None:
    """A pod that was never made, or that left no record, has the stages that were reached."""
    assert breakdown(marks, None).stages == stages


def test_a_pods_clock_may_be_wrong() -> None:
    """No stage is negative and the whole is ours, however far the pod's clock is from ours."""
    for began in (50.0, 150.0):
        found = breakdown(MARKS, Record(Status.SUCCESS, timings=TIMINGS, began=began))
        assert min(found.stages.values()) == 0.0
        assert found.total == pytest.approx(104.1 - 100.0, abs=0.1)


def test_an_event_may_come_late() -> None:
    """A pod that has begun before we hear that it has a node had its node by then: no time is counted twice."""
    late = MARKS | {"seen_scheduled": 101.7, "seen_running": 101.9}
    found = breakdown(late, Record(Status.SUCCESS, timings=TIMINGS, began=101.2))
    assert (found.stages["schedule"], found.stages["start"]) == (0.7, 0.0)
    assert found.total == pytest.approx(104.1 - 100.0, abs=0.1)
