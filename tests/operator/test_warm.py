"""Pods that wait: taken by one try each, whatever races or dies, and nobody's trouble otherwise."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import CoreV1Api

from tests.operator.conftest import World, later
from wherry.localcluster import pods
from wherry.localcluster.volumes import fill
from wherry.operator import warm as operator_warm
from wherry.operator.kube import ApiError, Patience, PodApi, connect
from wherry.operator.launch import How, Launch, Launched
from wherry.operator.warm import NUDGE, keep_warm
from wherry.pod import TaskTry, instance_hash, make_waiting_pod
from wherry.teams import Resources

Pod = dict[str, Any]
ARGS = ["build", "--select", "fqn:finance.fct_orders"]
OTHER = Resources(memory="1Gi", memory_limit="2Gi")


@pytest.fixture
def warm(world: World) -> World:
    """A team that wants two pods to wait."""
    world.plan = replace(world.plan, warm=2)
    return world


def attempt(task: str = "fct_orders.build", number: int = 1) -> TaskTry:
    return TaskTry("finance__finance", "manual__1", task, -1, number)


def launch(world: World, task: TaskTry, api: PodApi | None = None, **plan: Any) -> Launched:
    """What a task's process does first."""
    changed = replace(world.plan, **plan)
    patience = Patience(api=5, log=5, margin=1)
    return Launch(api or connect(changed.namespace), changed, task, lambda *_: None, patience)(ARGS)


def waiting(world: World) -> list[Pod]:
    """The pods that run and wait."""
    return [pod for pod in world.pods() if "wherry.dev/task" not in pod["metadata"]["labels"]]


def taken(world: World) -> list[Pod]:
    """The pods that have a node: made for it, or taken."""
    return [pod for pod in world.pods() if "wherry.dev/task" in pod["metadata"]["labels"]]


def ready(world: World) -> list[Pod]:
    return [pod for pod in waiting(world) if pod["status"]["phase"] == "Running"]


def wait_with(world: World, count: int, **plan: Any) -> list[Pod]:
    """Have so many pods wait."""
    api = connect(world.plan.namespace)
    for number in range(count):
        api.create(make_waiting_pod(replace(world.plan, **plan), f"{number} {plan}"))
    found: list[Pod] = world.until(lambda: len(ready(world)) == count and ready(world))
    return found


def own(world: World, task: TaskTry) -> list[Pod]:
    """The pods that a try has, by their labels."""
    return connect(world.plan.namespace).find(f"wherry.dev/instance={instance_hash(task)}")


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Call them all at the same moment."""
    start = threading.Barrier(len(calls))

    def call(each: Callable[[], Any]) -> Any:
        start.wait()
        return each()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


class Proxy(PodApi):
    """A connection of which something is done with a patch before, or after it has been made."""

    def __init__(
        self, world: World, *, before: Callable[[], Any] = lambda: None, after: Callable[[], Any] = lambda: None
    ) -> None:
        """The first patch only."""
        inner = connect(world.plan.namespace)
        super().__init__(inner._client, inner.namespace)
        self._before, self._after, self.patches = before, after, 0

    def patch(self, name: str, change: Any) -> Pod:
        self.patches += 1
        if self.patches > 1:
            return super().patch(name, change)
        self._before()
        found = super().patch(name, change)
        self._after()
        return found


def lose_the_answer() -> None:
    raise ApiError(0, "ProtocolError", "no answer")


# --- as it should be ------------------------------------------------------------------------------------------------


def test_a_task_takes_the_pod_that_waits_and_another_one_waits_then(warm: World, dbt_log: Any) -> None:
    """The first task finds none, and leaves one for the second: its arguments, log and result are any pod's."""
    warm.image("args", "finish:success")
    cold = warm.run()
    (prepared,) = warm.until(lambda: ready(warm))
    tried = warm.run()
    assert (cold.state, tried.state) == ("success", "success")
    assert cold.result["pod"].startswith("finance-fct-orders-")
    assert tried.result["pod"] == prepared["metadata"]["name"]
    assert not tried.result["adopted"]
    assert [json.loads(line) for line in dbt_log()] == [ARGS, ARGS]
    assert {"claim", "handover"} <= tried.result["breakdown"].keys()
    assert not {"create", "schedule", "start"} & tried.result["breakdown"].keys()
    warm.until(lambda: ready(warm))
    assert prepared["metadata"]["uid"] not in {pod["metadata"]["uid"] for pod in waiting(warm)}
    warm.until(lambda: not taken(warm))


