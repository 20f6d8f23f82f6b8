"""The API's contract: lists, watches, logs, refusals."""

import base64
import http.client
import json
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from kubernetes import client, watch
from kubernetes.client import CoreV1Api
from kubernetes.client.exceptions import ApiException

from wherry.localcluster import LocalCluster

from .conftest import IMAGE, Space, pod


def raw(cluster: LocalCluster, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """A request without the client's help."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    host = cluster.server.removeprefix("https://")
    connection = http.client.HTTPSConnection(host, context=ssl.create_default_context(cadata=authority), timeout=10)
    token = config["users"][0]["user"]["token"]
    connection.request(method, path, body, {"Authorization": f"Bearer {token}", **headers})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, json.loads(text) if text.startswith(b"{") else text


def names(found: Any) -> list[str]:
    return [item.metadata.name for item in found.items]


def test_the_server_describes_itself(cluster: LocalCluster) -> None:
    """Version and discovery answer the client."""
    api = cluster.api_client()
    assert client.VersionApi(api).get_code().git_version.startswith("v1.")
    assert client.CoreApi(api).get_api_versions().versions == ["v1"]
    assert {"pods", "pods/log", "events"} <= {item.name for item in CoreV1Api(api).get_api_resources().resources}
    assert raw(cluster, "GET", "/healthz") == (200, b"ok")
    assert client.ApisApi(api).get_api_versions().groups == []


@pytest.mark.parametrize("token", ["", "Bearer wrong", "Basic eDp5"])
def test_no_token_no_answer(cluster: LocalCluster, token: str) -> None:
    """Without the token everything but health is 401."""
    code, body = raw(cluster, "GET", "/api/v1/namespaces/default/pods", Authorization=token)
    assert (code, body["reason"]) == (401, "Unauthorized")
    assert raw(cluster, "GET", "/readyz", Authorization=token)[0] == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"restartPolicy": "Always"}, "spec.restartPolicy"),
        ({"restartPolicy": None}, "spec.restartPolicy"),
        ({"initContainers": [{"name": "i", "image": "x"}]}, "spec.initContainers"),
        ({"containers": []}, "spec.containers"),
        ({"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]}, "spec.containers"),
        ({"containers": [{"name": "A_", "image": "x"}]}, "spec.containers[0].name"),
        ({"containers": [{"name": "a"}]}, "spec.containers[0].image"),
        ({"containers": [{"name": "a", "image": 5}]}, "spec.containers[0].image"),
        ({"containers": [{"name": "a", "image": "x", "args": [5]}]}, "spec.containers[0].args"),
        (
            {"containers": [{"name": "a", "image": "x", "livenessProbe": {"exec": {}}}]},
            "spec.containers[0].livenessProbe",
        ),
        ({"containers": [{"name": "a", "image": "x", "env": [{"name": "A=B"}]}]}, "spec.containers[0].env[0].name"),
        (
            {"containers": [{"name": "a", "image": "x", "env": [{"name": "A", "value": 5}]}]},
            "spec.containers[0].env[0].value",
        ),
        (
            {
                "containers": [
                    {"name": "a", "image": "x", "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}
                ]
            },
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath",
        ),
        (
            {
                "containers": [
                    {"name": "a", "image": "x", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}
                ]
            },
            "spec.containers[0].env[0].valueFrom",
        ),
        ({"containers": [{"name": "a", "image": "x", "envFrom": [{}]}]}, "spec.containers[0].envFrom[0]"),
        (
            {"containers": [{"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]},
            "spec.containers[0].volumeMounts[0].name",
        ),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "spec.volumes[0]"),
        (
            {"containers": [{"name": "a", "image": "x", "resources": {"limits": {"memory": "1 GB"}}}]},
            "spec.containers[0].resources.limits[memory]",
        ),
        (
            {
                "containers": [
                    {"name": "a", "image": "x", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1500m"}}}
                ]
            },
            "spec.containers[0].resources.requests",
        ),
        ({"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds"),
        ({"serviceAccountName": {"a": 1}}, "spec.serviceAccountName"),
    ],
)
def test_a_bad_pod_is_refused_by_field(space: Space, change: dict, field: str) -> None:
    """422 names the field that is wrong."""
    refusal = space.refusal(
        lambda: space.create(pod("p", spec=change) if "containers" not in change else changed(change))
    )
    assert (refusal["code"], refusal["reason"]) == (422, "Invalid")
    assert field in [cause["field"] for cause in refusal["details"]["causes"]]
    assert names(space.api.list_namespaced_pod(space.name)) == []


def changed(change: dict) -> dict:
    body = pod("p")
    body["spec"] |= change
    return body


@pytest.mark.parametrize(
    "meta",
    [
        {"name": "A"},
        {"name": "a_b"},
        {"name": "a" * 254},
        {},
        {"name": "a", "labels": {"k": "bad value"}},
        {"name": "a", "labels": {"k": "x" * 64}},
    ],
)
def test_a_bad_name_or_label_is_refused(space: Space, meta: dict) -> None:
    """422 for names and labels that the real API refuses."""
    body = {**pod("p"), "metadata": meta}
    assert space.refusal(lambda: space.create(body))["code"] == 422


def test_hostile_bodies_are_answered(cluster: LocalCluster) -> None:
    """Whatever is sent, the answer is a Status with 4xx."""
    path = "/api/v1/namespaces/default/pods"
    bodies = [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"metadata": 5}',
        b'{"metadata": {"name": "a", "labels": []}}',
        b"\xff",
    ]
    specs: list[Any] = [
        5,
        {"containers": "x"},
        {"containers": {"a": 1}},
        {"containers": [5]},
        {"containers": [{"env": 5}]},
    ]
    specs += [{"restartPolicy": "Never", "containers": [{"name": "a", "image": "x", "resources": {"limits": 5}}]}]
    bodies += [json.dumps({"metadata": {"name": "a"}, "spec": spec}).encode() for spec in specs]
    for body in bodies:
        code, answer = raw(cluster, "POST", path, body, **{"Content-Type": "application/json"})
        assert 400 <= code < 500, body[:60]
        assert answer["kind"] == "Status"
    assert raw(cluster, "POST", path, b" " * (3 * 1024 * 1024 + 1))[0] == 413
    assert raw(cluster, "POST", path, b"k8s\0", **{"Content-Type": "application/vnd.kubernetes.protobuf"})[0] == 415


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/services", 404),
        ("GET", "/apis/apps/v1/deployments", 404),
        ("POST", "/api/v1/pods", 405),
        ("PUT", "/api/v1/namespaces/default/pods/x", 405),
        ("POST", "/api/v1/namespaces/default/pods/x", 405),
        ("PUT", "/wherry.dev/v1/faults", 405),
        ("GET", "/api/v1/namespaces/default/pods?labelSelector=a%20b", 400),
        ("GET", "/api/v1/namespaces/default/pods?fieldSelector=spec.x=1", 400),
        ("GET", "/api/v1/namespaces/default/pods?limit=-1", 400),
        ("GET", "/api/v1/namespaces/default/pods?continue=x", 400),
        ("GET", "/api/v1/namespaces/default/pods?watch=1&sendInitialEvents=true", 422),
        ("POST", "/api/v1/namespaces/absent/pods", 404),
        ("DELETE", "/api/v1/namespaces/default", 403),
    ],
)
def test_wrong_requests(cluster: LocalCluster, method: str, path: str, code: int) -> None:
    """Each wrong request has the real API's code."""
    body = json.dumps(pod("p")).encode() if method in ("POST", "PUT") else None
    assert raw(cluster, method, path, body)[0] == code


def test_a_name_is_given_once(space: Space) -> None:
    """The second pod of a name is 409 AlreadyExists; generateName gives names."""
    space.create(pod("p"))
    refusal = space.refusal(lambda: space.create(pod("p")))
    assert (refusal["code"], refusal["reason"], refusal["details"]["name"]) == (409, "AlreadyExists", "p")
    body = {**pod("p"), "metadata": {"generateName": "made-"}}
    assert space.create(body).metadata.name.startswith("made-")


def test_absent_things_are_404(space: Space) -> None:
    """A pod that isn't there is NotFound by name, its log too."""
    refusal = space.refusal(lambda: space.get("p"))
    assert (refusal["reason"], refusal["message"]) == ("NotFound", 'pods "p" not found')
    assert space.refusal(lambda: space.api.delete_namespaced_pod("p", space.name))["code"] == 404
    assert space.refusal(lambda: space.api.read_namespaced_pod_log("p", space.name))["code"] == 404


def test_a_pod_of_an_unknown_service_account_is_forbidden(space: Space) -> None:
    """403 in the real API's words; with the account it is taken."""
    body = pod("p", spec={"serviceAccountName": "runner"})
    refusal = space.refusal(lambda: space.create(body))
    assert refusal["code"] == 403
    assert 'serviceaccount "runner" not found' in refusal["message"]
    space.api.create_namespaced_service_account(space.name, {"metadata": {"name": "runner"}})
    space.create(body)


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("", ["a", "b", "c"]),
        ("x=1", ["a"]),
        ("x==1", ["a"]),
        ("x!=1", ["b", "c"]),
        ("x in (1,2)", ["a", "b"]),
        ("x notin (1,2)", ["c"]),
        ("x", ["a", "b"]),
        ("!x", ["c"]),
        ("x,y=z", ["b"]),
    ],
)
def test_label_selectors(space: Space, selector: str, found: list[str]) -> None:
    """Each form of a label selector selects as in the real API."""
    space.create(pod("a", labels={"x": "1"}))
    space.create(pod("b", labels={"x": "2", "y": "z"}))
    space.create(pod("c"))
    assert names(space.api.list_namespaced_pod(space.name, label_selector=selector)) == found


