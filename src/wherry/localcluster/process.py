"""A container as a local process: started in its own session, its output logged, its memory watched, ended for good."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from wherry.localcluster.command import Command
from wherry.localcluster.logs import PodLog
from wherry.localcluster.status import Exit
from wherry.localcluster.templates import Forked, Templates

_DRAIN = 1.0  # seconds that output may still come after the process has ended
_PAGE = os.sysconf("SC_PAGE_SIZE")


class _Output(asyncio.Protocol):
    def __init__(self, log: PodLog) -> None:
        self.log = log
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.log.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        self.ended.set()


class Process:
    """A running container. Make it with `start`."""

    def __init__(self, process: asyncio.subprocess.Process | Forked, output: _Output) -> None:
        self.pid = process.pid
        self.started = datetime.now(UTC)
        self._process = process
        self._output = output
        self._kill: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, command: Command, log: PodLog, templates: Templates) -> "Process":
        """Run a command in a session of its own; OSError when it can't be started. Cancelled, it leaves no process."""
        reading, writing = os.pipe()
        try:
            process = await templates.fork(command, writing) or await _spawn(command, writing)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        pipe = os.fdopen(reading, "rb", buffering=0)
        try:
            _, output = await asyncio.get_running_loop().connect_read_pipe(lambda: _Output(log), pipe)
        except BaseException:  # its pod is deleted
            with suppress(ProcessLookupError):
                process.kill()
            raise
        return cls(process, output)

    def terminate(self, grace: float) -> None:
        """TERM now (to the first process, as Kubernetes), KILL to all after `grace` seconds; a shorter one wins."""
        loop = asyncio.get_running_loop()
        if self._kill is None and grace > 0:
            with suppress(ProcessLookupError):
                self._process.terminate()
        if self._kill is None or self._kill.when() > loop.time() + grace:
            if self._kill:
                self._kill.cancel()
            self._kill = loop.call_later(grace, self.kill)

    def kill(self) -> None:
        """KILL the whole process group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def wait(self) -> Exit:
        """Wait for the end; whatever the process left running in its group is killed, and its last output kept."""
        code = await self._process.wait()
        finished = datetime.now(UTC)
        if self._kill:
            self._kill.cancel()
        self.kill()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._output.ended.wait(), _DRAIN)
        return Exit(128 - code if code < 0 else code, -code if code < 0 else None, self.started, finished)


async def _spawn(command: Command, output: int) -> asyncio.subprocess.Process:
    """No preexec_fn: so CPython uses vfork, which doesn't copy the server's page tables and is safe with threads."""
    return await asyncio.create_subprocess_exec(
        *command.argv,
        env=dict(command.env),
        cwd=command.cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )


class MemoryWatch:
    """Kills what uses more memory than its limit: resident memory of the session, looked at every `interval` seconds.

    Only Linux has /proc; elsewhere limits aren't enforced. It looks only while a process with a limit runs.
    """

    def __init__(self, interval: float = 0.2) -> None:
        self._interval = interval
        self._limits: dict[int, tuple[int, Callable[[], None]]] = {}
        self._sessions: dict[int, int] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, pid: int, limit: int, exceeded: Callable[[], None]) -> None:
        """Call `exceeded` once when the session of `pid` holds more than `limit` bytes."""
        self._limits[pid] = (limit, exceeded)
        if self._task is None and sys.platform == "linux":
            self._task = asyncio.create_task(self._run())

    def remove(self, pid: int) -> None:
        """Stop looking at a process."""
        self._limits.pop(pid, None)

    async def _run(self) -> None:
        while self._limits:
            await asyncio.sleep(self._interval)
            for pid, resident in self._measure().items():
                limit, exceeded = self._limits[pid]
                if resident > limit:
                    self.remove(pid)
                    exceeded()
        self._task = None

    def _measure(self) -> dict[int, int]:
        pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208
        self._sessions = {pid: self._sessions.get(pid) or _session(pid) for pid in pids}
        total = dict.fromkeys(self._limits, 0)
        for pid, session in self._sessions.items():
            if session in total:
                total[session] += _resident(pid)
        return total


def _session(pid: int) -> int:
    with suppress(OSError):
        return os.getsid(pid)
    return 0


def _resident(pid: int) -> int:
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return 0
