"""Each fault, seen from the client's side."""

import json
import time

import pytest
import urllib3
from kubernetes import watch
from kubernetes.client.exceptions import ApiException

from wherry.errors import WherryError
from wherry.localcluster import LocalCluster

from .conftest import Space, pod
from .test_api import raw
from .test_lifecycle import state

FAULT = "wherry.dev/fault"


@pytest.mark.parametrize("how", ["annotation", "next", "running"])
def test_evict(space: Space, how: str) -> None:
    """An evicted pod has Failed with Evicted, its process is killed; however the fault was asked for."""
    if how == "next":
        space.cluster.faults.add("evict", seconds=0.1, namespace=space.name, selector="hit=me")
        assert space.run(pod("other")).status.phase == "Succeeded"
    notes = {FAULT: "evict=100ms"} if how == "annotation" else {}
    space.create(pod("p", "exec sleep 60", annotations=notes, labels={"hit": "me"}))
    if how == "running":
        space.running("p")
        space.cluster.faults.add("evict", name="p", namespace=space.name)
    done = space.ended("p")
    assert (done.status.phase, done.status.reason, state(done).exit_code) == ("Failed", "Evicted", 137)
    assert "DisruptionTarget" in [item.type for item in done.status.conditions]
    assert "Evicted" in space.reasons("p")
    assert space.cluster.faults.list() == []


def test_oom(space: Space) -> None:
    """An injected OOM looks like a real one."""
    done = space.run(pod("p", "exec sleep 60", annotations={FAULT: "oom"}))
    assert (done.status.phase, state(done).exit_code, state(done).reason) == ("Failed", 137, "OOMKilled")


def test_image_pull_and_create_failed(space: Space) -> None:
    """A pod that can't get its image, or its configuration, waits with the kubelet's reason."""
    space.create(pod("a", annotations={FAULT: "image-pull"}))
    space.create(pod("b", annotations={FAULT: "create-failed"}))
    space.waiting("a", "ImagePullBackOff")
    space.waiting("b", "CreateContainerConfigError")


def test_slow_start(space: Space) -> None:
    """A slow start is ContainerCreating for that long."""
    started = time.monotonic()
    space.create(pod("p", annotations={FAULT: "slow-start=500ms"}))
    space.waiting("p", "ContainerCreating")
    assert space.ended("p").status.phase == "Succeeded"
    assert time.monotonic() - started > 0.5


def test_lost_node(space: Space) -> None:
    """A lost node: still Running but not ready, then deleted with NodeLost; its log can't be read; no result."""
    space.create(pod("p", "echo up; exec sleep 60", annotations={FAULT: "lost-node=100ms"}))
    phases, log_code = [], None
    for event in watch.Watch().stream(space.api.list_namespaced_pod, space.name, timeout_seconds=8):
        item = event["object"]
        ready = {found.type: found.reason for found in item.status.conditions or []}.get("Ready")
        phases.append((event["type"], item.status.phase, item.status.reason, ready))
        if ready == "NodeStatusUnknown" and log_code is None:
            log_code = space.refusal(lambda: space.api.read_namespaced_pod_log("p", space.name))["code"]
        if event["type"] == "DELETED":
            break
    assert ("MODIFIED", "Running", None, "NodeStatusUnknown") in phases
    assert phases[-1] == ("DELETED", "Running", "NodeLost", "NodeStatusUnknown")
    assert log_code == 500


def test_status_gone(space: Space) -> None:
    """A pod that is deleted before its result was read is never seen to have ended."""
    space.create(pod("p", "sleep 0.2", annotations={FAULT: "status-gone"}))
    phases = []
    for event in watch.Watch().stream(space.api.list_namespaced_pod, space.name, timeout_seconds=5):
        phases.append((event["type"], event["object"].status.phase))
        if event["type"] == "DELETED":
            break
    assert phases[-1] == ("DELETED", "Running")
    assert not {"Succeeded", "Failed"} & {phase for _, phase in phases}


@pytest.mark.parametrize("code", [429, 500, 503])
def test_errors_on_the_next_calls(space: Space, code: int) -> None:
    """The next n calls that fit are refused, others and later ones are not."""
    space.run(pod("p"))
    space.cluster.faults.add(
        "error", status=code, count=2, verb="get", resource="pods", namespace=space.name, retry_after=0
    )
    space.api.list_namespaced_pod(space.name)
    for _ in range(2):
        code_, answer = raw(space.cluster, "GET", f"/api/v1/namespaces/{space.name}/pods/p")
        assert code_ == code
        assert answer["details"]["retryAfterSeconds"] == 0
    assert space.get("p").metadata.name == "p"