def test_field_selectors(space: Space) -> None:
    """Pods are selected by name, phase and node."""
    space.run(pod("a"))
    space.run(pod("b", "exit 1"))
    select = space.api.list_namespaced_pod
    assert names(select(space.name, field_selector="metadata.name=a")) == ["a"]
    assert names(select(space.name, field_selector="status.phase!=Succeeded")) == ["b"]
    assert names(select(space.name, field_selector="spec.nodeName=wherry-local,status.phase=Failed")) == ["b"]
    assert names(space.api.list_pod_for_all_namespaces(field_selector=f"metadata.namespace={space.name}")) == ["a", "b"]


def test_a_list_comes_in_pages(space: Space) -> None:
    """limit and continue walk through a list."""
    for name in "abc":
        space.create(pod(name))
    first = space.api.list_namespaced_pod(space.name, limit=2)
    assert (names(first), first.metadata.remaining_item_count) == (["a", "b"], 1)
    rest = space.api.list_namespaced_pod(space.name, limit=2, _continue=first.metadata._continue)
    assert (names(rest), rest.metadata._continue) == (["c"], None)


def test_a_watch_goes_on_from_a_revision(space: Space) -> None:
    """A watch from a list's resourceVersion misses nothing and repeats nothing."""
    space.run(pod("old"))
    version = space.api.list_namespaced_pod(space.name).metadata.resource_version
    space.run(pod("new"))
    seen = [
        (event["type"], event["object"].metadata.name)
        for event in watch.Watch().stream(
            space.api.list_namespaced_pod, space.name, resource_version=version, timeout_seconds=1
        )
    ]
    assert seen[0] == ("ADDED", "new")
    assert {name for _, name in seen} == {"new"}
    assert {kind for kind, _ in seen[1:]} == {"MODIFIED"}


