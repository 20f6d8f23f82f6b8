"""Writes the result record where Kubernetes picks it up."""

from __future__ import annotations

import os
import re
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from wherry.results.codec import NodeResult, Record, encode
from wherry_runner.mask import Masker

_DEFAULT_PATH: Final = Path("/dev/termination-log")


class Stopwatch:
    """Seconds per stage, since the kernel started the process; `began` is when it did, in seconds since 1970."""

    def __init__(self, age: float | None = None) -> None:
        """Begin with what passed between the process' start (or `age` seconds ago) and now: the stage "boot"."""
        age = _process_age() if age is None else age
        self.began = time.time() - age
        self._began = time.perf_counter() - age
        self._last = self._began
        self.stages: dict[str, float] = {}
        self.stop("boot")

    def stop(self, stage: str) -> None:
        """End the stage that ran since the one before ended."""
        now = time.perf_counter()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - self._last
        self._last = now

    def total(self) -> dict[str, float]:
        """Return the stages and their total."""
        return {**self.stages, "total": time.perf_counter() - self._began}


def write_record(record: Record, mask: Masker, env: Mapping[str, str]) -> bytes:
    """Write the record, without secrets, in one write; say so on stderr where that can't be done.

    The path is TERMINATION_MESSAGE_PATH, or Kubernetes' own if it is there. Returns what was to be written: nothing
    outside of a pod.
    """
    named = env.get("TERMINATION_MESSAGE_PATH")
    if not named and not _DEFAULT_PATH.exists():
        return b""
    data = encode(_masked(record, mask))
    try:
        # Not by a rename: the path is a mount of its own.
        Path(named or _DEFAULT_PATH).write_bytes(data)
    except OSError as error:
        print(f"wherry-runner: the result record could not be written: {error}", file=sys.stderr)
    return data


def peak_memory_mb() -> int:
    """Return the most memory that the process held at once; not ru_maxrss, which begins with that of the parent."""
    status = Path("/proc/self/status")
    text = status.read_text() if status.exists() else ""
    found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)
    return (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) // 1024


def cpu_seconds() -> float:
    """Return the CPU time of the process and of the children that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _masked(record: Record, mask: Masker) -> Record:
    return replace(
        record,
        message=mask(record.message),
        loaded_why=mask(record.loaded_why),
        results=tuple(_masked_result(result, mask) for result in record.results),
    )


def _masked_result(result: NodeResult, mask: Masker) -> NodeResult:
    return replace(result, message=mask(result.message), adapter_response=mask(result.adapter_response))


def _process_age() -> float:
    """Return the seconds since the process began; 0 where there is no Linux /proc."""
    try:
        after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(after_name[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, AttributeError, ValueError, IndexError):
        return 0.0
