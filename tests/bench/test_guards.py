"""Guards against a slide back, as counts: seconds depend on the machine, these don't."""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.graph.conftest import release_writer
from tests.graph.shop import chain
from wherry.demo.layout import REPOSITORY
from wherry.graph import load_dags
from wherry.operator import PodOperator


def wanted(monkeypatch: pytest.MonkeyPatch, dag_id: str, task_id: str) -> None:
    """Pretend to be the process of one task."""
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag_id)
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", task_id)


def bytes_read() -> int:
    """What this process has read by system calls."""
    return int(Path("/proc/self/io").read_text().split()[1])


def operators() -> int:
    """How many operators there are in this process, in use or not."""
    return sum(issubclass(type(found), PodOperator) for found in gc.get_objects())


def test_a_task_builds_one_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a task's own process one operator is made, whatever the project's size."""
    release = release_writer(tmp_path)(chain(300), project="big", nodes=[])
    wanted(monkeypatch, release.dag_id, "model_150.build")
    before = operators()
    dags = load_dags(tmp_path)
    assert operators() - before == 1
    assert list(dags[release.dag_id].task_dict) == ["model_150.build"]


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts by Linux' /proc")
def test_a_task_reads_few_bytes_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the other models a task's process reads where they are in the file of tasks, not what they are."""
    read = {}
    for size in (100, 1100):
        release = release_writer(tmp_path / str(size))(chain(size), project="big", nodes=[])
        wanted(monkeypatch, release.dag_id, "model_50.build")
        before = bytes_read()
        assert load_dags(tmp_path / str(size))
        read[size] = bytes_read() - before
    assert (read[1100] - read[100]) / 1000 < 10


def test_what_a_parse_is_measured_by_is_reading_alone(tmp_path: Path) -> None:
    """The process imports the DAG file and no other module: a dag-processor's parent has imported them."""
    release_writer(tmp_path)(chain(10), project="big", nodes=[])
    env = {**os.environ, "WHERRY_RELEASES": str(tmp_path), "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
    command = [sys.executable, "-m", "bench.parse_process", str(REPOSITORY / "dags" / "wherry_dags.py")]
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["tasks"] == 10
    assert [module.rpartition("_wherry_dags")[1:] for module in found["modules"]] == [("_wherry_dags", "")]