def test_a_watch_with_a_selector_sees_objects_come_and_go(space: Space) -> None:
    """A label that is changed makes an object ADDED and DELETED to who selects by it."""
    space.run(pod("p"))
    version = space.get("p").metadata.resource_version
    for label in ("yes", "no"):
        space.api.patch_namespaced_pod("p", space.name, {"metadata": {"labels": {"seen": label}}})
    events = watch.Watch().stream(
        space.api.list_namespaced_pod,
        space.name,
        label_selector="seen=yes",
        resource_version=version,
        timeout_seconds=1,
    )
    assert [event["type"] for event in events] == ["ADDED", "DELETED"]


def test_a_watch_gets_bookmarks(space: Space, cluster: LocalCluster) -> None:
    """Who allows bookmarks gets the revision to go on from."""
    path = f"/api/v1/namespaces/{space.name}/pods?watch=true&allowWatchBookmarks=true&timeoutSeconds=1"
    _, bookmark = raw(cluster, "GET", path)
    assert bookmark["type"] == "BOOKMARK"
    assert int(bookmark["object"]["metadata"]["resourceVersion"]) > 0


def test_a_watch_from_too_long_ago_is_gone(tmp_path) -> None:
    """A revision that history has forgotten is 410."""
    with LocalCluster(tmp_path / "data", tmp_path / "images", history=5) as cluster:
        cluster.put_image(IMAGE)
        cluster.create_namespace("a")
        space = Space(cluster, "a")
        for number in range(5):
            space.run(pod(f"p{number}"))
        with pytest.raises(ApiException) as caught:
            list(watch.Watch().stream(space.api.list_namespaced_pod, "a", resource_version="1", timeout_seconds=2))
        assert caught.value.status == 410


