"""A pod's life, as the real client sees it."""

import os
import time
from pathlib import Path

import pytest

from wherry.localcluster import LocalCluster

from .conftest import IMAGE, Space, pod


def state(item):
    return item.status.container_statuses[0].state.terminated


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_success_is_told_with_message_times_conditions_and_events(space: Space) -> None:
    """A pod that exits with 0 has Succeeded, and its status says all that a real one's says."""
    done = space.run(pod("p", 'printf "all well" > "$TERMINATION_MESSAGE_PATH"'))
    ended = state(done)
    assert (done.status.phase, ended.exit_code, ended.reason, ended.message) == (
        "Succeeded",
        0,
        "Completed",
        "all well",
    )
    assert ended.started_at <= ended.finished_at
    conditions = {item.type: item.status for item in done.status.conditions}
    assert conditions["PodScheduled"] == "True"
    assert conditions["Ready"] == "False"
    assert (done.status.pod_ip, done.status.qos_class, done.spec.node_name) == (
        "127.0.0.1",
        "BestEffort",
        "wherry-local",
    )
    assert space.reasons("p") == ["Scheduled", "Pulled", "Created", "Started"]


def test_failure_keeps_the_exit_code(space: Space) -> None:
    """A pod that exits with 3 has Failed with 3."""
    done = space.run(pod("p", "exit 3"))
    assert (done.status.phase, state(done).exit_code, state(done).reason) == ("Failed", 3, "Error")


def test_a_signal_becomes_128_plus_its_number(space: Space) -> None:
    """A process that a signal killed is told as such."""
    ended = state(space.run(pod("p", "kill -9 $$$$")))
    assert (ended.exit_code, ended.signal, ended.reason) == (137, 9, "Error")


def test_the_message_is_the_last_4096_bytes(space: Space) -> None:
    """A termination message that is too long loses its beginning, as the kubelet does it."""
    done = space.run(
        pod(
            "p",
            'head -c 5000 /dev/zero | tr "\\0" a > $TERMINATION_MESSAGE_PATH; printf END >> $TERMINATION_MESSAGE_PATH',
        )
    )
    assert len(state(done).message) == 4096
    assert state(done).message.endswith("aEND")


def test_the_log_is_the_message_of_last_resort(space: Space) -> None:
    """FallbackToLogsOnError shows the log's end when a failed container wrote no message."""
    done = space.run(pod("p", "echo it broke; exit 1", terminationMessagePolicy="FallbackToLogsOnError"))
    assert state(done).message == "it broke\n"


def test_a_program_that_is_not_there(space: Space) -> None:
    """A command that can't be started fails with StartError and 128."""
    done = space.run(pod("p", command=["/no/such/program"]))
    assert (done.status.phase, state(done).exit_code, state(done).reason) == ("Failed", 128, "StartError")
    assert "/no/such/program" in state(done).message


