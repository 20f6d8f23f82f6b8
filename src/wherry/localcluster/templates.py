"""Template processes: one for each set of modules that images ask to have imported; containers are forked off them."""

import asyncio
import itertools
import json
import logging
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

from wherry.localcluster import forkserver
from wherry.localcluster.command import PATH, Command

_log_to = logging.getLogger(__name__)
Key = tuple[str, ...]


class TemplateError(Exception):
    """The template can't be had, or has ended; a container can still be started from scratch."""


class Forked:
    """A container that was forked off a template: the part of asyncio's Process that the cluster uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def terminate(self) -> None:
        """Send SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for the end: the exit code, or a signal's number below zero."""
        return await asyncio.shield(self.ended)


class Template:
    """One template process, started when it is first needed."""

    def __init__(self, python: str, modules: tuple[str, ...]) -> None:
        self._argv = (python, "-P", forkserver.__file__, *modules)
        self._link: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Forked]] = {}
        self._running: dict[int, Forked] = {}
        self._starting = asyncio.Lock()

    async def fork(self, command: Command, output: int) -> Forked:
        """Start a container with `output` as its stdout and stderr. TemplateError when the template is gone."""
        async with self._starting:
            if self._reader is None or self._reader.done():
                await self._start()
        number = next(self._numbers)
        _, _, module, *args = command.argv
        request = {"id": number, "module": module, "args": args, "env": dict(command.env), "cwd": str(command.cwd)}
        asked: asyncio.Future[Forked] = asyncio.get_running_loop().create_future()
        self._asked[number] = asked
        try:
            await self._send(json.dumps(request).encode(), output)
            return await asyncio.shield(asked)
        except asyncio.CancelledError:  # its pod is deleted; the template will answer nevertheless
            asked.add_done_callback(_end_unwanted)
            raise

    async def stop(self) -> None:
        """End the template, and by that what was forked off it."""
        if self._link and self._reader and self._process:
            self._reader.cancel()
            self._link.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 2)

    async def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv, stdin=theirs.fileno(), env={"PATH": PATH, "HOME": "/nonexistent"}, start_new_session=True
            )
        self._link = ours
        self._reader = asyncio.create_task(self._read(ours))

    async def _send(self, data: bytes, output: int) -> None:
        while self._link is not None:
            try:
                socket.send_fds(self._link, [data], [output])
            except BlockingIOError:  # it is still importing, and many containers wait
                await asyncio.sleep(0.02)
            except OSError as error:
                raise TemplateError(str(error)) from None
            else:
                return

    async def _read(self, link: socket.socket) -> None:
        """Take the template's answers until it ends; then nothing of it is alive (see `forkserver`)."""
        loop = asyncio.get_running_loop()
        try:
            with suppress(OSError):
                while data := await loop.sock_recv(link, 4096):
                    self._take(json.loads(data))
        finally:  # whatever ends this, nobody waits for an answer that won't come
            link.close()
            for asked in self._asked.values():
                asked.set_exception(TemplateError(f"{' '.join(self._argv)} has ended"))
            for child in self._running.values():
                child.ended.set_result(-signal.SIGKILL)
            self._asked.clear()
            self._running.clear()

    def _take(self, answer: dict[str, int]) -> None:
        if "id" in answer:
            child = self._running[answer["pid"]] = Forked(answer["pid"])
            self._asked.pop(answer["id"]).set_result(child)
        else:
            self._running.pop(answer["pid"]).ended.set_result(os.waitstatus_to_exitcode(answer["status"]))


def _end_unwanted(asked: asyncio.Future[Forked]) -> None:
    """Kill the container that nobody waits for any more, if there is one."""
    if not asked.exception():
        with suppress(ProcessLookupError):
            asked.result().kill()


class Templates:
    """The templates of a cluster."""

    def __init__(self) -> None:
        self._templates: dict[Key, Template] = {}

    async def fork(self, command: Command, output: int) -> Forked | None:
        """Fork the container off its template; None when it has none, or when that can't be had (which is logged)."""
        python, *rest = command.argv
        if not command.preload or rest[:1] != ["-m"] or not Path(python).exists():
            return None
        template = self._templates.setdefault((python, *command.preload), Template(python, command.preload))
        try:
            return await template.fork(command, output)
        except (TemplateError, OSError) as error:
            _log_to.warning("started from scratch: %s", error)
            return None

    async def stop(self) -> None:
        """End all templates."""
        await asyncio.gather(*(template.stop() for template in self._templates.values()))