def test_a_watch_of_events(space: Space) -> None:
    """Events of one pod can be watched."""
    space.create(pod("p"))
    events = watch.Watch().stream(
        space.api.list_namespaced_event, space.name, field_selector="involvedObject.name=p", timeout_seconds=1
    )
    assert [event["object"].reason for event in events] == ["Scheduled", "Pulled", "Created", "Started"]


def test_a_client_may_make_events(space: Space) -> None:
    """An event that a client makes is listed with the cluster's own; one about nothing is refused."""
    about = {"kind": "Pod", "namespace": space.name, "name": "q"}
    space.api.create_namespaced_event(
        space.name, {"metadata": {"name": "e"}, "involvedObject": about, "reason": "Seen"}
    )
    assert space.reasons("q") == ["Seen"]
    code, _ = raw(space.cluster, "POST", f"/api/v1/namespaces/{space.name}/events", b'{"metadata": {"name": "f"}}')
    assert code == 400


def test_an_event_that_repeats_is_counted(space: Space) -> None:
    """The same failure again is one event with a count."""
    space.create(pod("p", image="absent:1"))
    end = time.monotonic() + 5
    while time.monotonic() < end:
        events = space.api.list_namespaced_event(space.name, field_selector="reason=BackOff").items
        if events and events[0].count > 1:
            break
        time.sleep(0.1)
    assert [event.count > 1 for event in events] == [True]


def test_follow_shows_lines_as_they_come(space: Space) -> None:
    """A followed log delivers each line within 100 ms, and the unfinished last one."""
    space.create(pod("p", "for i in 1 2 3; do date +%s.%N; sleep 0.2; done; printf end"))
    space.running("p")
    response = space.api.read_namespaced_pod_log("p", space.name, follow=True, _preload_content=False)
    lines = [(time.time(), line) for line in response]
    assert [line for _, line in lines][-1] == b"end"
    lags = [seen - float(line) for seen, line in lines[1:-1]]
    assert max(lags) < 0.1, lags


def test_log_options(space: Space) -> None:
    """tailLines, limitBytes, timestamps, sinceTime and sinceSeconds choose parts of a log."""
    space.run(pod("p", "echo one; echo two; sleep 1.2; echo three"))
    assert space.log("p") == "one\ntwo\nthree\n"
    assert space.log("p", tail_lines=2) == "two\nthree\n"
    assert space.log("p", tail_lines=0) == ""
    assert space.log("p", limit_bytes=5) == "one\nt"
    assert space.log("p", container="base") == "one\ntwo\nthree\n"
    assert space.log("p", since_seconds=1) == "three\n"
    stamped = space.log("p", timestamps=True).splitlines()
    moment = datetime.fromisoformat(stamped[1].split()[0]) + timedelta(milliseconds=1)
    path = moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    code, text = raw(space.cluster, "GET", f"/api/v1/namespaces/{space.name}/pods/p/log?sinceTime={path}")
    assert (code, text) == (200, b"three\n")


@pytest.mark.parametrize(
    "query",
    ["container=x", "previous=true", "tailLines=-1", "sinceTime=soon", "sinceTime=2026-01-01T00:00:00Z&sinceSeconds=1"],
)
def test_wrong_log_options(space: Space, query: str) -> None:
    """A log option that can't be served is 400."""
    space.run(pod("p"))
    assert raw(space.cluster, "GET", f"/api/v1/namespaces/{space.name}/pods/p/log?{query}")[0] == 400


def test_no_log_while_it_waits(space: Space) -> None:
    """The log of a container that waits is 400, with the reason."""
    space.create(pod("p", image="absent:1"))
    space.waiting("p", "ImagePullBackOff")
    refusal = space.refusal(lambda: space.api.read_namespaced_pod_log("p", space.name))
    assert refusal["code"] == 400
    assert "waiting to start: ImagePullBackOff" in refusal["message"]


