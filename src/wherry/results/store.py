"""The results of pods, kept as files: one JSON document a try, written at once or not at all."""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

_NAME_LIMIT = 200  # characters of a folder's name; file systems stop at 255 bytes


@dataclass(frozen=True)
class ResultKey:
    """One try of one Airflow task instance."""

    dag_id: str
    run_id: str
    task_id: str
    try_number: int
    map_index: int = -1


@dataclass(frozen=True)
class ResultStore:
    """A folder with `<dag>/<run>/<task>/<try>.json`."""

    folder: Path

    def path(self, key: ResultKey) -> Path:
        """Where the result of the try is, or would be."""
        task = key.task_id if key.map_index < 0 else f"{key.task_id}[{key.map_index}]"
        return self._run(key.dag_id, key.run_id) / _name(task) / f"{int(key.try_number)}.json"

    def put(self, key: ResultKey, result: Mapping[str, Any]) -> Path:
        """Keep the result; a reader sees the old one, or the new one whole. Raises OSError when it can't be written."""
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False, encoding="utf-8") as file:
            try:
                json.dump(result, file, ensure_ascii=True, allow_nan=False)
                file.close()
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        return path

    def get(self, key: ResultKey) -> dict[str, Any] | None:
        """The result of the try, or None."""
        return _read(self.path(key))

    def of_run(self, dag_id: str, run_id: str) -> Iterator[dict[str, Any]]:
        """All results of a DAG run, by task and try."""
        paths = self._run(dag_id, run_id).glob("*/[0-9]*.json")
        for path in sorted(paths, key=lambda path: (path.parent.name, int(path.stem))):
            if (result := _read(path)) is not None:
                yield result

    def _run(self, dag_id: str, run_id: str) -> Path:
        return self.folder / _name(dag_id) / _name(run_id)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def _name(text: str) -> str:
    """The id as one folder's name: never empty, hidden, `..` or too long, and another one for another id."""
    name = quote(text, safe="+:=@[] ", errors="surrogatepass").replace("~", "%7E")
    name = f"%2E{name[1:]}" if name.startswith(".") else name or "%"
    if len(name) <= _NAME_LIMIT:
        return name
    return f"{name[:_NAME_LIMIT]}~{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"