def test_a_pod_that_waited_is_like_any_other(warm: World, dbt_log: Any) -> None:
    """The same environment, to the last variable, but for its own name; and the same labels and annotations."""
    warm.image("environ", "wait:/tmp/warm-never", "finish:success")
    seen = []
    for how in (How.CREATED, How.CLAIMED):
        launched = launch(warm, attempt(how.value))
        assert launched.how is how
        api, name = connect(warm.plan.namespace), launched.pod["metadata"]["name"]
        environ = json.loads(next(api.log(name, "dbt", None)).partition(b" ")[2])
        meta = launched.pod["metadata"]
        text = json.dumps([environ, meta["labels"], {**meta["annotations"], "wherry.dev/work": ""}], sort_keys=True)
        for own_word in (name, meta["uid"], instance_hash(attempt(how.value)), how.value):
            text = text.replace(own_word, "-")
        seen.append(json.loads(text))
        if how is How.CREATED:
            wait_with(warm, 1)
    assert seen[0][0] == seen[1][0]
    assert seen[0][1:] == [seen[1][1], seen[1][2]]
    assert seen[1][0]["DBT_ENV_SECRET_PASSWORD"]


def test_the_calls_of_the_api_are_few(warm: World) -> None:
    """Look round, claim, watch, delete, the log besides; and one for the next pod to wait."""
    asked: list[str] = []
    real = PodApi._request

    def recorded(api: PodApi, method: str, path: str, query: Any, *rest: Any) -> Any:
        asked.append("LOG" if path.endswith("/log") else "WATCH" if "watch" in query else method)
        return real(api, method, path, query, *rest)

    warm.image("sleep:0.5", "finish:success")
    warm.plan = replace(warm.plan, warm=1)
    wait_with(warm, 1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PodApi, "_request", recorded)
        tried = warm.run()
    assert (tried.state, set(asked)) == ("success", {"GET", "PATCH", "WATCH", "POST", "DELETE", "LOG"})
    assert [call for call in sorted(asked) if call != "LOG"] == ["DELETE", "GET", "PATCH", "POST", "WATCH"]


def test_a_node_with_other_resources_gets_a_pod_of_its_own(warm: World) -> None:
    """What waits isn't what its pod must be; nothing waits for such a node either."""
    warm.image("finish:success")
    (prepared,) = wait_with(warm, 1)
    warm.plan = replace(warm.plan, resources=OTHER, warm=0)
    assert warm.run().result["pod"].startswith("finance-fct-orders-")
    assert [pod["metadata"]["uid"] for pod in waiting(warm)] == [prepared["metadata"]["uid"]]


def test_more_memory_is_a_pod_of_its_own(warm: World) -> None:
    """Killed for memory in the pod that had waited: the next try has more, in a pod that is made for it."""
    warm.plan = replace(warm.plan, resources=Resources(memory="64Mi", memory_limit="128Mi"))
    warm.image("allocate:300", "sleep:5", "finish:success", later={2: ["finish:success"]})
    (prepared,) = wait_with(warm, 1)
    first, second = warm.until_done()
    assert (first.result["pod"], first.result["outcome"]) == (prepared["metadata"]["name"], "out_of_memory")
    assert (second.state, second.result["memory_limit"]) == ("success", "256Mi")
    assert second.result["pod"].startswith("finance-fct-orders-")


def test_a_new_release_takes_no_pod_of_the_old_one(warm: World) -> None:
    """Whatever makes another pod has other pods waiting; a run that stays on the old release still takes its own."""
    warm.image("finish:success")
    (old,) = wait_with(warm, 1)
    before, warm.plan = warm.plan, replace(warm.plan, image=f"{warm.plan.image}-new", release_id="fedcba9876543210")
    warm.image("finish:success")
    assert warm.run().result["pod"].startswith("finance-fct-orders-")
    warm.plan = before
    assert warm.run().result["pod"] == old["metadata"]["name"]


def test_the_deadline_counts_from_the_hand_over(warm: World) -> None:
    """Waiting takes nothing off a node's time, and adds nothing to it."""
    warm.plan = replace(warm.plan, timeout=timedelta(seconds=2))
    warm.image("sleep:60")
    wait_with(warm, 1)
    time.sleep(2)
    tried = warm.run()
    assert (tried.state, tried.result["outcome"]) == ("failed", "deadline")
    assert tried.result["breakdown"]["handover"] < 1.5
    assert warm.trace() == ["1 began", "1 cancelled"]