def test_a_reset_connection(space: Space) -> None:
    """A reset is no answer at all; the next call works."""
    space.cluster.faults.add("reset", count=1, verb="list", resource="pods")
    with pytest.raises((ConnectionResetError, ConnectionError, OSError)):
        raw(space.cluster, "GET", f"/api/v1/namespaces/{space.name}/pods")
    assert raw(space.cluster, "GET", f"/api/v1/namespaces/{space.name}/pods")[0] == 200


def test_the_api_is_down_for_a_while(space: Space) -> None:
    """While the API is down nothing answers; pods go on; then it answers again."""
    space.create(pod("p", "sleep 0.2"))
    space.running("p")
    space.cluster.faults.add("down", seconds=0.6)
    space.api.api_client.configuration.retries = False
    with pytest.raises((OSError, urllib3.exceptions.HTTPError)):
        raw(space.cluster, "GET", "/healthz")
    time.sleep(0.7)
    assert space.ended("p").status.phase == "Succeeded"


@pytest.mark.parametrize("count", [None, 1])
def test_a_cut_watch_can_be_resumed(space: Space, count: int | None) -> None:
    """A watch ends before its time, now or soon after it opened, and goes on from the last revision."""
    space.create(pod("p", "sleep 1"))
    space.running("p")
    if count:
        space.cluster.faults.add("watch-cut", count=count, seconds=0.2)
    version, started, seen = "0", time.monotonic(), []
    response = space.api.list_namespaced_pod(space.name, watch=True, timeout_seconds=20, _preload_content=False)
    for line in response:
        seen.append(json.loads(line))
        version = seen[-1]["object"]["metadata"]["resourceVersion"]
        if not count:
            space.cluster.faults.add("watch-cut")
    assert time.monotonic() - started < 0.9
    assert seen[-1]["object"]["status"]["phase"] == "Running"
    again = watch.Watch().stream(space.api.list_namespaced_pod, space.name, resource_version=version, timeout_seconds=5)
    assert next(iter(again))["object"].status.phase == "Succeeded"


def test_a_cut_log_can_be_resumed(space: Space) -> None:
    """A followed log ends early; what follows can be read from then on."""
    space.create(pod("p", "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done"))
    space.running("p")
    space.cluster.faults.add("log-cut", count=1, seconds=0.3)
    first = space.log("p", follow=True)
    assert first.startswith("1\n")
    assert "5" not in first
    assert space.log("p", follow=True) == "1\n2\n3\n4\n5\n"


def test_the_fault_api(cluster: LocalCluster) -> None:
    """Faults are added, listed and removed by HTTP."""
    path = "/wherry.dev/v1/faults"
    code, fault = raw(cluster, "POST", path, json.dumps({"kind": "evict", "selector": "a=b", "count": 3}).encode())
    assert (code, fault["count"], fault["selector"]) == (201, 3, "a=b")
    assert raw(cluster, "GET", path)[1]["items"] == [fault]
    raw(cluster, "DELETE", f"{path}/{fault['id']}")
    assert raw(cluster, "GET", path)[1]["items"] == []
    raw(cluster, "POST", path, b'{"kind": "reset", "resource": "nothing"}')
    assert raw(cluster, "DELETE", path)[0] == 200
    assert raw(cluster, "GET", path)[1]["items"] == []


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "flood"},
        {"kind": "error", "status": 418},
        {"kind": "error", "count": 0},
        {"kind": "error", "count": "two"},
        {"kind": "evict", "selector": "a b"},
        {"kind": "evict", "after": 1},
    ],
)
def test_a_fault_that_can_not_be_read(cluster: LocalCluster, options: dict) -> None:
    """A wrong fault is refused, and nothing waits."""
    assert raw(cluster, "POST", "/wherry.dev/v1/faults", json.dumps(options).encode())[0] == 400
    with pytest.raises(WherryError):
        cluster.faults.add(**options)
    assert cluster.faults.list() == []


@pytest.mark.parametrize("text", ["flood", "evict=soon"])
def test_a_wrong_annotation(space: Space, text: str) -> None:
    """An annotation that can't be read is 400 when the pod is created."""
    with pytest.raises(ApiException) as caught:
        space.create(pod("p", annotations={FAULT: text}))
    assert caught.value.status == 400
