"""The server as a program: how it starts, how it ends, and that nothing outlives it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kubernetes import client, config

from wherry.errors import WherryError
from wherry.localcluster import LocalCluster, keeper

from .conftest import IMAGE, pod
from .test_lifecycle import alive

Start = Callable[..., subprocess.Popen[str]]


def until(condition: Callable[[], object], timeout: float = 10) -> object:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it didn't come true in time")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `python -m wherry.localcluster`; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def run(*more: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "wherry.localcluster",
            "--data",
            str(tmp_path / "data"),
            "--images",
            str(tmp_path / "images"),
            *more,
        ]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def image(tmp_path: Path) -> None:
    """The shell image in the program's store."""
    LocalCluster(tmp_path / "unused", tmp_path / "images").put_image(IMAGE)


def connect(process: subprocess.Popen[str]) -> client.CoreV1Api:
    assert process.stdout
    line = process.stdout.readline()
    found = re.search(r"kubeconfig (.*)", line)
    assert found, line
    return client.CoreV1Api(config.new_client_from_config(found[1]))


def stubborn(api: client.CoreV1Api) -> list[int]:
    """A pod that ignores TERM, with a child and a daemon of its own session; their pids."""
    script = 'trap "" TERM; (sleep 300) & echo $!; setsid sleep 300 & echo $!; echo $$$$; wait; sleep 300'
    api.create_namespaced_pod("default", pod("p", script))

    def pids() -> list[int] | None:
        try:
            found = api.read_namespaced_pod_log("p", "default", _preload_content=False).data.split()
        except client.exceptions.ApiException:
            return None
        return [int(text) for text in found] if len(found) == 3 else None

    found = until(pids)
    assert isinstance(found, list)
    assert all(alive(pid) for pid in found)
    return found


@pytest.mark.usefixtures("image")
def test_term_ends_all_pods_and_itself(start: Start, tmp_path: Path) -> None:
    """TERM: pods end within a bounded grace, nothing is left, the exit code is 0."""
    server = start("--kubeconfig", str(tmp_path / "deep" / "kubeconfig"))
    pids = stubborn(connect(server))
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=8) == 0
    assert not any(alive(pid) for pid in pids)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["lock"]
    assert not (tmp_path / "deep" / "kubeconfig").exists()


@pytest.mark.usefixtures("image")
def test_a_killed_server_leaves_no_process(start: Start) -> None:
    """KILL: the keeper kills what the pods left, also a daemon."""
    server = start()
    pids = stubborn(connect(server))
    server.kill()
    until(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.usefixtures("image")
def test_the_next_start_kills_leftovers(start: Start, tmp_path: Path) -> None:
    """When the keeper was killed too, the next server on that folder kills what is left, and only that."""
    server = start()
    api = connect(server)
    children = [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and parent(entry) == server.pid
    ]
    (keeper_pid,) = [pid for pid in children if b"keeper.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    pids = stubborn(api)
    stranger = subprocess.Popen(["sleep", "60"])
    recorded = next((tmp_path / "data" / "pods").glob("*/pid"))
    assert int(recorded.read_text()) in pids
    recorded.write_text(str(stranger.pid))
    os.kill(keeper_pid, signal.SIGKILL)
    server.kill()
    server.wait()
    assert any(alive(pid) for pid in pids)
    connect(start())
    assert not any(alive(pid) for pid in pids)
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def test_a_folder_has_one_server(start: Start, tmp_path: Path) -> None:
    """A second server on the same data says so, changes nothing and exits with 1."""
    first = start()
    connect(first)
    second = start()
    _, said = second.communicate(timeout=20)
    assert second.returncode == 1
    assert said.startswith("error: ")
    assert "another localcluster" in said
    assert "Traceback" not in said
    with pytest.raises(WherryError, match="another localcluster"), LocalCluster(tmp_path / "data", tmp_path / "images"):
        pass


def test_a_port_that_is_taken(start: Start, tmp_path: Path) -> None:
    """A port that is taken is said to be, with what to do."""
    with LocalCluster(tmp_path / "other", tmp_path / "images") as cluster:
        process = start("--port", cluster.server.rsplit(":", 1)[1])
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "--port" in said


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """--help says how to call it, and what it is not."""
    from wherry.localcluster.__main__ import main

    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "python -m wherry.localcluster --data .wherry/cluster" in said
    assert "no sandbox" in said


def test_a_cluster_ends_with_open_streams(tmp_path: Path) -> None:
    """Followed logs and watches don't hold up the end."""
    with LocalCluster(tmp_path / "data", tmp_path / "images") as cluster:
        cluster.put_image(IMAGE)
        api = client.CoreV1Api(cluster.api_client())
        api.create_namespaced_pod("default", pod("p", "exec sleep 60"))
        watching = api.list_namespaced_pod("default", watch=True, _preload_content=False)
        until(lambda: api.read_namespaced_pod("p", "default").status.phase == "Running")
        following = api.read_namespaced_pod_log("p", "default", follow=True, _preload_content=False)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    assert b"Failed" in watching.read()
    assert following.read() == b""


def test_the_keeper_needs_nothing_of_ours(tmp_path: Path) -> None:
    """The keeper runs isolated from the environment, and ends when its stdin does."""
    command = [sys.executable, "-I", "-S", keeper.__file__, str(tmp_path)]
    assert subprocess.run(command, stdin=subprocess.DEVNULL, timeout=10, check=True).returncode == 0
