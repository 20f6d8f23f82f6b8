"""Each task of a release by itself, so that its process reads nothing of the others.

The file: a line with the length and the SHA-256 of each bucket, then the buckets: the tasks whose ids fall into one, as
JSON, a line each. A task's process reads the first line and one bucket: some sixteen tasks and their neighbours' ids.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from os import SEEK_CUR
from pathlib import Path
from typing import Any, BinaryIO, Final

from wherry.release.execution import is_watched
from wherry.release.model import Release, ReleaseSettings, canonical_json, digest, expect, refuse_link, unreadable
from wherry.release.plan import PRODUCER, Plan, PlannedTask, TaskSpec, Verb
from wherry.teams import Execution

TASKS_FILE: Final = "tasks.jsonl"
_PER_BUCKET: Final = 16
_MAX_HEAD_BYTES: Final = 16_000_000


def plan_of(manifest: Mapping[str, Any], settings: ReleaseSettings, execution: Execution) -> Plan:
    """The tasks of a release with this slim manifest in this mode."""
    project = settings.project
    return Plan(manifest, settings.project_name, project.tests, project.freshness, is_watched(execution))


def write_tasks(folder: Path, manifest: Mapping[str, Any], settings: ReleaseSettings) -> str:
    """Write a release's tasks into its folder; return the SHA-256 of the first line, which vouches for the others.

    They are those of the project's own mode; an installation's that overrides it has one task more, or less.
    """
    plan = plan_of(manifest, settings, settings.project.execution)
    count = len(plan.tasks) // _PER_BUCKET + 1
    buckets: list[dict[str, Any]] = [{} for _ in range(count)]
    for task_id in plan.tasks:
        buckets[_bucket(task_id, count)][task_id] = _document(plan.planned(task_id))
    lines = [canonical_json(bucket) + b"\n" for bucket in buckets]
    head = canonical_json([[len(line), digest(line)] for line in lines]) + b"\n"
    (folder / TASKS_FILE).write_bytes(head + b"".join(lines))
    return digest(head)


def read_task(release: Release, task_id: str, execution: Execution) -> PlannedTask | None:
    """The task of this id; None where the release has none that this mode runs.

    Raises ReleaseError for a file that isn't the release's.
    """
    if task_id == PRODUCER and not is_watched(execution):
        return None
    with _tasks(release) as (file, buckets):
        number = _bucket(task_id, len(buckets))
        file.seek(sum(length for length, _ in buckets[:number]), SEEK_CUR)
        found = json.loads(_read(file, *buckets[number])).get(task_id)
    return None if found is None else _planned(found)


def check_tasks(release: Release) -> None:
    """Raise ReleaseError for a file that isn't, to its end, the release's."""
    with _tasks(release) as (file, buckets):
        for bucket in buckets:
            _read(file, *bucket)


@contextmanager
def _tasks(release: Release) -> Iterator[tuple[BinaryIO, list[tuple[int, str]]]]:
    """The file, read up to its buckets, and the length and SHA-256 of each."""
    path = release.manifest_path.with_name(TASKS_FILE)
    refuse_link(path)
    try:
        with path.open("rb") as file:
            head = file.readline(_MAX_HEAD_BYTES)
            expect(path, "SHA-256", digest(head), release.tasks_sha256)
            yield file, json.loads(head)
    except OSError as error:
        raise unreadable(path, error) from None


def _read(file: BinaryIO, length: int, checksum: str) -> bytes:
    line = file.read(length)
    expect(Path(file.name), "SHA-256", digest(line), checksum)
    return line


def _bucket(task_id: str, count: int) -> int:
    return int.from_bytes(sha256(task_id.encode()).digest()[:8]) % count


def _document(planned: PlannedTask) -> dict[str, Any]:
    return {
        **vars(planned),
        "spec": asdict(planned.spec),
        "upstream": sorted(planned.upstream),
        "downstream": sorted(planned.downstream),
    }


def _planned(document: Mapping[str, Any]) -> PlannedTask:
    spec = document["spec"]
    return PlannedTask(
        spec=TaskSpec(**{**spec, "verb": Verb(spec["verb"])}),
        node=document["node"],
        published=document["published"],
        tests={node: tuple(tests) for node, tests in document["tests"].items()},
        upstream=frozenset(document["upstream"]),
        downstream=frozenset(document["downstream"]),
    )
