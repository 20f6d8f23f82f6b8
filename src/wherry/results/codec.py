"""The record of what one pod did, as it travels from the pod's PID 1 to the operator.

It travels in the container's termination message, which Kubernetes cuts at 4,096 bytes, in the middle of a character
if need be: so the writer cuts first, where it hurts least, and the reader trusts nothing. That of a success is told as
the log's last line too: the kubelet takes up to a second to see that a container ended. Standard library only: the
runner's wheel carries this one file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

LIMIT: Final = 4096  # bytes; the kubelet's limit on a termination message
MARK: Final = "\x1f"  # what the line of a record begins with, and the runner lets nobody else print
_LINE: Final = f"{MARK}wherry-runner: "
_VERSION: Final = 1
_READ_LIMIT: Final = 16 * LIMIT  # bytes; what a reader looks at, at most
_TEXT_FLOOR: Final = 160  # bytes of each free text that are kept before whole results are left out
_ID_SIZE: Final = 512
_WORD_SIZE: Final = 96
_STAGES: Final = 16
_INT_MAX: Final = 2**63 - 1
_CONTROL: Final = {code: "\ufffd" for code in (*range(32), 127) if chr(code) not in "\t\n\r"}


class RecordError(ValueError):
    """What was read is no result record: cut, empty, or written by something else."""


class Status(StrEnum):
    """How a pod's work ended; decides the exit code and whether a retry makes sense."""

    SUCCESS = "success"
    WARN = "warn"  # done, and a test or freshness check warned
    ERROR = "error"  # dbt's own error: SQL, compilation, contract
    FAIL = "fail"  # a test failed
    TRANSIENT = "transient"  # the warehouse was away or busy: worth a retry
    CANCELLED = "cancelled"  # TERM or INT; the query was cancelled
    BROKEN = "broken"  # the release or its use is wrong: dbt never began


EXIT_CODES: Final[Mapping[Status, int]] = {
    Status.SUCCESS: 0,
    Status.WARN: 0,
    Status.ERROR: 1,
    Status.FAIL: 1,
    Status.BROKEN: 2,
    Status.TRANSIENT: 3,
    Status.CANCELLED: 130,
}


@dataclass(frozen=True)
class NodeResult:
    """What dbt said of one node; `status` is dbt's own word (success, pass, warn, fail, error, skipped, ...)."""

    unique_id: str
    status: str
    seconds: float = 0.0
    rows: int | None = None
    failures: int | None = None
    message: str = ""
    query_id: str | None = None
    adapter_response: str = ""


@dataclass(frozen=True)
class Record:
    """What one pod did. `timings` are seconds per stage, `node` is the unique_id that the pod was for ("" for many)."""

    status: Status
    node: str = ""
    results: tuple[NodeResult, ...] = ()
    message: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)
    loaded: str = ""  # "slice" or "project"
    loaded_why: str = ""
    peak_memory_mb: int = 0
    cpu_seconds: float = 0.0
    dbt: str = ""
    adapter: str = ""
    omitted: int = 0  # results that were left out for size
    began: float = 0.0  # when PID 1 began, by its own clock, in seconds since 1970; 0: not known


def as_dict(record: Record) -> dict[str, Any]:
    """Return the record as JSON-safe values."""
    return {**asdict(record), "status": record.status.value, "results": [asdict(result) for result in record.results]}


def encode(record: Record, limit: int = LIMIT) -> bytes:
    """Write the record as compact JSON of at most `limit` bytes (2,048 or more).

    Too long? First the free texts are cut, all at the same length and on whole characters; then whole results are
    left out, the failing ones last, and counted in `omitted`. Characters that databases refuse (NUL and other
    controls) are replaced.
    """
    if limit < LIMIT // 2:
        raise ValueError(f"limit: found {limit}, expected at least {LIMIT // 2} bytes")
    shortest = _cut_texts(record, _TEXT_FLOOR)
    if len(_dump(shortest)) > limit:
        return _dump(_leave_out(shortest, limit))
    low, high = _TEXT_FLOOR, limit
    while low < high:
        middle = (low + high + 1) // 2
        if len(_dump(_cut_texts(record, middle))) <= limit:
            low = middle
        else:
            high = middle - 1
    return _dump(_cut_texts(record, low))


def decode(data: bytes | str) -> Record:
    """Read a record that `encode` wrote; raise RecordError on anything else. Unknown keys are ignored."""
    if len(data) > _READ_LIMIT:
        raise RecordError(f"{len(data)} bytes, expected at most {_READ_LIMIT}")
    try:
        text = data if isinstance(data, str) else data.decode()
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"not a JSON document: {error}") from None
    if not isinstance(found, dict) or found.get("v") != _VERSION or isinstance(found["v"], bool):
        raise RecordError(f'not a result record: expected an object with "v": {_VERSION}')
    values = _read(found, _RECORD_READERS, required=("status",))
    return Record(**values)


def as_line(data: bytes) -> str:
    """Return what `encode` wrote as a line of a log."""
    return f"{_LINE}{data.decode()}\n"


def of_line(line: str) -> Record | None:
    """Return the record that a line of a log tells; None where it tells none."""
    if not line.startswith(_LINE):
        return None
    try:
        return decode(line.removeprefix(_LINE))
    except RecordError:
        return None