def test_environment_is_exact(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod sees its image's, its own and its Secret's variables, and none of the server's."""
    monkeypatch.setenv("SERVERS_OWN", "x")
    space.cluster.put_image("with/env:1", ["/bin/sh", "-c"], {"FROM_IMAGE": "i", "OVERRIDDEN": "i"})
    space.api.create_namespaced_secret(
        space.name, {"metadata": {"name": "s"}, "stringData": {"PASSWORD": "pä ss", "K": "k"}}
    )
    space.api.create_namespaced_config_map(space.name, {"metadata": {"name": "c"}, "data": {"COLOR": "red"}})
    variables = [
        {"name": "OVERRIDDEN", "value": "own"},
        {"name": "EXPANDED", "value": "$(OVERRIDDEN)-$(UNKNOWN)-$$(OVERRIDDEN)"},
        {"name": "ONE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "K"}}},
        {"name": "CM", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "COLOR"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "absent", "optional": True}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "TEAM", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['team']"}}},
    ]
    sources = [
        {"secretRef": {"name": "s"}},
        {"prefix": "C_", "configMapRef": {"name": "c"}},
        {"secretRef": {"name": "absent", "optional": True}},
    ]
    space.run(pod("p", "env", command=None, image="with/env:1", env=variables, envFrom=sources, labels={"team": "a"}))
    seen = dict(line.split("=", 1) for line in space.log("p").splitlines())
    assert seen["PASSWORD"] == "pä ss"
    wanted = {
        "FROM_IMAGE": "i",
        "OVERRIDDEN": "own",
        "EXPANDED": "own-$(UNKNOWN)-$(OVERRIDDEN)",
        "ONE": "k",
        "CM": "red",
    }
    assert wanted.items() <= seen.items()
    assert {"C_COLOR": "red", "NAME": "p", "TEAM": "a", "HOSTNAME": "p"}.items() <= seen.items()
    assert not {"NONE", "SERVERS_OWN"} & seen.keys()


def test_a_mount_is_the_pods_own_folder(space: Space) -> None:
    """What begins with a mountPath leads to the pod's own empty folder, which goes with the pod."""
    body = pod(
        "p",
        'echo x > "$SCRATCH/file"; echo "$0 $SCRATCH $OTHER"; ls "$0"; pwd',
        env=[{"name": "SCRATCH", "value": "/scratch"}, {"name": "OTHER", "value": "/scratchy"}],
        volumeMounts=[{"name": "tmp", "mountPath": "/scratch"}],
        workingDir="/scratch",
        spec={"volumes": [{"name": "tmp", "emptyDir": {}}]},
    )
    body["spec"]["containers"][0]["args"].append("/scratch")
    space.run(body)
    first, second, third = space.log("p").splitlines()
    argument, value, other = first.split()
    assert argument == value == third
    assert (second, other) == ("file", "/scratchy")
    assert Path(value, "file").read_text() == "x\n"
    space.api.delete_namespaced_pod("p", space.name)
    end = time.monotonic() + 5
    while Path(value).exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not Path(value).exists()


def test_a_missing_image_is_pulled_when_it_comes(space: Space) -> None:
    """An unknown image means ImagePullBackOff until the store has it; then the pod runs."""
    space.create(pod("p", image="example.com/late:1"))
    found = space.waiting("p", "ImagePullBackOff")
    assert "example.com/late:1" in found.status.container_statuses[0].state.waiting.message
    assert {"Failed", "BackOff"} <= set(space.reasons("p"))
    space.cluster.put_image("example.com/late:1")
    assert space.ended("p").status.phase == "Succeeded"


def test_a_broken_image_says_so(space: Space, cluster: LocalCluster) -> None:
    """An image.json that isn't JSON is an image that can't be pulled, not a crash."""
    path = cluster._server.images / "broken_1" / "image.json"
    path.parent.mkdir()
    path.write_text("{")
    space.create(pod("p", image="broken:1"))
    assert "can't be read" in space.waiting("p", "ImagePullBackOff").status.container_statuses[0].state.waiting.message


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"envFrom": [{"secretRef": {"name": "later"}}]}, 'secret "later" not found'),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "later", "key": "A"}}}]},
            'secret "later" not found',
        ),
    ],
)
def test_a_missing_secret_is_waited_for(space: Space, env: dict, message: str) -> None:
    """A Secret that isn't there means CreateContainerConfigError until it is."""
    space.create(pod("p", 'test "$A" = b', **env))
    found = space.waiting("p", "CreateContainerConfigError")
    assert found.status.container_statuses[0].state.waiting.message == message
    space.api.create_namespaced_secret(space.name, {"metadata": {"name": "later"}, "stringData": {"A": "b"}})
    assert space.ended("p").status.phase == "Succeeded"


def test_a_missing_key_is_named(space: Space) -> None:
    """A key that a Secret doesn't have is named, with the Secret."""
    space.api.create_namespaced_secret(space.name, {"metadata": {"name": "s"}, "stringData": {"A": "b"}})
    space.create(pod("p", env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "B"}}}]))
    found = space.waiting("p", "CreateContainerConfigError").status.container_statuses[0].state.waiting.message
    assert found == "couldn't find key B in secret s"


def test_deadline_ends_the_pod(space: Space) -> None:
    """activeDeadlineSeconds: TERM, and the pod has Failed with DeadlineExceeded."""
    done = space.run(
        pod("p", 'trap "echo told; exit 0" TERM; while true; do sleep 0.05; done', spec={"activeDeadlineSeconds": 1})
    )
    assert (done.status.phase, done.status.reason) == ("Failed", "DeadlineExceeded")
    assert state(done).exit_code == 0
    assert space.log("p") == "told\n"
    assert "DeadlineExceeded" in space.reasons("p")


def test_deadline_also_counts_while_pending(space: Space) -> None:
    """A pod that never starts fails by its deadline too."""
    done = space.run(pod("p", image="absent:1", spec={"activeDeadlineSeconds": 1}))
    assert (done.status.phase, done.status.reason) == ("Failed", "DeadlineExceeded")


def test_too_much_memory_is_oom_killed(space: Space) -> None:
    """The memory of all of a pod's processes counts; above the limit it is OOMKilled with 137."""
    hungry = "import time; x = bytearray(120_000_000); time.sleep(30)"
    body = pod("p", f"python3 -c '{hungry}'; exit 5", resources={"limits": {"memory": "60Mi"}})
    done = space.run(body)
    assert (done.status.phase, state(done).exit_code, state(done).reason) == ("Failed", 137, "OOMKilled")
    assert done.spec.containers[0].resources.requests == {"memory": "60Mi"}


def test_within_its_limit_a_pod_lives(space: Space) -> None:
    """A limit that isn't reached changes nothing."""
    done = space.run(pod("p", "sleep 0.5", resources={"limits": {"memory": "60Mi", "cpu": "1"}}))
    assert (done.status.phase, done.status.qos_class) == ("Succeeded", "Guaranteed")