def test_long_and_odd_lines_come_whole(space: Space) -> None:
    """A line longer than a piece, and bytes that aren't UTF-8, come as they were written."""
    space.run(pod("p", "head -c 50000 /dev/zero | tr '\\0' x; echo; printf '\\377\\n'; printf tail"))
    code, text = raw(space.cluster, "GET", f"/api/v1/namespaces/{space.name}/pods/p/log")
    assert (code, text) == (200, b"x" * 50000 + b"\n\xff\ntail")


@pytest.mark.parametrize("kind", ["secret", "config_map"])
def test_values_can_be_written_never_read(space: Space, cluster: LocalCluster, kind: str) -> None:
    """Secrets and ConfigMaps can be made, changed and deleted; no answer shows a value, nothing on disk has it."""
    api = space.api
    create, replace = getattr(api, f"create_namespaced_{kind}"), getattr(api, f"replace_namespaced_{kind}")
    patch, delete = getattr(api, f"patch_namespaced_{kind}"), getattr(api, f"delete_namespaced_{kind}")
    read, everything = getattr(api, f"read_namespaced_{kind}"), getattr(api, f"list_namespaced_{kind}")
    value = base64.b64encode(b"hunter2").decode() if kind == "secret" else "hunter2"
    body = {"metadata": {"name": "s"}, "data": {"PASSWORD": value}}
    answers = [create(space.name, body), replace("s", space.name, body)]
    answers.append(patch("s", space.name, {"data": {"OTHER": value}, "metadata": {"labels": {"a": "b"}}}))
    for call in (lambda: read("s", space.name), lambda: everything(space.name)):
        refusal = space.refusal(call)
        assert (refusal["code"], refusal["reason"]) == (403, "Forbidden")
        answers.append(refusal)
    source = {"secretRef": {"name": "s"}} if kind == "secret" else {"configMapRef": {"name": "s"}}
    space.run(pod("p", 'test "$PASSWORD$OTHER" = hunter2hunter2', envFrom=[source]))
    assert space.get("p").status.phase == "Succeeded"
    assert not any(
        "hunter2" in str(answer) or base64.b64encode(b"hunter2").decode() in str(answer) for answer in answers
    )
    files = [path for path in cluster._server.data.rglob("*") if path.is_file()]
    assert not any(b"hunter2" in path.read_bytes() and space.get("p").metadata.uid not in str(path) for path in files)
    assert delete("s", space.name).status == "Success"
    assert space.refusal(lambda: delete("s", space.name))["code"] == 404


def test_a_secret_that_is_not_base64(space: Space) -> None:
    """Data that isn't base64 is 400, and the answer doesn't repeat it."""
    refusal = space.refusal(
        lambda: space.api.create_namespaced_secret(space.name, {"metadata": {"name": "s"}, "data": {"A": "hunter2!"}})
    )
    assert refusal["code"] == 400
    assert "hunter2" not in str(refusal)


def test_a_quota_bounds_pods_and_frees_them(space: Space) -> None:
    """A pod over the quota is 403 in the real API's words; an ended pod makes room."""
    hard = {"pods": "2", "requests.memory": "100Mi", "limits.cpu": "1"}
    space.api.create_namespaced_resource_quota(space.name, {"metadata": {"name": "team"}, "spec": {"hard": hard}})
    resources = {"requests": {"memory": "60Mi"}, "limits": {"cpu": "500m", "memory": "60Mi"}}
    space.create(pod("a", "sleep 1", resources=resources))
    refusal = space.refusal(lambda: space.create(pod("b", resources=resources)))
    assert refusal["code"] == 403
    assert refusal["message"] == (
        'pods "b" is forbidden: exceeded quota: team, requested: requests.memory=60Mi, used: requests.memory=60Mi, '
        "limited: requests.memory=100Mi"
    )
    status = space.api.read_namespaced_resource_quota("team", space.name).status
    assert status.used == {"pods": "1", "requests.memory": "60Mi", "limits.cpu": "500m"}
    assert "must specify limits.cpu for: base" in space.refusal(lambda: space.create(pod("c")))["message"]
    space.ended("a")
    space.create(pod("b", resources=resources))
    with pytest.raises(ApiException) as caught:
        space.api.create_namespaced_resource_quota(
            space.name, {"metadata": {"name": "x"}, "spec": {"hard": {"pods": "many"}}}
        )
    assert caught.value.status == 422


