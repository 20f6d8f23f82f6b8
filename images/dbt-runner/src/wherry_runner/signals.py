"""Turns TERM into what dbt understands, so that no query outlives its pod.

dbt cancels its queries on KeyboardInterrupt only, and PID 1 ignores a signal that it has no handler for. So a process
holds its signals from its first line on: one that comes before somebody listens is told to the first who does.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Final, Self

PATIENCE: Final = 20.0  # seconds that dbt gets to cancel; a pod's grace period should be longer
_STUCK: Final = 1.0  # seconds after which the main thread is taken to be inside a driver's C code
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def hold() -> None:
    """Let signals wait for who listens next; where a thread takes one all the same, it ends nothing."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    for number in _SIGNALS:
        signal.signal(number, _ignore)  # to ignore them would throw away those that are pending


def listen(handler: Callable[[int, FrameType | None], object]) -> None:
    """Have all signals handled by this, also those that were held."""
    for number in _SIGNALS:
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


class Interrupter:
    """Handles TERM and INT while armed: the first asks dbt to cancel and waits, the second gives up.

    A Python handler runs only when the main thread comes back from C code, and libpq, waiting for an on-run-start
    hook's query, doesn't. So a thread of its own is woken by the signal itself, and cancels where dbt can't.
    """

    def __init__(self, cancel_queries: Callable[[], None], give_up: Callable[[], None]) -> None:
        """Take how to cancel all open queries from another thread, and how to end the process with what is known."""
        self.signalled = False
        self._raised = False
        self._armed = False
        self._ending = threading.Lock()
        self._seen = threading.Event()
        self._cancel_queries = cancel_queries
        self._give_up = give_up
        self._reader, self._writer = socket.socketpair()
        self._before: dict[int, Any] = {}
        self._mask: set[Any] = set()

    def __enter__(self) -> Self:
        """Install the handlers; only the main thread may. Signals are held until `arm`."""
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.getsignal(number) for number in (*_SIGNALS, signal.SIGCHLD)}
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGINT, self._interrupt)
        if os.getpid() == 1:
            signal.signal(signal.SIGCHLD, _reap)
        threading.Thread(target=self._watch, name="wherry-signals", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Put back what was there."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._writer.close()

    def arm(self) -> None:
        """Let signals interrupt from now on; one that was held does at once. Raises KeyboardInterrupt, once at most."""
        self._armed = True
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def disarm(self) -> None:
        """Let signals interrupt nothing any more: the work is done and its record is being written.

        Doesn't return where the process is being ended already: only one of both may write the record.
        """
        with self._ending:
            self._armed = False

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        # By raising INT: the Snowflake connector cancels its query with an INT handler of its own.
        signal.raise_signal(signal.SIGINT)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._seen.set()
        if self._armed and not self._raised:
            self.signalled = self._raised = True
            raise KeyboardInterrupt

    def _watch(self) -> None:
        """Count signals as the kernel delivers them: one cancels, two of a kind, or too long a wait, give up."""
        counts: Counter[int] = Counter()
        deadline = None
        while max(counts.values(), default=0) < 2:
            self._reader.settimeout(None if deadline is None else max(0.01, deadline - time.monotonic()))
            try:
                data = self._reader.recv(64)
            except TimeoutError:
                break
            if not data:
                return
            counts.update(number for number in data if number in _SIGNALS)
            if counts and deadline is None:
                deadline = time.monotonic() + PATIENCE
                self._unstick()
        with self._ending:
            if self._armed:
                self._give_up()

    def _unstick(self) -> None:
        if not self._seen.wait(_STUCK):
            self.signalled = True
            with suppress(Exception):
                self._cancel_queries()


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing."""


def _reap(_number: int, _frame: FrameType | None) -> None:
    """Collect orphans that became children of PID 1; dbt itself starts no processes."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
