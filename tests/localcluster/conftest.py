"""One cluster a module; each test in a namespace of its own."""

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, watch
from kubernetes.client import CoreV1Api, V1Pod
from kubernetes.client.exceptions import ApiException

from wherry.localcluster import LocalCluster

IMAGE = "example.com/shell:1"
_numbers = itertools.count(1)


def pod(
    name: str, script: str = "true", *, annotations: dict[str, str] | None = None, **container: Any
) -> dict[str, Any]:
    """A pod that runs a shell script; keys of its spec by `spec=`."""
    spec = container.pop("spec", {})
    labels = container.pop("labels", {})
    return {
        "metadata": {"name": name, "labels": labels, "annotations": annotations or {}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 2,
            **spec,
            "containers": [
                {"name": "base", "image": IMAGE, "command": ["/bin/sh", "-c"], "args": [script], **container}
            ],
        },
    }


def status_of(error: ApiException) -> dict[str, Any]:
    """The Status object of a refusal."""
    found: dict[str, Any] = json.loads(error.body)
    assert found["kind"] == "Status"
    assert found["code"] == error.status
    return found


class Space:
    """A namespace, and the real client on it."""

    def __init__(self, cluster: LocalCluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.api = CoreV1Api(cluster.api_client())

    def create(self, body: dict[str, Any]) -> V1Pod:
        return self.api.create_namespaced_pod(self.name, body)

    def get(self, name: str) -> V1Pod:
        return self.api.read_namespaced_pod(name, self.name)

    def until(self, name: str, wanted: Callable[[V1Pod], bool], timeout: int = 10) -> V1Pod:
        """Watch a pod until it is as wanted."""
        selector = f"metadata.name={name}"
        found = None
        for event in watch.Watch().stream(
            self.api.list_namespaced_pod, self.name, field_selector=selector, timeout_seconds=timeout
        ):
            found = event["object"]
            if wanted(found):
                return found
        raise AssertionError(f"{name} didn't get there: {found and found.status}")

    def ended(self, name: str, timeout: int = 10) -> V1Pod:
        return self.until(name, lambda item: item.status.phase in ("Succeeded", "Failed"), timeout)

    def running(self, name: str) -> V1Pod:
        return self.until(name, lambda item: item.status.phase == "Running")

    def waiting(self, name: str, reason: str) -> V1Pod:
        def at(item: V1Pod) -> bool:
            state = item.status.container_statuses and item.status.container_statuses[0].state.waiting
            return bool(state and state.reason == reason)

        return self.until(name, at)

    def run(self, body: dict[str, Any]) -> V1Pod:
        self.create(body)
        return self.ended(body["metadata"]["name"])

    def log(self, name: str, **options: Any) -> str:
        return str(self.api.read_namespaced_pod_log(name, self.name, _preload_content=False, **options).data.decode())

    def gone(self, name: str, timeout: float = 10) -> None:
        """Wait until there is no such pod."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if not self.api.list_namespaced_pod(self.name, field_selector=f"metadata.name={name}").items:
                return
            time.sleep(0.02)
        raise AssertionError(f"{name} is still there")

    def reasons(self, name: str) -> list[str]:
        events = self.api.list_namespaced_event(self.name, field_selector=f"involvedObject.name={name}")
        return [event.reason for event in events.items]

    def refusal(self, call: Callable[[], Any]) -> dict[str, Any]:
        with pytest.raises(ApiException) as caught:
            call()
        return status_of(caught.value)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster with one image, whose entrypoint is the shell."""
    folder: Path = tmp_path_factory.mktemp("cluster")
    with LocalCluster(folder / "data", folder / "images") as running:
        running.put_image(IMAGE, ["/bin/sh", "-c"])
        yield running


@pytest.fixture
def space(cluster: LocalCluster, request: pytest.FixtureRequest) -> Iterator[Space]:
    """A namespace named after the test."""
    name = f"{re.sub('[^a-z0-9]+', '-', request.node.name.lower()).strip('-')[:50].strip('-')}-{next(_numbers)}"
    cluster.create_namespace(name)
    space = Space(cluster, name)
    yield space
    cluster.faults.clear()
    for item in space.api.list_namespaced_pod(name).items:
        space.api.patch_namespaced_pod(item.metadata.name, name, {"metadata": {"finalizers": None}})
    space.api.delete_collection_namespaced_pod(name, grace_period_seconds=0)


@pytest.fixture
def core(cluster: LocalCluster) -> CoreV1Api:
    """The real client."""
    return client.CoreV1Api(cluster.api_client())
