"""Signals, dead workers and a shaky API: one pod a try, no line lost, nothing left."""

import os
import signal
import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.operator.conftest import World, later
from wherry.operator.kube import PodApi

LINES = [f"line {i}" for i in range(200)]


def die_with_a_running_pod(world: World, try_number: int = 1) -> str:
    """Run the task in a worker process that is killed in the middle; return its pod's name."""
    if (worker := os.fork()) == 0:
        try:
            world.run(try_number)
        finally:
            os._exit(1)
    try:
        name: str = world.running_pod()["metadata"]["name"]
        world.until(world.trace)
    finally:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
    return name


def test_a_stopped_task_cancels_its_query_first(world: World) -> None:
    """TERM to the task process: the pod gets its grace, and the task ends when dbt has cancelled."""
    world.image("sleep:60", CANCEL_SECONDS="1")
    stopper = later(world, lambda: os.kill(os.getpid(), signal.SIGTERM))
    tried = world.run()
    assert world.trace() == ["1 began", "1 cancelled"]
    assert world.pods() == []
    assert tried.result["outcome"] == "killed"
    assert world.recorded() == tried.result
    stopper.join()


def test_a_task_that_is_killed_before_its_pod_is_made(world: World) -> None:
    """TERM while the API is away: no pod comes of it afterwards."""
    world.image("sleep:60")
    world.cluster.faults.add("error", status=503, count=3, verb="create", resource="pods", retry_after=1)
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    timer.start()
    tried = world.run()
    assert tried.result["outcome"] == "killed"
    world.assert_clean()
    timer.join()


