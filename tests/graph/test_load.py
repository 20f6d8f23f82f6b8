"""Loading: every release's DAG for the dag-processor, one task for a task's own process, and broken releases."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowFailException

from tests.graph.conftest import WriteRelease
from wherry.graph import dags, load, load_dags
from wherry.release.model import RELEASE_FILE, Release, canonical_json, digest
from wherry.release.tasks import TASKS_FILE

DAG_FILE = Path(__file__).parents[2] / "dags" / "wherry_dags.py"


@pytest.fixture
def bag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], DagBag]:
    """Airflow's own reader of DAG files, on the releases of this test."""
    monkeypatch.setenv("WHERRY_RELEASES", str(tmp_path))
    return lambda: DagBag(DAG_FILE, collect_dags=True, safe_mode=True)


def wanted(monkeypatch: pytest.MonkeyPatch, dag_id: str, task_id: str) -> None:
    """Pretend to be the process of one task, as Airflow's task runner does."""
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag_id)
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", task_id)


def break_manifest(release: Release) -> None:
    release.manifest_path.write_bytes(release.manifest_path.read_bytes() + b" ")


def test_airflow_finds_a_dag_for_each_release(write_release: WriteRelease, bag: Callable[[], DagBag]) -> None:
    """The DAG file gives Airflow one DAG a release and no import error."""
    write_release()
    write_release(project="returns", tests="after_each")
    found = bag()
    assert found.import_errors == {}
    assert sorted(found.dags) == ["acme-data__returns", "acme-data__shop"]


def test_no_release_no_dag(bag: Callable[[], DagBag]) -> None:
    """A platform without a release is not an error."""
    found = bag()
    assert (found.import_errors, found.dags) == ({}, {})


