"""A pod that waits: ready before it knows its node, as good as a pod made for it, and nothing more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Release, until_signals_count
from wherry_runner.request import UsageError
from wherry_runner.waiting import read_work

from wherry.results.codec import Status

NODE = "model.shop.customers"
ENV = {
    "WHERRY_DAG_ID": "demo__shop",
    "WHERRY_RUN_ID": "manual__100%",
    "WHERRY_TASK_ID": "customers.build",
    "WHERRY_TRY": "2",
    "WHERRY_NODE": NODE,
    "WHERRY_QUERY_TAG": '{"team":"demo","node":"model.shop.customers"}',
}
WORK = {"args": ["run", "--select", "fqn:shop.customers"], "env": ENV}
SLEEPING = "S"  # a process that waits for something, as Linux' /proc has it


@contextmanager
def waiting(release: Release, idle: float = 60.0) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A pod that waits, and the file by which it gets its work, empty as the kubelet makes it."""
    (release.scratch / "message").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="wherry-work-") as folder:
        file = Path(folder, "node")
        file.touch()
        process = release.start("", "wait", str(file), str(idle), WHERRY_QUERY_TAG="")
        try:
            yield process, file
        finally:
            process.kill()
            process.wait()


def hand_over(file: Path, work: Any) -> None:
    """As the kubelet does: a whole new text in one step."""
    text = work if isinstance(work, str) else json.dumps(work)
    new = file.with_name("..new")
    new.write_text(text)
    new.replace(file)


def until_ready(process: subprocess.Popen[str]) -> float:
    """Wait until the pod has imported everything and sleeps; the CPU-seconds that it has used."""
    before = -1.0
    while True:
        words = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        used = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
        if words[0] == SLEEPING and used == before and used > 0.5:
            return used
        before = used
        time.sleep(0.5)


def test_a_waiting_pod_runs_the_node_that_it_is_handed(shop: Release) -> None:
    """Its record is that of a pod made for the node; its time begins with the hand-over, with nothing to import."""
    with waiting(shop) as (process, file):
        until_ready(process)
        assert not (shop.scratch / "message").exists()
        handed = time.time()
        hand_over(file, WORK)
        log, _ = process.communicate(timeout=60)
    record = shop.record()
    assert (process.returncode, record.status, record.node, record.loaded) == (0, Status.SUCCESS, NODE, "slice"), log
    assert {result.unique_id for result in record.results} >= {NODE}
    assert 0 <= record.began - handed < 20
    assert record.timings["boot"] + record.timings["import"] < record.timings["total"] / 4


def test_waiting_costs_nothing(shop: Release) -> None:
    """No polling: hardly any CPU time passes while nothing comes."""
    with waiting(shop) as (process, _):
        before = until_ready(process)
        time.sleep(5)
        assert until_ready(process) - before <= 0.1


def test_work_that_came_first_is_found(shop: Release) -> None:
    """A pod that was taken while it still imported looks before it sleeps."""
    with waiting(shop) as (process, file):
        hand_over(file, WORK)
        process.communicate(timeout=60)
    assert (process.returncode, shop.record().node) == (0, NODE)


def test_a_pod_that_gets_no_work_ends_well(shop: Release) -> None:
    """After its time: exit code 0, no record, for it did nothing."""
    with waiting(shop, idle=0.2) as (process, _):
        log, _ = process.communicate(timeout=60)
    assert (process.returncode, (shop.scratch / "message").exists()) == (0, False)
    assert "no work came" in log


@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_waiting_pod_ends_at_once_when_told(shop: Release, number: int, ready: bool) -> None:
    """Also while it imports: nothing was begun, so there is nothing to cancel and nothing to record."""
    with waiting(shop) as (process, _):
        until_ready(process) if ready else until_signals_count(process)
        began = time.monotonic()
        process.send_signal(number)
        process.wait(timeout=10)
        assert time.monotonic() - began < 8
    assert process.returncode == 143
    assert not (shop.scratch / "message").exists()