def test_preconditions_guard_a_delete(space: Space) -> None:
    """A delete that expects another uid is 409, and nothing is deleted."""
    space.create(pod("p", "sleep 30"))
    body = {"preconditions": {"uid": "other"}}
    refusal = space.refusal(lambda: space.api.delete_namespaced_pod("p", space.name, body=body))
    assert (refusal["code"], refusal["reason"]) == (409, "Conflict")
    assert space.get("p").metadata.deletion_timestamp is None
    space.api.delete_namespaced_pod("p", space.name, body={"preconditions": {"uid": space.get("p").metadata.uid}})
    space.gone("p")


def test_patches_change_metadata(space: Space) -> None:
    """Labels, annotations and finalizers can be patched, the spec's policy can't, and an old version is refused."""
    space.run(pod("p", labels={"a": "1", "b": "2"}))
    patch = space.api.patch_namespaced_pod
    patch("p", space.name, {"metadata": {"labels": {"a": None, "c": "3"}, "annotations": {"note": "x"}}})
    meta = space.get("p").metadata
    assert (meta.labels, meta.annotations) == ({"b": "2", "c": "3"}, {"note": "x"})
    patch("p", space.name, {"metadata": {"finalizers": ["e.com/a"]}})
    patch("p", space.name, {"metadata": {"finalizers": ["e.com/b"]}})
    assert space.get("p").metadata.finalizers == ["e.com/a", "e.com/b"]
    patch("p", space.name, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["e.com/a"]}})
    assert space.get("p").metadata.finalizers == ["e.com/b"]
    assert space.refusal(lambda: patch("p", space.name, {"spec": {"restartPolicy": "Always"}}))["code"] == 422
    assert space.refusal(lambda: patch("p", space.name, {"metadata": {"labels": {"a": "b c"}}}))["code"] == 422
    assert space.refusal(lambda: patch("p", space.name, {"metadata": {"resourceVersion": "1"}}))["code"] == 409
    assert space.refusal(lambda: patch("p", space.name, [{"op": "remove", "path": "/metadata/labels"}]))["code"] in (
        400,
        415,
    )
    kept = space.get("p")
    assert kept.metadata.uid == meta.uid
    assert kept.spec.restart_policy == "Never"


def test_a_namespace_goes_with_all_that_is_in_it(core: CoreV1Api, cluster: LocalCluster) -> None:
    """A deleted namespace ends its pods, then is gone; meanwhile it takes nothing new."""
    cluster.create_namespace("doomed", secrets={"s": {"A": "b"}}, config_maps={"c": {"A": "b"}}, quota={"pods": 5})
    space = Space(cluster, "doomed")
    space.create(pod("p", 'trap "sleep 0.3; exit 0" TERM; while true; do sleep 0.05; done'))
    space.running("p")
    core.delete_namespace("doomed")
    assert space.refusal(lambda: space.create(pod("q")))["code"] == 403
    space.gone("p")
    end = time.monotonic() + 5
    while "doomed" in names(core.list_namespace()) and time.monotonic() < end:
        time.sleep(0.02)
    assert "doomed" not in names(core.list_namespace())
    assert space.refusal(lambda: core.create_namespace({"metadata": {"name": "Bad.Name"}}))["code"] == 422


def test_kubectl_gets_tables(space: Space) -> None:
    """Who asks for a table, as kubectl does, gets one that says what state a pod is in."""
    space.run(pod("good"))
    space.run(pod("bad", "exit 1"))
    space.create(pod("stuck", image="absent:1"))
    space.waiting("stuck", "ImagePullBackOff")
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    _, table = raw(space.cluster, "GET", f"/api/v1/namespaces/{space.name}/pods", **accept)
    assert [row["cells"][:3] for row in table["rows"]] == [
        ["bad", "0/1", "Error"],
        ["good", "0/1", "Completed"],
        ["stuck", "0/1", "ImagePullBackOff"],
    ]
    _, one = raw(space.cluster, "GET", f"/api/v1/namespaces/{space.name}", **accept)
    assert one["kind"] == "Table"
    _, events = raw(space.cluster, "GET", f"/api/v1/namespaces/{space.name}/events", **accept)
    assert "pod/good" in [row["cells"][3] for row in events["rows"]]
