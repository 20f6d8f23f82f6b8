"""Containers that are forked off a process which has imported what they need."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from kubernetes.client.exceptions import ApiException

from tests.localcluster.conftest import Space, pod
from wherry.localcluster import LocalCluster

IMAGE = "example.com/python:1"
HEAVY = "import os, time\nprint('heavy imported by', os.getpid(), flush=True)\n"
MAIN = """
import json, os, signal, sys, tempfile, time
print("main", json.dumps({
    "argv": sys.argv[1:], "pid": os.getpid(), "session": os.getsid(0), "cwd": os.getcwd(), "env": dict(os.environ),
    "heavy": "heavy" in sys.modules, "tmp": tempfile.gettempdir(), "stdin": sys.stdin.read(),
}), flush=True)
import heavy
if "sleep" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    time.sleep(60)
if "raise" in sys.argv:
    raise ValueError("on purpose")
sys.exit(int(os.environ.get("CODE", "0")))
"""


@pytest.fixture(scope="module")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster with an image whose module is forked off a template."""
    root = tmp_path_factory.mktemp("templates")
    code = root / "code"
    code.mkdir()
    (code / "heavy.py").write_text(HEAVY)
    (code / "job.py").write_text(MAIN)
    python = root / "python"  # an interpreter that finds the code without any environment
    python.write_text(f'#!/bin/sh\nPYTHONPATH={code} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with LocalCluster(root / "data", root / "images") as cluster:
        cluster.put_image(IMAGE, [str(python), "-m", "job"], {"FROM": "image"}, preload=["heavy"])
        yield cluster


@pytest.fixture
def space(forking: LocalCluster) -> Space:
    """A namespace of its own."""
    name = f"t{time.monotonic_ns()}"
    forking.create_namespace(name, secrets={"creds": {"PASSWORD": "s3cret"}})
    return Space(forking, name)


def job(name: str, *args: str, **env: str) -> dict:
    body = pod(name, image=IMAGE, env=[{"name": key, "value": value} for key, value in env.items()])
    container = body["spec"]["containers"][0]
    del container["command"]
    container["args"] = list(args)
    container["envFrom"] = [{"secretRef": {"name": "creds"}}]
    return body


def log_of(space: Space, name: str) -> str:
    answer = space.api.read_namespaced_pod_log(name, space.name, _preload_content=False)
    return answer.data.decode()


def said(space: Space, name: str) -> dict:
    """What the container says of itself."""
    deadline = time.monotonic() + 20
    while True:
        log = ""
        with contextlib.suppress(ApiException):  # its container is not started yet
            log = log_of(space, name)
        for line in log.splitlines():
            if line.startswith("main "):
                return json.loads(line.removeprefix("main "))
        assert time.monotonic() < deadline, log
        time.sleep(0.02)


def ended(space: Space, name: str):
    deadline = time.monotonic() + 20
    while (state := space.get(name).status).phase not in ("Succeeded", "Failed"):
        assert time.monotonic() < deadline, state
        time.sleep(0.02)
    return state.container_statuses[0].state.terminated


def test_a_fork_is_a_process_of_its_own(space: Space):
    """It has its own session, arguments, environment, folder and no stdin; the module is there already."""
    space.create(job("one", "a", "b", OWN="1"))
    found = said(space, "one")
    assert ended(space, "one").exit_code == 0
    assert found["heavy"] is True
    assert found["argv"] == ["a", "b"]
    assert found["pid"] == found["session"]
    assert found["stdin"] == ""
    assert {key: found["env"][key] for key in ("FROM", "OWN", "PASSWORD")} == {
        "FROM": "image",
        "OWN": "1",
        "PASSWORD": "s3cret",
    }


def test_nothing_passes_from_one_fork_to_the_next(space: Space):
    """A second container sees neither the first one's environment nor its process."""
    space.create(job("first", OWN="1"))
    first = said(space, "first")
    space.create(job("second"))
    second = said(space, "second")
    assert "OWN" not in second["env"]
    assert second["pid"] != first["pid"]
    assert second["env"]["WHERRY_POD_UID"] != first["env"]["WHERRY_POD_UID"]


def test_what_is_imported_once_is_not_imported_again(space: Space):
    """The modules are imported by the template; no container's log shows their import."""
    space.create(job("quick"))
    assert ended(space, "quick").exit_code == 0
    assert "heavy imported" not in log_of(space, "quick")


@pytest.mark.parametrize(("args", "env", "code"), [((), {"CODE": "3"}, 3), (("raise",), {}, 1)])
def test_exit_codes_are_those_of_a_process(space: Space, args: tuple[str, ...], env: dict[str, str], code: int):
    """sys.exit and an exception end a fork as they end `python -m`."""
    space.create(job("ends", *args, **env))
    assert ended(space, "ends").exit_code == code
    if args:
        assert "ValueError: on purpose" in log_of(space, "ends")


def test_deleting_the_pod_tells_the_fork(space: Space):
    """TERM reaches the fork's own handler."""
    space.create(job("sleeper", "sleep"))
    pid = said(space, "sleeper")["pid"]
    space.api.delete_namespaced_pod("sleeper", space.name, grace_period_seconds=5)
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_deleting_a_pod_while_it_is_forked_harms_no_other(space: Space):
    """What the template answers when nobody waits for it is killed; the ends of its other containers are still told.

    Once such an answer broke the link: whatever ran then was taken to run for ever.
    """
    space.create(job("stays", "sleep"))
    stays = psutil.Process(said(space, "stays")["pid"])
    template = stays.parent()
    assert template
    template.suspend()
    try:
        space.create(job("unwanted", "sleep"))
        while "Created" not in space.reasons("unwanted"):  # from then on the template is asked
            time.sleep(0.02)
        space.api.delete_namespaced_pod("unwanted", space.name, grace_period_seconds=5)
        space.gone("unwanted")
    finally:
        template.resume()
    space.create(job("next"))
    assert ended(space, "next").exit_code == 0
    stays.terminate()
    assert ended(space, "stays").exit_code == 7
    assert template.children() == []


def test_a_killed_fork_is_reported_with_its_signal(space: Space):
    """KILL from outside shows as signal 9 and exit code 137."""
    space.create(job("victim", "sleep"))
    os.kill(said(space, "victim")["pid"], signal.SIGKILL)
    terminated = ended(space, "victim")
    assert (terminated.exit_code, terminated.signal) == (137, 9)


def test_a_template_that_dies_takes_its_containers_along_and_is_started_again(space: Space):
    """Its containers end as killed; the next one gets a new template."""
    space.create(job("before", "sleep"))
    pid = said(space, "before")["pid"]
    container = psutil.Process(pid)
    container.parent().kill()
    assert ended(space, "before").exit_code == 137
    assert psutil.wait_procs([container], timeout=5)[1] == []
    space.create(job("after"))
    assert said(space, "after")["heavy"] is True


def test_a_preload_that_fails_costs_nothing_but_time(space: Space, forking: LocalCluster):
    """Where the modules can't be imported, the container is started from scratch."""
    forking.put_image("example.com/python:2", [sys.executable, "-m", "this"], preload=["no_such_module"])
    body = job("scratch")
    body["spec"]["containers"][0]["image"] = "example.com/python:2"
    space.create(body)
    assert ended(space, "scratch").exit_code == 0
    assert "The Zen of Python" in log_of(space, "scratch")


@pytest.mark.skipif(sys.platform != "linux", reason="the parent's death is signalled by Linux only")
def test_forks_die_with_a_killed_cluster(tmp_path: Path):
    """SIGKILL of the server leaves neither template nor containers."""
    (tmp_path / "heavy.py").write_text("")
    (tmp_path / "job.py").write_text("import os, time; print('main', os.getpid(), flush=True); time.sleep(60)")
    images = tmp_path / "images/example.com_python_1"
    images.mkdir(parents=True)
    (images / "image.json").write_text(
        json.dumps({"entrypoint": [sys.executable, "-m", "job"], "preload": ["json"], "workdir": str(tmp_path)})
    )
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom kubernetes.client import ApiException, CoreV1Api\n"
        "from wherry.localcluster import LocalCluster\n"
        f"root = Path({str(tmp_path)!r})\n"
        "with LocalCluster(root / 'data', root / 'images') as cluster:\n"
        "    cluster.create_namespace('n')\n"
        "    api = CoreV1Api(cluster.api_client())\n"
        "    api.create_namespaced_pod('n', {'metadata': {'name': 'p'}, 'spec': {'restartPolicy': 'Never',"
        " 'containers': [{'name': 'c', 'image': 'example.com/python:1',"
        f" 'env': [{{'name': 'PYTHONPATH', 'value': {str(tmp_path)!r}}}]}}]}}}})\n"
        "    def log():\n"
        "        try: return api.read_namespaced_pod_log('p', 'n', _preload_content=False).data.decode()\n"
        "        except ApiException: return ''\n"
        "    while 'main' not in log(): time.sleep(0.05)\n"
        "    print(log().split()[1], flush=True)\n"
        "    time.sleep(60)\n"
    )
    server = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    forked = psutil.Process(int(server.stdout.readline()))
    template = forked.parent()
    server.kill()
    server.wait()
    _, alive = psutil.wait_procs([forked, *([template] if template else [])], timeout=5)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
