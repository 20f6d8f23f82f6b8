"""What becomes of a pod that is changed while it runs: what its files say, and when its time is over."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.localcluster.conftest import Space, pod

NOTE = "metadata.annotations['e.com/note']"
VOLUME = {"name": "facts", "downwardAPI": {"items": [{"path": "note", "fieldRef": {"fieldPath": NOTE}}]}}


def watching(script: str, **spec: Any) -> dict[str, Any]:
    """A pod that finds its annotation in the file that its first argument names."""
    body = pod("p", spec={"volumes": [VOLUME], **spec}, volumeMounts=[{"name": "facts", "mountPath": "/facts"}])
    body["spec"]["containers"][0]["args"] = [script, "script", "/facts/note"]
    return body


def test_a_file_says_what_an_annotation_says_now(space: Space) -> None:
    """Empty at first; the text soon after the pod was patched, whole at every moment."""
    script = 'test ! -s "$1" || exit 9; echo began; while [ ! -s "$1" ]; do sleep 0.02; done; cat "$1"'
    space.create(watching(script))
    space.running("p")
    space.api.patch_namespaced_pod("p", space.name, {"metadata": {"annotations": {"e.com/note": 'a "b" é\n=c'}}})
    assert space.ended("p").status.phase == "Succeeded"
    assert space.log("p") == 'began\na "b" é\n=c'


def test_a_file_has_its_text_before_the_container_starts(space: Space) -> None:
    """Also one that was patched while it still waited for its container."""
    body = watching('cat "$1"')
    body["metadata"]["annotations"] = {"wherry.dev/fault": "slow-start=0.5s"}
    space.create(body)
    space.waiting("p", "ContainerCreating")
    space.api.patch_namespaced_pod("p", space.name, {"metadata": {"annotations": {"e.com/note": "early"}}})
    space.ended("p")
    assert space.log("p") == "early"


@pytest.mark.parametrize(
    "item",
    [
        {"path": "../out", "fieldRef": {"fieldPath": NOTE}},
        {"path": "/etc/passwd", "fieldRef": {"fieldPath": NOTE}},
        {"path": "note", "fieldRef": {"fieldPath": "spec.nodeName"}},
        {"path": "note", "resourceFieldRef": {"resource": "limits.cpu"}},
        {"path": "note"},
    ],
)
def test_a_file_anywhere_else_or_of_anything_else_is_refused(space: Space, item: dict[str, Any]) -> None:
    """One plain name in its own folder, one field of the metadata."""
    body = watching("true", volumes=[{"name": "facts", "downwardAPI": {"items": [item]}}])
    assert space.refusal(lambda: space.create(body))["code"] == 422
    assert not Path("/out").exists()


def test_a_deadline_that_is_brought_nearer(space: Space) -> None:
    """It counts from the pod's start, as the first one did; dbt's cancelling would have its grace."""
    space.create(pod("p", "trap 'echo cancelled; exit 3' TERM; sleep 60 & wait", spec={"activeDeadlineSeconds": 600}))
    space.running("p")
    time.sleep(1)
    began = time.monotonic()
    space.api.patch_namespaced_pod("p", space.name, {"spec": {"activeDeadlineSeconds": 2}})
    status = space.ended("p").status
    assert (status.phase, status.reason) == ("Failed", "DeadlineExceeded")
    assert 0.3 < time.monotonic() - began < 1.9
    assert space.log("p") == "cancelled\n"


@pytest.mark.parametrize("value", [601, None, 0, True, "9"])
def test_a_deadline_is_never_put_off(space: Space, value: Any) -> None:
    """As Kubernetes has it."""
    space.create(pod("p", "sleep 60", spec={"activeDeadlineSeconds": 600}))
    change = {"spec": {"activeDeadlineSeconds": value}}
    assert space.refusal(lambda: space.api.patch_namespaced_pod("p", space.name, change))["code"] == 422
    assert space.get("p").spec.active_deadline_seconds == 600


def test_a_deadline_where_none_was(space: Space) -> None:
    """A pod without one may get one."""
    space.create(pod("p", "sleep 60"))
    space.running("p")
    space.api.patch_namespaced_pod("p", space.name, {"spec": {"activeDeadlineSeconds": 1}})
    assert space.ended("p").status.reason == "DeadlineExceeded"