def test_a_stopped_task_cancels_its_query(warm: World) -> None:
    """TERM to the task: the pod that it took is cancelled and gone; those that wait stay."""
    warm.image("sleep:60", CANCEL_SECONDS="0.5")
    wait_with(warm, 2)
    stopper = later_taken(warm, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert warm.run().result["outcome"] == "killed"
    assert warm.trace() == ["1 began", "1 cancelled"]
    assert (taken(warm), bool(waiting(warm))) == ([], True)
    stopper.join()


def later_taken(world: World, act: Callable[[], Any]) -> threading.Thread:
    """Act as soon as dbt has begun."""
    return later(world, act, world.trace)


# --- races ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
def test_many_tasks_race_for_a_few_pods(warm: World, count: int) -> None:
    """Each gets exactly one pod, no two the same; who comes too late gets one made."""
    warm.image("sleep:60")
    wait_with(warm, count)
    tries = [attempt(f"node_{number}.build") for number in range(8)]
    launched = at_once(*(lambda one=one: launch(warm, one) for one in tries))
    assert len({each.pod["metadata"]["uid"] for each in launched}) == len(tries)
    assert sum(each.how is How.CLAIMED for each in launched) == count
    for one, each in zip(tries, launched, strict=True):
        assert [pod["metadata"]["uid"] for pod in own(warm, one)] == [each.pod["metadata"]["uid"]]
    assert len(warm.until(lambda: len(warm.trace()) >= len(tries) and warm.trace())) == len(tries)


@pytest.mark.parametrize("turn", range(3))
def test_two_processes_of_one_try_share_one_pod(warm: World, turn: int) -> None:
    """Nobody's name keeps the second one out: both want the same pod, one gets it, the other one adopts it."""
    warm.image("sleep:60")
    wait_with(warm, 4)
    one = attempt(f"node_{turn}.build")
    launched = at_once(*[lambda: launch(warm, one)] * 5)
    assert len({each.pod["metadata"]["uid"] for each in launched}) == 1
    assert sorted(each.how.value for each in launched) == [*["adopted"] * 4, "claimed"]
    assert (len(own(warm, one)), len(waiting(warm))) == (1, 3)
    warm.until(warm.trace)
    assert warm.trace() == ["1 began"]


@pytest.mark.parametrize("done", [True, False], ids=["done", "not-done"])
def test_a_claim_whose_answer_is_lost(warm: World, done: bool) -> None:
    """Whether it was done or not, the same call again settles it: one pod, one node, the others still wait."""
    warm.image("sleep:60")
    wait_with(warm, 3)
    api = Proxy(warm, after=lose_the_answer) if done else Proxy(warm, before=lose_the_answer)
    launched = launch(warm, attempt(), api)
    assert launched.how is (How.ADOPTED if done else How.CLAIMED)
    assert [pod["metadata"]["uid"] for pod in own(warm, attempt())] == [launched.pod["metadata"]["uid"]]
    assert (len(waiting(warm)), api.patches) == (2, 2)
    warm.until(warm.trace)
    assert warm.trace() == ["1 began"]


def test_a_claim_that_comes_late_finds_another_pod(warm: World) -> None:
    """The copy of a lost call that is done after all finds the pod changed: it can't take it from whom it has."""
    warm.image("sleep:60")
    wait_with(warm, 1)
    claims: list[tuple[str, Any]] = []

    class Recorder(Proxy):
        def patch(self, name: str, change: Any) -> Pod:
            claims.append((name, change))
            return super().patch(name, change)

    first = launch(warm, attempt("a"), Recorder(warm))
    with pytest.raises(ApiError) as caught:
        connect(warm.plan.namespace).patch(*claims[0])
    assert (first.how, caught.value.status) == (How.CLAIMED, 409)


@pytest.mark.parametrize("change", ["deleted", "taken", "ended", "labelled"])
def test_a_pod_that_changes_before_it_is_taken(warm: World, change: str) -> None:
    """Between the look round and the claim: the next one is taken, or one made; a node never goes to a pod unseen."""
    warm.image("sleep:60")
    (pod,) = wait_with(warm, 1)
    name, core = pod["metadata"]["name"], CoreV1Api(warm.cluster.api_client())

    def act() -> None:
        match change:
            case "deleted":
                core.delete_namespaced_pod(name, warm.plan.namespace, grace_period_seconds=0)
            case "taken":
                launch(warm, attempt("other"))
            case "ended":
                warm.cluster.faults.add("evict", namespace=warm.plan.namespace, name=name)
                warm.until(lambda: not ready(warm))
            case "labelled":
                core.patch_namespaced_pod(name, warm.plan.namespace, {"metadata": {"labels": {"seen": "x"}}})

    launched = launch(warm, attempt(), Proxy(warm, before=act))
    assert launched.how is (How.CLAIMED if change == "labelled" else How.CREATED)
    assert len(own(warm, attempt())) == 1


def test_a_claim_that_is_not_allowed_is_a_pod_of_its_own(warm: World, caplog: pytest.LogCaptureFixture) -> None:
    """No right to patch, or a policy against it: the node runs as it would without, and the log says why."""
    warm.image("sleep:60")
    wait_with(warm, 2)

    def refuse() -> None:
        raise ApiError(422, "Invalid", "ValidatingAdmissionPolicy denied request")

    assert launch(warm, attempt(), Proxy(warm, before=refuse)).how is How.CREATED
    assert "could not be taken" in caplog.text


# --- who dies -------------------------------------------------------------------------------------------------------


def die_after_the_claim(world: World) -> None:
    """Run the task in a process that is gone the moment its claim is done."""
    if (worker := os.fork()) == 0:
        try:
            launch(world, attempt(), Proxy(world, after=lambda: os.kill(os.getpid(), signal.SIGKILL)))
        finally:
            os._exit(1)
    _, status = os.waitpid(worker, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize("number", [1, 2])
def test_a_worker_that_dies_with_its_claim(warm: World, number: int) -> None:
    """The same try sent anew, or the next one: it finds the pod by its labels, and the node runs once."""
    warm.image("sleep:60")
    wait_with(warm, 2)
    die_after_the_claim(warm)
    launched = launch(warm, attempt(number=number))
    assert launched.how is How.ADOPTED
    warm.until(warm.trace)
    assert (warm.trace(), len(own(warm, attempt()))) == (["1 began"], 1)


def test_the_pod_of_a_dead_worker_is_cleared_with_its_run(warm: World) -> None:
    """The run was cleared meanwhile: the old work is cancelled and gone before the new one begins."""
    warm.image("sleep:60")
    wait_with(warm, 1)
    die_after_the_claim(warm)
    warm.until(warm.trace)
    launched = launch(warm, replace(attempt(number=2), clears=1))
    warm.until(lambda: len(warm.trace()) == 3)
    assert launched.how is How.CREATED
    assert warm.trace() == ["1 began", "1 cancelled", "2 began"]


def test_a_task_that_is_stopped_while_its_claim_is_under_way(warm: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """TERM before the answer: the pod is found by its labels and goes, as if it had been known."""
    warm.image("sleep:60")
    wait_with(warm, 1)
    real = PodApi.patch

    def stopped(api: PodApi, name: str, change: Any) -> Pod:
        found = real(api, name, change)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        return found

    monkeypatch.setattr(PodApi, "patch", stopped)
    assert warm.run().result["outcome"] == "killed"
    warm.until(lambda: not taken(warm))


def late(folder: Path, pod: Pod) -> None:
    """Leave a pod's files as they are when it is claimed, until it is changed once more."""
    said = pod["metadata"].get("annotations") or {}
    if "wherry.dev/work" not in said or NUDGE in said:
        fill(folder, pod)


@pytest.mark.parametrize(("written", "pauses", "nudges"), [(late, (0.5, 60.0), 1), (fill, (60.0,), 0)])
def test_a_kubelet_that_misses_a_claim_is_told_again(
    warm: World, monkeypatch: pytest.MonkeyPatch, written: Any, pauses: tuple[float, ...], nudges: int
) -> None:
    """A pod that says nothing is changed once more, and begins; one that begins is left alone."""
    patch, changes = PodApi.patch, []

    def spied(api: PodApi, name: str, change: Any) -> Pod:
        changes.append(change["metadata"]["annotations"])
        return patch(api, name, change)

    monkeypatch.setattr(PodApi, "patch", spied)
    monkeypatch.setattr(operator_warm, "_NUDGES", pauses)
    monkeypatch.setattr(pods, "fill", written)
    warm.image("print:working", "finish:success")
    wait_with(warm, 1)
    done = warm.run()
    assert (done.state, "-waits-" in done.result["pod"]) == ("success", True)
    assert sum(NUDGE in change for change in changes) == nudges


def test_a_pod_that_dies_while_it_waits(warm: World) -> None:
    """It isn't taken, and the next launch clears it away; another one waits then."""
    warm.image("finish:success")
    (pod,) = wait_with(warm, 1)
    warm.cluster.faults.add("evict", namespace=warm.plan.namespace, name=pod["metadata"]["name"])
    warm.until(lambda: not ready(warm))
    assert warm.run().state == "success"
    warm.until(lambda: [each["metadata"]["uid"] for each in ready(warm)] not in ([], [pod["metadata"]["uid"]]))
    warm.until(lambda: pod["metadata"]["uid"] not in {each["metadata"]["uid"] for each in warm.pods()})


@pytest.mark.parametrize("kind", ["evict", "lost-node"])
def test_a_pod_that_dies_with_its_node(warm: World, kind: str) -> None:
    """After the hand-over it is a pod like any other: the cause is named, and the next try is green."""
    warm.image("sleep:60", later={2: ["finish:success"]})
    wait_with(warm, 1)

    def act() -> None:
        warm.cluster.faults.add(kind, namespace=warm.plan.namespace, selector="wherry.dev/task")

    killer = later_taken(warm, act)
    first, second = warm.until_done()
    assert first.result["outcome"] in ("evicted", "lost")
    assert second.state == "success"
    assert [line for line in warm.trace() if "began" in line] == ["1 began", "2 began"]
    killer.join()


def test_a_pod_that_ends_at_the_moment_of_its_claim(warm: World) -> None:
    """Told to end while its node was on the way: it says so by its exit code, and the next try is green."""
    warm.image("finish:success")
    (pod,) = wait_with(warm, 1)
    uid = pod["metadata"]["uid"]
    stop = warm.cluster.call(lambda cluster: cluster.pods.runs[uid].process.pid)
    real = PodApi.patch

    def too_late(api: PodApi, name: str, change: Any) -> Pod:
        os.kill(stop, signal.SIGSTOP)
        found = real(api, name, change)
        os.kill(stop, signal.SIGTERM)
        os.kill(stop, signal.SIGCONT)
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PodApi, "patch", too_late)
        first = warm.run()
    assert (first.result["outcome"], first.state) in [("lost", "up_for_retry"), ("success", "success")]
    if first.state != "success":
        assert warm.run(2).state == "success"
    assert len([line for line in warm.trace() if "began" in line]) == 1


# --- how many wait --------------------------------------------------------------------------------------------------


def test_a_level_of_tasks_makes_no_more_wait_than_the_team_wants(warm: World) -> None:
    """Twelve start at once and find none: at most two pods wait afterwards."""
    warm.image("sleep:60")
    tries = [attempt(f"node_{number}.build") for number in range(12)]
    for _ in range(2):
        launched = at_once(*(lambda one=one: launch(warm, one) for one in tries))
        at_once(*(lambda each=each: kept(warm, each) for each in launched))
        assert 1 <= len(waiting(warm)) <= 4  # two a time span of ten seconds, whose end may lie between


def kept(world: World, launched: Launched) -> int:
    """How many pods wait after a launch."""
    keep_warm(connect(world.plan.namespace), world.plan, launched).join()
    return len(waiting(world))


def test_a_pool_keeps_its_size(warm: World) -> None:
    """What is taken is replaced once; where enough wait, nothing is made."""
    warm.image("finish:success")
    wait_with(warm, 2)
    for _ in range(3):
        assert warm.run().state == "success"
        warm.until(lambda: len(ready(warm)) == 2)
    assert kept(warm, Launched({}, How.CREATED, waiting(warm))) == 2


@pytest.mark.parametrize(("age", "expected"), [("2026-01-01T00:00:00Z", 1), (None, 2)], ids=["ready", "fresh"])
def test_a_pool_grows_where_pods_are_taken_before_they_are_ready(warm: World, age: str | None, expected: int) -> None:
    """A pod that still imported when it was taken: one more should have waited, as far as the team wants."""
    warm.image("sleep:60")
    wait_with(warm, 1)
    launched = launch(warm, attempt())
    if age:
        launched.pod["metadata"]["creationTimestamp"] = age
    assert kept(warm, launched) == expected
    assert kept(warm, replace(launched, waiting=waiting(warm))) <= 2


def test_a_pod_that_is_not_needed_ends_itself(warm: World) -> None:
    """After its time it has succeeded, and says nothing; the next launch clears it away."""
    warm.plan = replace(warm.plan, idle=timedelta(seconds=1))
    warm.image("finish:success")
    api = connect(warm.plan.namespace)
    made = api.create(make_waiting_pod(warm.plan, "1"))
    (ended,) = warm.until(lambda: [pod for pod in warm.pods() if pod["status"]["phase"] == "Succeeded"])
    assert "message" not in ended["status"]["containerStatuses"][0]["state"]["terminated"]
    assert warm.run().result["pod"] != made["metadata"]["name"]
    warm.until(lambda: made["metadata"]["uid"] not in {pod["metadata"]["uid"] for pod in warm.pods()})


@pytest.mark.parametrize("fault", ["error", "reset"])
def test_trouble_with_the_next_one_is_nobodys(warm: World, fault: str) -> None:
    """The API refuses, or breaks off, whatever would make another pod wait: the task doesn't notice."""
    warm.image("sleep:0.3", "finish:success")
    warm.plan = replace(warm.plan, warm=1)
    wait_with(warm, 1)
    options = {"status": 500} if fault == "error" else {}
    warm.cluster.faults.add(fault, verb="create", resource="pods", count=1, **options)
    assert warm.run().state == "success"
    assert warm.cluster.faults.list() == [], "it was met"
    assert waiting(warm) == []


def test_nobody_waits_for_the_next_one(warm: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API server that takes its time to make it holds no task up."""
    warm.image("finish:success")
    wait_with(warm, 1)
    real, held = PodApi.create, threading.Event()

    def slow(api: PodApi, pod: Any) -> Pod:
        held.wait(30)
        return real(api, pod)

    monkeypatch.setattr(PodApi, "create", slow)
    began = time.monotonic()
    assert warm.run().state == "success"
    assert time.monotonic() - began < 15
    held.set()


def full_quota(world: World, pods: int) -> None:
    body = {"metadata": {"name": "team"}, "spec": {"hard": {"pods": str(pods)}}}
    CoreV1Api(world.cluster.api_client()).create_namespaced_resource_quota(world.plan.namespace, body)


def test_what_waits_gives_way_where_there_is_no_room(warm: World) -> None:
    """A node that can't take it needs its room: one of the pods that wait goes, also one of another release."""
    warm.image("finish:success")
    wait_with(warm, 1)
    wait_with_old = replace(warm.plan, release_id="fedcba9876543210")
    connect(warm.plan.namespace).create(make_waiting_pod(wait_with_old, "old"))
    warm.until(lambda: len(ready(warm)) == 2)
    full_quota(warm, 2)
    warm.plan = replace(warm.plan, resources=OTHER, warm=0)
    assert warm.run().state == "success"
    assert len(waiting(warm)) == 1


def test_nothing_gives_way_where_another_pod_is_about_to_end(warm: World) -> None:
    """A try ends before its pod has gone: that one makes the room, and what waits stays."""
    warm.image("finish:success", later={2: ["sleep:60"]}, CANCEL_SECONDS="1")
    wait_with(warm, 1)
    ending = launch(warm, attempt("other", 2), warm=0).pod["metadata"]["name"]
    warm.until(lambda: "2 began" in warm.trace())
    full_quota(warm, 2)
    connect(warm.plan.namespace).delete(ending)
    warm.plan = replace(warm.plan, resources=OTHER, warm=0)
    assert warm.run().state == "success"
    assert len(ready(warm)) == 1


def test_a_full_quota_lets_nothing_wait(warm: World) -> None:
    """A node takes the pod that waits and needs no room; there is none for another one to wait, and that is all."""
    warm.image("sleep:0.5", "finish:success")
    wait_with(warm, 1)
    full_quota(warm, 1)
    assert warm.run().state == "success"
    warm.until(lambda: not warm.pods())


def test_work_of_others_does_not_give_way(warm: World) -> None:
    """A pod that was taken meanwhile isn't deleted for its room: the deletion names what was seen."""
    warm.image("sleep:60")
    (pod,) = wait_with(warm, 1)
    launch(warm, attempt("other"))
    assert not connect(warm.plan.namespace).delete_as_seen(pod)
    assert len(own(warm, attempt("other"))) == 1
