"""Results on disk: whole or not at all, under any id."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from wherry.results.store import ResultKey, ResultStore

KEY = ResultKey("finance__finance", "manual__2026-11-22T06:00:00+00:00", "fct_orders.build", 1)


def test_what_was_put_is_got(tmp_path: Path) -> None:
    """One file a try, at a path that a person finds."""
    store = ResultStore(tmp_path / "results")
    path = store.put(KEY, {"outcome": "success", "why": "é\n"})
    assert path == tmp_path / "results/finance__finance/manual__2026-11-22T06:00:00+00:00/fct_orders.build/1.json"
    assert store.get(KEY) == {"outcome": "success", "why": "é\n"}
    assert store.get(replace(KEY, try_number=2)) is None


def test_one_try_has_one_result(tmp_path: Path) -> None:
    """A second result of the same try replaces the first, and leaves no other file."""
    store = ResultStore(tmp_path)
    store.put(KEY, {"outcome": "killed"})
    path = store.put(KEY, {"outcome": "success"})
    assert list(path.parent.iterdir()) == [path]
    assert store.get(KEY) == {"outcome": "success"}


def test_what_is_no_json_leaves_nothing(tmp_path: Path) -> None:
    """A result that can't be written whole is refused, and the one before stays."""
    store = ResultStore(tmp_path)
    path = store.put(KEY, {"outcome": "success"})
    for bad in ({"x": object()}, {"x": float("nan")}):
        with pytest.raises((TypeError, ValueError)):
            store.put(KEY, bad)
    assert list(path.parent.iterdir()) == [path]
    assert store.get(KEY) == {"outcome": "success"}


HOSTILE = ["..", ".", "", "/etc/passwd", "../../x", "a\0b", "~", "é" * 250, "x" * 300, ".hidden", "%2E%2E", "\ud800"]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_id_leads_out_of_the_folder(tmp_path: Path, text: str) -> None:
    """Ids become names of folders, and never a way elsewhere."""
    store = ResultStore(tmp_path / "store")
    key = ResultKey(text, text, text, 1)
    path = store.put(key, {"id": 1})
    assert path.resolve().parents[3] == (tmp_path / "store").resolve()
    assert all(len(part.encode()) <= 255 and not part.startswith(".") for part in path.relative_to(tmp_path).parts)
    assert store.get(key) == {"id": 1}


def test_two_ids_are_two_folders(tmp_path: Path) -> None:
    """No two ids share a file, however alike they are once made safe."""
    keys = [ResultKey(text, "r", "t", 1) for text in [*HOSTILE, "x" * 299 + "y", "%", "%2E.", "a%00b"]]
    assert len({ResultStore(tmp_path).path(key) for key in keys}) == len(keys)


def test_mapped_tasks_are_apart(tmp_path: Path) -> None:
    """Each index of a mapped task has results of its own."""
    store = ResultStore(tmp_path)
    store.put(replace(KEY, map_index=0), {"i": 0})
    store.put(replace(KEY, map_index=1), {"i": 1})
    assert store.get(replace(KEY, map_index=1)) == {"i": 1}
    assert store.get(KEY) is None


def test_a_runs_results_come_by_task_and_try(tmp_path: Path) -> None:
    """All tries of a run, the tenth after the second, and of no other run."""
    store = ResultStore(tmp_path)
    for number in (10, 1, 2):
        store.put(replace(KEY, try_number=number), {"try": number})
    store.put(replace(KEY, run_id="other"), {"try": 99})
    (store.path(KEY).parent / ".half").write_text("{")
    assert [result["try"] for result in store.of_run(KEY.dag_id, KEY.run_id)] == [1, 2, 10]
    assert list(store.of_run("none", "none")) == []


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    """Other programs read it too."""
    path = ResultStore(tmp_path).put(KEY, {"a": [1, None, "x"]})
    assert json.loads(path.read_text()) == {"a": [1, None, "x"]}