def test_a_bundle_brings_its_own_releases(
    tmp_path: Path, write_release: WriteRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no folder named, as in a checkout of a deploy repository, the releases are those beside the DAG file's."""
    monkeypatch.delenv("WHERRY_RELEASES", raising=False)
    write_release()
    checkout = tmp_path / "versions" / "4f2a"
    (checkout / "dags").mkdir(parents=True)
    (checkout / "releases").symlink_to(tmp_path, target_is_directory=True)
    file = Path(shutil.copy(DAG_FILE, checkout / "dags"))
    monkeypatch.chdir("/")
    assert list(DagBag(file, collect_dags=True, safe_mode=True).dags) == ["acme-data__shop"]


def test_a_task_process_reads_its_own_release_only(
    write_release: WriteRelease, bag: Callable[[], DagBag], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a task asked for, Airflow gets that DAG with that task; other releases aren't opened, broken or not."""
    write_release()
    break_manifest(write_release(project="returns"))
    opened: list[str] = []
    original = load.read_release
    monkeypatch.setattr(load, "read_release", lambda folder: opened.append(folder.name) or original(folder))
    wanted(monkeypatch, "acme-data__shop", "orders.build")
    found = bag()
    assert found.import_errors == {}
    assert {dag_id: list(dag.task_dict) for dag_id, dag in found.dags.items()} == {"acme-data__shop": ["orders.build"]}
    assert found.dags["acme-data__shop"].task_dict["orders.build"].downstream_task_ids
    assert opened == ["shop"]


def test_a_dag_that_has_no_release_is_not_there(
    write_release: WriteRelease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task whose release has been taken away finds nothing, whatever its DAG id looks like."""
    write_release()
    for dag_id in ("acme-data__gone", "acme-data", "../acme-data__shop", "__"):
        wanted(monkeypatch, dag_id, "orders.build")
        assert load_dags(tmp_path) == {}


def test_a_broken_release_takes_no_other_dag_down(write_release: WriteRelease, bag: Callable[[], DagBag]) -> None:
    """A manifest that doesn't match its checksum is never run; in its DAG's place stands one that says why."""
    write_release()
    break_manifest(write_release(project="returns"))
    found = bag()
    assert found.import_errors == {}
    assert len(found.dags["acme-data__shop"].tasks) > 10
    broken = found.dags["acme-data__returns"]
    assert (broken.tags, broken.schedule) == ({dags.BROKEN_TAG}, None)
    assert "SHA\\-256" in broken.doc_md
    (task,) = broken.tasks
    with pytest.raises(AirflowFailException, match="SHA-256"):
        task.python_callable()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1}', b"\xff\xfe"])
def test_a_release_that_is_no_release_is_reported_in_its_place(
    content: bytes, write_release: WriteRelease, tmp_path: Path
) -> None:
    """Whatever lies in release.json, its DAG says what is wrong and the others are there."""
    write_release()
    folder = tmp_path / "other" / "project"
    folder.mkdir(parents=True)
    (folder / "release.json").write_bytes(content)
    found = load_dags(tmp_path)
    assert sorted(found) == ["acme-data__shop", "other__project"]
    assert "release\\.json" in found["other__project"].doc_md


def test_a_release_whose_tasks_are_spoilt_is_never_run(write_release: WriteRelease, tmp_path: Path) -> None:
    """It is seen when the DAG is drawn, not by each task that isn't found."""
    release = write_release()
    tasks = release.manifest_path.with_name(TASKS_FILE)
    tasks.write_bytes(tasks.read_bytes()[:-2])
    (dag,) = load_dags(tmp_path).values()
    assert dag.tags == {dags.BROKEN_TAG}
    assert TASKS_FILE in str(dag.doc_md).replace("\\", "")


def test_a_release_that_cant_be_rendered_is_reported_too(
    write_release: WriteRelease, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A manifest of another shape, though its checksum is right, doesn't break the DAG file."""
    write_release()
    odd, data = write_release(project="odd"), canonical_json({"nodes": {"model.a.b": {"resource_type": "model"}}})
    odd.manifest_path.write_bytes(data)
    document = replace(odd, manifest_sha256=digest(data)).document()
    (tmp_path / odd.team / odd.project / RELEASE_FILE).write_bytes(canonical_json(document))
    found = load_dags(tmp_path)
    assert found["acme-data__odd"].tags == {dags.BROKEN_TAG}
    assert "can't be rendered" in caplog.text


def test_the_stand_in_runs_in_a_task_process(
    write_release: WriteRelease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triggered by hand, the stand-in's task is found and fails with the reason; it is found no more once mended."""
    release = write_release()
    good = release.manifest_path.read_bytes()
    break_manifest(release)
    wanted(monkeypatch, release.dag_id, dags.BROKEN_TASK)
    assert list(load_dags(tmp_path)[release.dag_id].task_dict) == [dags.BROKEN_TASK]
    release.manifest_path.write_bytes(good)
    assert dags.BROKEN_TASK not in load_dags(tmp_path)[release.dag_id].task_dict


def test_a_hidden_folder_is_no_release(write_release: WriteRelease, tmp_path: Path) -> None:
    """A release that is still being written lies in a hidden folder."""
    release = write_release()
    folder = tmp_path / release.team
    shutil.copytree(folder, tmp_path / ".staging-x")
    (folder / "shop").rename(folder / ".shop.new")
    assert load_dags(tmp_path) == {}


def test_a_release_speaks_for_its_own_folder_only(write_release: WriteRelease, tmp_path: Path) -> None:
    """A team that writes another team's name into its release doesn't get that team's DAG id."""
    release = write_release()
    path = tmp_path / release.team / "shop" / "release.json"
    document = json.loads(path.read_bytes())
    other = tmp_path / "zebra" / "shop"
    other.mkdir(parents=True)
    (other / "release.json").write_text(json.dumps(document))
    found = load_dags(tmp_path)
    assert len(found["acme-data__shop"].tasks) > 10
    assert found["zebra__shop"].tags == {dags.BROKEN_TAG}