def _dump(record: Record) -> bytes:
    defaults = asdict(Record(Status.SUCCESS))
    values = {key: value for key, value in as_dict(record).items() if key == "status" or value != defaults[key]}
    if record.results:
        plain = asdict(NodeResult("", ""))
        values["results"] = [
            {
                key: value
                for key, value in asdict(result).items()
                if value != plain[key] or key in {"unique_id", "status"}
            }
            for result in record.results
        ]
    return json.dumps({"v": _VERSION, **values}, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _cut_texts(record: Record, size: int) -> Record:
    """Return the record with every text cut: free texts at `size` bytes, names at a fixed length."""
    return replace(
        record,
        node=_cut(record.node, _ID_SIZE),
        results=tuple(_cut_result(result, size) for result in record.results),
        message=_cut(record.message, size),
        timings={_cut(k, 32): _seconds(v) for k, v in list(record.timings.items())[:_STAGES]},
        loaded=_cut(record.loaded, 16),
        loaded_why=_cut(record.loaded_why, min(size, 400)),
        peak_memory_mb=_whole(record.peak_memory_mb),
        cpu_seconds=_seconds(record.cpu_seconds),
        dbt=_cut(record.dbt, 48),
        adapter=_cut(record.adapter, 48),
        omitted=_whole(record.omitted),
    )


def _cut_result(result: NodeResult, size: int) -> NodeResult:
    return NodeResult(
        unique_id=_cut(result.unique_id, _ID_SIZE),
        status=_cut(result.status, 32),
        seconds=_seconds(result.seconds),
        rows=None if result.rows is None else _whole(result.rows),
        failures=None if result.failures is None else _whole(result.failures),
        message=_cut(result.message, size),
        query_id=None if result.query_id is None else _cut(result.query_id, _WORD_SIZE),
        adapter_response=_cut(result.adapter_response, min(size, 200)),
    )


def _leave_out(record: Record, limit: int) -> Record:
    """Keep as many results as fit: the failing ones first, then the pod's own node, then warnings; in dbt's order."""
    order = sorted(range(len(record.results)), key=lambda i: _rank(record.results[i], record.node))
    low, high = 0, len(order)
    while low < high:
        middle = (low + high + 1) // 2
        if len(_dump(_keep(record, order[:middle]))) <= limit:
            low = middle
        else:
            high = middle - 1
    return _keep(record, order[:low])


def _keep(record: Record, indexes: Sequence[int]) -> Record:
    kept = tuple(record.results[i] for i in sorted(indexes))
    return replace(record, results=kept, omitted=record.omitted + len(record.results) - len(kept))


def _rank(result: NodeResult, node: str) -> int:
    if result.status in {"error", "fail", "runtime error", "partial success"}:
        return 0
    if result.unique_id == node:
        return 1
    return {"warn": 2, "skipped": 3}.get(result.status, 4)


def _cut(text: str, size: int) -> str:
    """Return the text, or as much of its beginning as takes at most `size` bytes in JSON, ending in "…"."""
    clean = text[: size + 1].encode("utf-8", "replace").decode().translate(_CONTROL)
    if len(text) <= size and _json_size(clean) <= size:
        return clean
    kept, room = 0, size - len("…".encode())
    for character in clean:
        room -= _json_size(character)
        if room < 0:
            break
        kept += 1
    return clean[:kept] + "…"


def _json_size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode()) - 2


def _seconds(value: float) -> float:
    return round(float(value), 3) if math.isfinite(value) else 0.0


def _whole(value: int) -> int:
    return max(-_INT_MAX, min(_INT_MAX, int(value)))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _read(
    found: Mapping[str, Any], readers: Mapping[str, Callable[[Any], Any]], required: Sequence[str]
) -> dict[str, Any]:
    missing = [key for key in required if key not in found]
    if missing:
        raise RecordError(f"{missing[0]}: missing")
    try:
        return {key: read(found[key]) for key, read in readers.items() if key in found}
    except RecordError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise RecordError(str(error)) from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, found {type(value).__name__}")
    if value != value.translate(_CONTROL) or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("a text holds characters that no record holds")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"expected a number, found {type(value).__name__}")
    return float(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _INT_MAX:
        raise TypeError(f"expected a whole number, found {type(value).__name__}")
    return int(value)


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _timings(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise TypeError(f"timings: expected an object, found {type(value).__name__}")
    return {_text(stage): _number(seconds) for stage, seconds in value.items()}


def _results(value: Any) -> tuple[NodeResult, ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise TypeError("results: expected a list of objects")
    return tuple(NodeResult(**_read(item, _RESULT_READERS, required=("unique_id", "status"))) for item in value)


_RESULT_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "unique_id": _text,
    "status": _text,
    "seconds": _number,
    "rows": _optional(_integer),
    "failures": _optional(_integer),
    "message": _text,
    "query_id": _optional(_text),
    "adapter_response": _text,
}
_RECORD_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "status": Status,
    "node": _text,
    "results": _results,
    "message": _text,
    "timings": _timings,
    "loaded": _text,
    "loaded_why": _text,
    "peak_memory_mb": _integer,
    "cpu_seconds": _number,
    "dbt": _text,
    "adapter": _text,
    "omitted": _integer,
    "began": _number,
}
