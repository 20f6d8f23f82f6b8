"""A pod's log: a file in the kubelet's line format, and readers that follow it without polling."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from wherry.localcluster.store import Signal

_PIECE = 16 * 1024  # a longer line is kept in pieces, as container runtimes do


@dataclass(frozen=True)
class LogOptions:
    """What a reader of a log asked for."""

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since: str = ""  # RFC 3339; lines from before it are left out
    limit_bytes: int | None = None


class PodLog:
    """Lines `<time> stdout F|P <text>`; P is a piece of a line that goes on. stdout and stderr are one stream."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changed = Signal()
        self.closed = False
        self._file = path.open("ab", buffering=0)
        self._rest = b""

    def write(self, data: bytes) -> None:
        """Keep whole lines; the rest waits for its newline or for `close`."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._write(lines)
        while len(self._rest) >= _PIECE:
            piece, self._rest = self._rest[:_PIECE], self._rest[_PIECE:]
            self._write([piece], tag=b"P")

    def _write(self, lines: list[bytes], tag: bytes = b"F") -> None:
        if lines:
            head = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode() + b" stdout " + tag + b" "
            self._file.write(b"".join(head + line + b"\n" for line in lines))
            self.changed.fire()

    def close(self) -> None:
        """Keep the last, unfinished line, and let followers end."""
        if not self.closed:
            self._write([self._rest] if self._rest else [], tag=b"P")
            self._file.close()
            self.closed = True
            self.changed.fire()

    def tail(self, lines: int = 80, limit: int = 2048) -> str:
        """The end of the log as a termination message shows it (FallbackToLogsOnError)."""
        text = b"".join(_shown(self._read_now(), LogOptions(tail_lines=lines)))
        return text[-limit:].decode(errors="replace")

    def _read_now(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            yield from file

    async def read(self, options: LogOptions, cut: asyncio.Event) -> AsyncIterator[bytes]:
        """The log's text, in chunks; with `follow` until the log is closed or `cut` is set."""
        left = options.limit_bytes
        with self.path.open("rb") as file:
            chunks: Iterator[bytes] = _shown(iter(file), options)
            while True:
                changed, closed = self.changed.next, self.closed
                text = b"".join(chunks)[:left]
                if text:
                    yield text
                left = left - len(text) if left is not None else None
                if left == 0 or not options.follow or closed or cut.is_set():
                    return
                await first_of(changed, cut)
                chunks = _shown(iter(file), LogOptions(timestamps=options.timestamps))


def _shown(lines: Iterator[bytes], options: LogOptions) -> Iterator[bytes]:
    if options.since:
        lines = (line for line in lines if line.split(b" ", 1)[0].decode() >= options.since)
    if options.tail_lines is not None:
        lines = iter(deque(lines, maxlen=options.tail_lines))
    for line in lines:
        time, _, tag, text = line.removesuffix(b"\n").split(b" ", 3)
        yield (time + b" " if options.timestamps else b"") + text + (b"\n" if tag == b"F" else b"")


async def first_of(*events: asyncio.Event, timeout: float | None = None) -> None:
    """Wait until one of the events is set, or for `timeout` seconds."""
    waiters = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiters, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
