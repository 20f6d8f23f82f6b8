"""Forks containers off a process that has imported, once, what all containers of an image import at their start.

Run as a program by the image's own Python (`python forkserver.py MODULE...`, standard library only) with a Unix
socket (SOCK_SEQPACKET) as its stdin. A request is a JSON object with `id`, `module`, `args`, `env` and `cwd`, and the
write end of the container's output as a file descriptor; the answers are `{"id", "pid"}` and, at the container's end,
`{"pid", "status"}` as of waitpid(2). When the socket closes, all containers are killed: they never outlive the cluster.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from typing import Any

REQUEST_LIMIT = 1 << 20
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Import, then serve until the socket closes."""
    link = socket.socket(fileno=os.dup(0))
    for module in sys.argv[1:]:
        importlib.import_module(module)
    if threading.active_count() > 1:
        sys.exit(f"{' '.join(sys.argv[1:])}: importing started a thread; a process with threads can't be forked safely")
    gc.freeze()
    serve(link)


def serve(link: socket.socket) -> None:
    """Fork for each request; tell of each end."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: set[int] = set()
    while True:
        ready, _, _ = select.select([link.fileno(), reading], [], [])
        if reading in ready:
            os.read(reading, 4096)
            tell_ends(link, running)
        if link.fileno() in ready:
            data, descriptors, _, _ = socket.recv_fds(link, REQUEST_LIMIT, 1)
            if not data:
                break
            request = json.loads(data)
            pid = fork(request, descriptors[0], (link.fileno(), reading, writing))
            os.close(descriptors[0])
            running.add(pid)
            link.send(json.dumps({"id": request["id"], "pid": pid}).encode())
    for pid in running:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def tell_ends(link: socket.socket, running: set[int]) -> None:
    """Reap what has ended."""
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            running.discard(found[0])
            link.send(json.dumps({"pid": found[0], "status": found[1]}).encode())


def fork(request: dict[str, Any], output: int, ours: tuple[int, ...]) -> int:
    """Start one container; in the child this never returns."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        become(request, output, ours)
        if os.getppid() != parent:
            os._exit(1)  # it died before the kernel knew that we want to die with it
        code = run(request["module"])
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def become(request: dict[str, Any], output: int, ours: tuple[int, ...]) -> None:
    """Turn the fork into what a new process would be: session, signals, files, environment, folder, arguments."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with open(os.devnull) as nothing:  # noqa: PTH123 - pathlib isn't needed by this program
        os.dup2(nothing.fileno(), 0)
    for number in (1, 2):
        os.dup2(output, number)
    for descriptor in (*ours, output):
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    tempfile.tempdir = None  # it was found by another environment
    time.tzset()
    sys.path[:0] = [request["cwd"], *filter(None, request["env"].get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = [request["module"], *request["args"]]


def run(module: str) -> int:
    """Run the module as `python -m` would; its exit code."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    main()