def test_delete_says_term_waits_and_then_removes(space: Space) -> None:
    """DELETE: deletionTimestamp at once, TERM, the last status, then the object is gone."""
    space.create(pod("p", 'trap "echo bye; exit 7" TERM; echo up; while true; do sleep 0.05; done'))
    space.running("p")
    while space.log("p") != "up\n":
        time.sleep(0.02)
    version = space.get("p").metadata.resource_version
    deleted = space.api.delete_namespaced_pod(
        "p", space.name, body={"gracePeriodSeconds": 5, "propagationPolicy": "Foreground"}
    )
    assert deleted.metadata.deletion_timestamp
    assert deleted.metadata.deletion_grace_period_seconds == 5
    changes = watch_until_deleted(space, version)
    assert [kind for kind, _ in changes][-2:] == ["MODIFIED", "DELETED"]
    assert state(changes[-1][1]).exit_code == 7
    assert "Killing" in space.reasons("p")


def watch_until_deleted(space: Space, version: str) -> list:
    from kubernetes import watch

    seen = []
    for event in watch.Watch().stream(
        space.api.list_namespaced_pod, space.name, resource_version=version, timeout_seconds=8
    ):
        seen.append((event["type"], event["object"]))
        if event["type"] == "DELETED":
            break
    return seen


def test_a_stubborn_pod_is_killed_with_its_children(space: Space) -> None:
    """What ignores TERM is killed after the grace period, its children with it."""
    space.create(pod("p", 'trap "" TERM; (trap "" TERM; sleep 300) & echo $!; wait; sleep 300'))
    space.running("p")
    while not (text := space.log("p")):
        time.sleep(0.02)
    started = time.monotonic()
    space.api.delete_namespaced_pod("p", space.name, grace_period_seconds=1)
    space.gone("p")
    assert 0.9 < time.monotonic() - started < 4
    assert not alive(int(text))


def test_a_process_that_left_the_session_is_killed_too(space: Space) -> None:
    """A daemon that a pod started doesn't outlive the pod."""
    space.run(pod("p", "setsid sleep 300 > /dev/null 2>&1 & sleep 0.2; pgrep -s 0 >/dev/null; echo $!"))
    pid = int(space.log("p"))
    end = time.monotonic() + 5
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(pid)


def test_grace_zero_removes_at_once(space: Space) -> None:
    """A forced delete removes the object before the process has ended, and the name is free."""
    space.create(pod("p", 'trap "" TERM; sleep 300'))
    space.running("p")
    space.api.delete_namespaced_pod("p", space.name, grace_period_seconds=0)
    space.create(pod("p", "exit 0"))
    assert space.ended("p").status.phase == "Succeeded"


def test_a_pending_pod_can_be_deleted(space: Space) -> None:
    """A pod that waits for its image goes when it is deleted."""
    space.create(pod("p", image="absent:1"))
    space.waiting("p", "ImagePullBackOff")
    space.api.delete_namespaced_pod("p", space.name)
    space.gone("p")


def test_a_finalizer_holds_the_object(space: Space) -> None:
    """An object with a finalizer stays until that is taken out."""
    body = pod("p")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    space.create(body)
    space.ended("p")
    space.api.delete_namespaced_pod("p", space.name)
    held = space.get("p")
    assert held.metadata.deletion_timestamp
    space.api.patch_namespaced_pod("p", space.name, {"metadata": {"finalizers": None}})
    space.gone("p")


def test_files_of_pods_are_private(space: Space, cluster: LocalCluster) -> None:
    """Nobody else can read a pod's folder, and the kubeconfig is 0600."""
    item = space.run(pod("p", "echo secret"))
    folder = cluster._server.data / "pods" / item.metadata.uid
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    assert oct(cluster.kubeconfig.stat().st_mode & 0o777) == "0o600"
    assert folder.stat().st_uid == os.getuid()


def test_many_pods_leave_nothing(space: Space, cluster: LocalCluster) -> None:
    """After 60 pods nothing of them is kept but bounded history."""
    for number in range(60):
        space.create(pod(f"p{number}", f"echo {number}"))
    for number in range(60):
        space.ended(f"p{number}")
        assert space.log(f"p{number}") == f"{number}\n"
    space.api.delete_collection_namespaced_pod(space.name)
    end = time.monotonic() + 5
    folder = cluster._server.data / "pods"
    uids = {item.metadata.uid for item in space.api.list_namespaced_pod(space.name).items}
    assert not uids
    own = lambda c: [run for run in c.pods.runs.values() if run.pod["metadata"]["namespace"] == space.name]  # noqa: E731
    while cluster.call(own) and time.monotonic() < end:
        time.sleep(0.02)
    assert not cluster.call(own)
    assert cluster.call(lambda c: len(c.pods.logs)) == cluster.call(lambda c: len(c.store["pods"].list()))
    while len(list(folder.iterdir())) > cluster.call(lambda c: len(c.pods.logs)) and time.monotonic() < end:
        time.sleep(0.05)
    assert len(list(folder.iterdir())) == cluster.call(lambda c: len(c.pods.logs))


def test_image_reference_names_the_image(space: Space) -> None:
    """The status repeats the image's reference."""
    assert space.run(pod("p")).status.container_statuses[0].image == IMAGE
