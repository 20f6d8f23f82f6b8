"""What a measurement begins with: a namespace in which no other arm's pods hold room."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.client import models as k8s

from bench.nodes import make_room
from wherry.errors import WherryError
from wherry.localcluster import LocalCluster
from wherry.operator.kube import PodApi

IMAGE = "example.com/shell:1"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[PodApi]:
    """A namespace of an embedded cluster."""
    with LocalCluster(tmp_path / "data", tmp_path / "images") as cluster:
        cluster.put_image(IMAGE, ["/bin/sh", "-c"])
        cluster.create_namespace("team-bench")
        yield PodApi(cluster.api_client(), "team-bench")


def pod(name: str, *finalizers: str) -> k8s.V1Pod:
    """One that waits for nothing."""
    container = k8s.V1Container(name="base", image=IMAGE, args=["exec sleep 600"])
    spec = k8s.V1PodSpec(containers=[container], restart_policy="Never", termination_grace_period_seconds=1)
    meta = k8s.V1ObjectMeta(name=name, finalizers=list(finalizers) or None)
    return k8s.V1Pod(api_version="v1", kind="Pod", metadata=meta, spec=spec)


def test_pods_that_wait_hold_no_room_of_the_next_arm(api: PodApi) -> None:
    """All pods of the namespace are gone afterwards, not just asked to go."""
    for name in ("waits-1", "waits-2"):
        api.create(pod(name))
    make_room(api)
    assert api.find("") == []


def test_a_pod_that_stays_is_named(api: PodApi) -> None:
    """Nothing is measured beside it."""
    api.create(pod("held", "example.com/not-yet"))
    with pytest.raises(WherryError, match="pod held in team-bench is there 1 s after its deletion"):
        make_room(api, patience=1.0)
