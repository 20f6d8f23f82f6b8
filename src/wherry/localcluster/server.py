"""The server: a socket on loopback, the keeper, the kubeconfig, and an orderly end."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from wherry.errors import WherryError
from wherry.localcluster import keeper
from wherry.localcluster.api import make_app
from wherry.localcluster.cluster import Cluster
from wherry.localcluster.kubeconfig import kubeconfig, make_certificate, make_token, write_private

STOP_GRACE = 3.0  # seconds that pods have to end when the server is told to


class _Protocol(H11Protocol):
    """Gives the application its transport, which a fault may reset."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.access_log = False  # else it comes back with any logging set-up of this process
        inner = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})["wherry.transport"] = transport
            await inner(scope, receive, send)

        self.app = app


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the caller's: pods end first."""
        yield


class Server:
    """One cluster on one port. `data` holds what pods write; only one server at a time may use it."""

    def __init__(
        self, data: Path, images: Path, port: int = 0, config: Path | None = None, history: int = 2000
    ) -> None:
        self.data, self.images, self.port, self._history = data.absolute(), images.absolute(), port, history
        self.kubeconfig = (config or self.data / "kubeconfig").absolute()
        self.cluster: Cluster
        self._stopping: asyncio.Event
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Begin the end; from any thread."""
        if self._loop and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def run(self, ready: threading.Event) -> None:
        """Serve until `stop`. WherryError when the data folder or the port is taken; nothing has changed then."""
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        with contextlib.ExitStack() as stack:
            pods = stack.enter_context(self._folder())
            listening = stack.enter_context(self._socket())
            stack.enter_context(_keeper(pods))
            self.cluster = Cluster(self.images, pods, self._history)
            await self._serve(listening, ready)

    async def _serve(self, listening: socket.socket, ready: threading.Event) -> None:
        certificate, key = make_certificate()
        token, pem = make_token(), self.data / "server.pem"
        write_private(pem, certificate + key)
        config = uvicorn.Config(
            make_app(self.cluster, token),
            http=_Protocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            ssl_certfile=pem,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=1,
        )
        server = _Uvicorn(config)
        serving = asyncio.create_task(server.serve([listening]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        pem.unlink()
        self.port = listening.getsockname()[1]
        write_private(self.kubeconfig, kubeconfig(self.port, certificate, token))
        ready.set()
        stopped = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        self.kubeconfig.unlink(missing_ok=True)
        await self.cluster.pods.stop(STOP_GRACE)
        self.cluster.faults.cut_all()
        await asyncio.sleep(0.05)  # the last chunks of the streams that were cut
        for connection in list(server.server_state.connections):
            if transport := connection.transport:
                transport.abort()
        server.should_exit = True
        await serving

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        pods = self.data / "pods"
        with (self.data / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                message = (
                    f"{self.data}: another localcluster uses this folder; stop it, or name another folder with --data"
                )
                raise WherryError(message) from None
            if pods.exists():
                keeper.kill_leftovers(pods)
                shutil.rmtree(pods, ignore_errors=True)
            pods.mkdir(mode=0o700, exist_ok=True)
            try:
                yield pods
            finally:
                shutil.rmtree(pods, ignore_errors=True)

    def _socket(self) -> socket.socket:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", self.port))
        except (OSError, OverflowError) as error:
            listening.close()
            message = f"port {self.port} can't be used: {error}; name another with --port (0: any free one)"
            raise WherryError(message) from None
        return listening


@contextlib.contextmanager
def _keeper(pods: Path) -> Iterator[None]:
    """Start the process that clears up if this one is killed."""
    reading, writing = os.pipe()
    command = [sys.executable, "-I", "-S", keeper.__file__, str(pods)]
    with subprocess.Popen(command, stdin=reading, start_new_session=True, cwd="/") as process:
        os.close(reading)
        try:
            yield
        finally:
            os.close(writing)
            process.wait()