def test_an_unexpected_error_leaves_no_pod(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of ours (here in the log's reader) or Ctrl-C: the pod goes, the record says so, the error is not hidden."""
    world.image("print:hello", "sleep:60")

    def broken(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wherry.operator.run.LogFollower", broken)
    tried = world.run()
    assert tried.state == "up_for_retry"
    assert world.pods() == []
    recorded = world.recorded()
    assert recorded
    assert (recorded["outcome"], recorded["why"]) == ("killed", "KeyboardInterrupt")


def test_a_worker_that_comes_back_adopts_its_pod(world: World, dbt_log: Any) -> None:
    """The same try again (the worker died, Airflow sent it anew): one pod, its whole log, one result."""
    go = world.folder / "go"
    world.image("print:before", f"wait:{go}", "print:after", "finish:success")
    name = die_with_a_running_pod(world)
    go.touch()
    tried = world.run()
    assert tried.state == "success"
    assert (tried.result["pod"], tried.result["adopted"]) == (name, True)
    assert dbt_log() == ["before", "after"]
    assert world.trace() == ["1 began"]
    assert len(world.records()) == 1
    world.assert_clean()


def test_the_next_try_adopts_the_pod_of_a_dead_worker(world: World) -> None:
    """Airflow counted the death as a try: the next one takes the pod over instead of running the node twice."""
    go = world.folder / "go"
    world.image(f"wait:{go}", "finish:success")
    name = die_with_a_running_pod(world)
    later_go = threading.Timer(0.5, go.touch)
    later_go.start()
    tried = world.run(2)
    assert (tried.state, tried.result["pod"], tried.result["try"]) == ("success", name, 2)
    assert world.trace() == ["1 began"]
    world.assert_clean()


def test_a_try_that_was_taken_for_dead_leaves_the_pod_to_the_next_one(world: World) -> None:
    """Airflow starts the next try and tells the first one to stop: the pod that both know goes on, and runs once."""
    go = world.folder / "go"
    world.image(f"wait:{go}", "finish:success")
    if (worker := os.fork()) == 0:
        try:
            world.run()
        finally:
            os._exit(1)
    name = world.running_pod()["metadata"]["name"]
    world.until(world.trace)

    def stop_the_first_and_go_on() -> None:
        world.until(lambda: [pod for pod in world.pods() if pod["metadata"]["annotations"]["wherry.dev/try"] == "2"])
        os.kill(worker, signal.SIGTERM)
        os.waitpid(worker, 0)
        go.touch()

    stopper = threading.Thread(target=stop_the_first_and_go_on)
    stopper.start()
    tried = world.run(2)
    stopper.join()
    assert (tried.state, tried.result["pod"], tried.result["adopted"]) == ("success", name, True)
    assert [(record["try"], record["outcome"]) for record in world.records()] == [(1, "killed"), (2, "success")]
    assert world.trace() == ["1 began"]
    world.assert_clean()


def test_a_pod_that_is_ended_at_the_moment_it_is_taken_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first try was faster: the next one waits until that pod is gone, and runs the node in its own."""
    world.image("sleep:60", later={2: ["finish:success"]})
    name = die_with_a_running_pod(world)
    patched = PodApi.patch

    def deleted_first(api: PodApi, pod: str, change: Any) -> Any:
        api.delete(pod)
        return patched(api, pod, change)

    monkeypatch.setattr(PodApi, "patch", deleted_first)
    tried = world.run(2)
    assert (tried.state, tried.result["adopted"]) == ("success", False)
    assert tried.result["pod"] != name
    assert world.trace() == ["1 began", "1 cancelled", "2 began"]
    world.assert_clean()


def test_a_success_that_nobody_read_is_read_by_the_next_try(world: World) -> None:
    """The pod finished while no worker looked: its result counts, and the node doesn't run again."""
    go = world.folder / "go"
    world.image(f"wait:{go}", "finish:success")
    die_with_a_running_pod(world)
    go.touch()
    world.until(lambda: [pod for pod in world.pods() if pod["status"]["phase"] == "Succeeded"])
    tried = world.run(2)
    assert (tried.state, tried.result["adopted"]) == ("success", True)
    assert world.trace() == ["1 began"]
    world.assert_clean()


def test_a_failure_that_nobody_read_is_recorded_and_run_again(world: World) -> None:
    """The pod of the dead worker failed meanwhile: its own try gets its record, this one a pod of its own."""
    go = world.folder / "go"
    world.image(f"wait:{go}", "finish:transient=away", later={2: ["finish:success"]})
    die_with_a_running_pod(world)
    go.touch()
    world.until(lambda: [pod for pod in world.pods() if pod["status"]["phase"] == "Failed"])
    assert world.run(2).state == "success"
    assert [(record["try"], record["outcome"]) for record in world.records()] == [(1, "transient"), (2, "success")]
    assert world.trace() == ["1 began", "2 began"]
    world.assert_clean()


@pytest.mark.parametrize("change", ["cleared", "released"])
def test_a_pod_of_other_work_is_ended_first(world: World, change: str) -> None:
    """The run was cleared, or the release changed: the old pod is cancelled and gone before the new one begins."""
    world.image("sleep:60", later={2: ["finish:success"]})
    die_with_a_running_pod(world)
    if change == "released":
        world.plan = replace(world.plan, image=world.plan.image + "-new")
        world.image("finish:success")
    assert world.run(2, clears=1 if change == "cleared" else 0).state == "success"
    assert world.trace() == ["1 began", "1 cancelled", "2 began"]
    world.assert_clean()


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("verb", ["create", "watch", "delete"])
def test_an_api_that_stumbles_is_asked_again(world: World, verb: str, status: int, dbt_log: Any) -> None:
    """Two errors in a row on any call cost some time, and nothing else."""
    world.image("count:3", "sleep:0.3", "finish:success")
    world.cluster.faults.add("error", status=status, count=2, verb=verb)
    assert [one.state for one in world.until_done()] == ["success"]
    assert world.cluster.faults.list() == [], "both errors were met"
    assert dbt_log() == LINES[:3]
    assert world.trace() == ["1 began"]
    world.assert_clean()


def test_retry_after_is_honoured(world: World) -> None:
    """A server that says when to come back isn't asked sooner."""
    world.image("finish:success")
    world.cluster.faults.add("error", status=429, verb="create", resource="pods", retry_after=2)
    start = time.monotonic()
    assert world.run().state == "success"
    assert time.monotonic() - start >= 2


@pytest.mark.parametrize("verb", ["create", "watch"])
def test_a_connection_that_breaks_is_made_anew(world: World, verb: str) -> None:
    """A reset in the middle of a call: also a creation that may or may not have happened makes one pod."""
    world.image("sleep:0.3", "finish:success")
    world.cluster.faults.add("reset", verb=verb, count=2)
    assert [one.state for one in world.until_done()] == ["success"]
    assert world.cluster.faults.list() == [], "both resets were met"
    assert world.trace() == ["1 began"]
    world.assert_clean()


def test_an_api_that_is_away_is_waited_for(world: World, dbt_log: Any) -> None:
    """Down for two seconds while dbt works: the task goes on when it is back, with every line."""
    world.image("count:50", "sleep:1", "count:50", "finish:success")
    breaker = later(world, lambda: world.cluster.faults.add("down", seconds=2))
    assert [one.state for one in world.until_done()] == ["success"]
    assert dbt_log() == LINES[:50] * 2
    world.assert_clean()
    breaker.join()


def test_an_api_that_stays_away_is_a_retry(world: World) -> None:
    """After the patience the try ends and says why; its pod is adopted by the next one."""
    world.image("sleep:8", "finish:success")
    breaker = later(world, lambda: world.cluster.faults.add("down", seconds=12))
    first = world.run()
    assert (first.state, first.result["outcome"]) == ("up_for_retry", "api")
    breaker.join()
    world.cluster.faults.clear()
    second = world.run(2)
    assert (second.state, second.result["adopted"]) == ("success", True)
    assert world.trace() == ["1 began"]
    world.assert_clean()
    world.until(lambda: not world.follows_log(first.result["pod"]))


@pytest.mark.parametrize("kinds", [("watch-cut",), ("log-cut",), ("watch-cut", "log-cut")])
def test_cut_streams_lose_and_repeat_nothing(world: World, kinds: tuple[str, ...], dbt_log: Any) -> None:
    """Streams that are cut again and again, in the middle of 200 lines: each line once, in order."""
    world.image("slowly:200", "finish:success")
    for kind in kinds:
        world.cluster.faults.add(kind, count=3, seconds=0.2)
    assert [one.state for one in world.until_done()] == ["success"]
    assert world.cluster.faults.list() == [], "every cut was met"
    assert dbt_log() == LINES
    world.assert_clean()


def test_many_lines_of_one_instant_come_once(world: World, dbt_log: Any) -> None:
    """Lines that share a timestamp, cut in between: counted, not compared."""
    world.image("count:200", "sleep:1", "count:100", "finish:success")
    world.cluster.faults.add("log-cut", count=1, seconds=0.3)
    assert world.run().state == "success"
    assert dbt_log() == LINES + LINES[:100]


def test_a_history_too_short_for_the_watch(world: World) -> None:
    """410 Gone: the pod is read, and watched from there."""
    world.image("sleep:1.5", "finish:success")

    def flood() -> None:
        for number in range(2100):
            world.cluster.call(
                lambda cluster, n=number: cluster.create(
                    "configmaps", world.plan.namespace, {"metadata": {"name": f"c{n}"}, "data": {}}
                )
            )
        world.cluster.faults.add("watch-cut")

    flooder = later(world, flood)
    assert [one.state for one in world.until_done()] == ["success"]
    flooder.join()
    world.assert_clean()


def test_a_pod_that_somebody_deletes(world: World) -> None:
    """By hand, in the middle: dbt cancels, the task says what happened and tries again."""
    world.image("sleep:60", later={2: ["finish:success"]})
    pods = world.cluster.api_client()

    def delete() -> None:
        from kubernetes.client import CoreV1Api

        name = world.running_pod()["metadata"]["name"]
        CoreV1Api(pods).delete_namespaced_pod(name, world.plan.namespace)

    deleter = later(world, delete)
    assert [one.state for one in world.until_done()] == ["up_for_retry", "success"]
    assert [record["outcome"] for record in world.records()] == ["gone", "success"]
    assert world.trace() == ["1 began", "1 cancelled", "2 began"]
    deleter.join()


def test_a_pod_that_ignores_its_end(world: World) -> None:
    """Deaf to TERM at its deadline: killed after the grace, and judged all the same."""
    world.plan = replace(world.plan, timeout=timedelta(seconds=1), grace=timedelta(seconds=1))
    world.image("sleep:60", CANCEL_SECONDS="60")
    tries = world.until_done()
    assert [one.state for one in tries] == ["failed"]
    assert tries[0].result["outcome"] == "deadline"
    world.assert_clean()


def finalize(world: World, name: str, finalizers: list[str] | None) -> None:
    """Make a pod stay after its deletion, or let it go."""
    world.cluster.call(
        lambda cluster: cluster.patch(
            "pods",
            world.plan.namespace,
            name,
            {"metadata": {"finalizers": finalizers}},
            "application/merge-patch+json",
        )
    )


def test_an_old_pod_that_will_not_go_is_not_joined_by_a_second(world: World) -> None:
    """The earlier pod hangs in its deletion: this try ends and says so, rather than running the node twice."""
    world.plan = replace(world.plan, grace=timedelta(seconds=1))
    world.image("sleep:60")
    name = die_with_a_running_pod(world)
    finalize(world, name, ["example.com/hold"])
    tried = world.run(2, clears=1)
    assert (tried.state, tried.result["outcome"]) == ("up_for_retry", "never_started")
    assert name in tried.error
    assert [pod["metadata"]["name"] for pod in world.pods()] == [name]
    finalize(world, name, None)
    world.assert_clean()


def test_a_log_that_stumbles_is_asked_for_again(world: World, dbt_log: Any) -> None:
    """Errors of the log's endpoint cost no line."""
    world.image("slowly:100", "finish:success")
    world.cluster.faults.add("error", status=500, count=3, verb="get", resource="pods/log")
    assert world.run().state == "success"
    assert world.cluster.faults.list() == [], "all three errors were met"
    assert dbt_log() == LINES[:100]
