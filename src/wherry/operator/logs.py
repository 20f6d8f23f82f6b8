"""The container's log, followed into the task's log as dbt prints it."""

import logging
import math
import re
import threading
import time
from collections.abc import Callable

from wherry.operator.kube import ApiError, PodApi
from wherry.results.codec import Record, of_line

_log = logging.getLogger(__name__)
_STAMP = re.compile(r"(\S+?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$")
_CHUNK = 16_384  # characters of one line in the task's log


class LogFollower:
    """Follows one container's log in a thread of its own, and hands each line to `write` once.

    A cut stream is taken up again from the last line's timestamp: lines of that very instant are counted, so that none
    is lost and none repeated. The thread ends when the stream ends after `finish()`. A line that tells a record is
    the last, and goes to `hear` instead: then the thread ends with the stream, whatever ends that.
    """

    def __init__(
        self, api: PodApi, pod: str, container: str, write: Callable[[str], None], hear: Callable[[Record], None]
    ) -> None:
        """Begin to follow at once."""
        self._api, self._pod, self._container, self._write, self._hear = api, pod, container, write, hear
        self._ended, self._deadline = threading.Event(), math.inf
        self._since: str | None = None
        self._last, self._at_last = ("", ""), 0
        self._thread = threading.Thread(target=self._follow, name=f"log of {pod}", daemon=True)
        self._thread.start()

    def finish(self, patience: float) -> bool:
        """Say that the container ended; wait for the rest of its log. False when it didn't come in time."""
        self._deadline = time.monotonic() + patience
        self._ended.set()
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _follow(self) -> None:
        pause = 0.1
        while time.monotonic() < self._deadline:
            ended, before = self._ended.is_set(), (self._last, self._at_last)
            try:
                self._read()
            except ApiError as error:
                _log.debug("log of %s: %s", self._pod, error)
                if ended and not error.transient:
                    return  # Kubernetes keeps no log of a container that never ran, or of a pod that is gone
                pause = 0.1 if (self._last, self._at_last) != before else min(2 * pause, 5.0)
                time.sleep(0.2) if ended else self._ended.wait(pause)
            else:
                if self._ended.is_set():
                    return
                self._ended.wait(1.5)  # the container ends, or the stream was cut: a second look tells

    def _read(self) -> None:
        repeated = self._at_last
        for raw in self._api.log(self._pod, self._container, self._since):
            stamp, _, line = raw.decode(errors="replace").partition(" ")
            if (moment := _moment(stamp)) is None:
                self._put(f"{stamp} {line}".rstrip())
                continue
            if moment < self._last:
                continue
            if moment == self._last and repeated:
                repeated -= 1
                continue
            self._at_last = self._at_last + 1 if moment == self._last else 1
            self._last, self._since = moment, stamp
            self._put(line)

    def _put(self, line: str) -> None:
        text = line.rstrip("\r")
        if record := of_line(text):
            self._deadline = 0.0
            self._ended.set()
            self._hear(record)
            return
        for start in range(0, max(1, len(text)), _CHUNK):
            self._write(text[start : start + _CHUNK])


def _moment(stamp: str) -> tuple[str, str] | None:
    """A timestamp as something that sorts: nanoseconds come with their trailing zeros cut."""
    match = _STAMP.match(stamp)
    return (match[1], (match[2] or "").ljust(9, "0")) if match else None