def test_a_query_of_a_pod_that_waited_is_cancelled(shop: Release) -> None:
    """TERM after the hand-over is what it is for every pod."""
    with waiting(shop) as (process, file):
        until_ready(process)
        hand_over(
            file, {"args": ["run", "--select", "fqn:shop.sleeper"], "env": ENV | {"WHERRY_NODE": "model.shop.sleeper"}}
        )
        assert process.stdout
        for line in process.stdout:
            if "START" in line:
                break
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert (process.returncode, shop.record().status) == (130, Status.CANCELLED)


# Takes its work in the process that has got ready, and says what that still took.
_COUNTED = """
import json, os, sys
from wherry_runner import main, waiting
from mashumaro.core.meta.code.builder import CodeBuilder
compiled = []
def wait(args, env):
    waiting._get_ready(env)
    for name in ("_add_unpack_method_lines", "_add_pack_method_lines"):
        def count(self, *args, _original=getattr(CodeBuilder, name), **kwargs):
            compiled.append(self.cls.__qualname__)
            return _original(self, *args, **kwargs)
        setattr(CodeBuilder, name, count)
    wait.before = set(sys.modules)
    return sys.argv[1].encode()
waiting.wait = wait
code = main._run_what_comes([])
print()
loaded = [name for name in sys.modules if name.startswith("dbt.adapters.snowflake")]
imported = sorted(set(sys.modules) - wait.before)
print(json.dumps({"code": code, "compiled": compiled, "imported": imported, "snowflake": loaded}))
"""


def test_hardly_anything_is_left_to_do(shop: Release) -> None:
    """Counts, not seconds: no contract's methods are compiled, few modules imported, and no other team's adapter."""
    env = {**os.environ, **shop.environment("")}
    command = [sys.executable, "-c", _COUNTED, json.dumps(WORK)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["code"], found["compiled"], found["snowflake"]) == (0, [], [])
    assert len(found["imported"]) <= 12, found["imported"]


HOSTILE: dict[str, Any] = {
    "no JSON": "{",
    "another type": [],
    "too deep": "[" * 100_000,
    "too long": {"args": ["x" * 300_000], "env": ENV},
    "another key": {**WORK, "command": ["sh"]},
    "no environment": {"args": ["build"]},
    "no node": {"args": ["build"], "env": {key: value for key, value in ENV.items() if key != "WHERRY_NODE"}},
    "another release": {"args": ["build"], "env": {**ENV, "WHERRY_RELEASE": "/scratch/mine"}},
    "a library": {"args": ["build"], "env": {**ENV, "LD_PRELOAD": "/scratch/mine.so"}},
    "a secret of its own": {"args": ["build"], "env": {**ENV, "DBT_ENV_SECRET_PASSWORD": "x"}},
    "a number": {"args": ["build"], "env": {**ENV, "WHERRY_TRY": 2}},
    "a NUL": {"args": ["build"], "env": {**ENV, "WHERRY_TRY": "\0"}},
    "a NUL as argument": {"args": ["build\0"], "env": ENV},
    "arguments as text": {"args": "build", "env": ENV},
    "a lone surrogate": {"args": ["build", "\ud800"], "env": ENV},
}


@pytest.mark.parametrize("work", HOSTILE.values(), ids=HOSTILE)
def test_work_that_is_more_than_work_is_refused(work: Any) -> None:
    """Arguments and the variables of a try, as text: nothing else can be handed over."""
    with pytest.raises(UsageError, match="can't be read"):
        read_work((work if isinstance(work, str) else json.dumps(work)).encode())


@pytest.mark.parametrize(
    "work",
    [HOSTILE["a library"], {"args": ["build", "--project-dir", "/scratch"], "env": ENV}, {"args": [], "env": ENV}],
)
def test_refused_work_is_a_broken_release(shop: Release, work: Any) -> None:
    """The record says what is wrong; dbt never began. What a pod's arguments can't say, a hand-over can't either."""
    with waiting(shop) as (process, file):
        hand_over(file, work)
        process.communicate(timeout=60)
    assert (process.returncode, shop.record().status) == (2, Status.BROKEN)
