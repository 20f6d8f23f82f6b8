"""A pod that waits for its node: it imports what every node uses, then sleeps until a file says which node it is.

The file is an annotation of the pod itself, which the kubelet writes (downward API): no network, no token. Only who may
change the pod can hand it work, and that work is no more than a pod's own arguments and environment could have been.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from wherry_runner import signals
from wherry_runner.request import UsageError

VERB: Final = "wait"
_REQUIRED: Final = ("WHERRY_DAG_ID", "WHERRY_RUN_ID", "WHERRY_TASK_ID", "WHERRY_TRY", "WHERRY_NODE", "WHERRY_QUERY_TAG")
_OPTIONAL: Final = ("WHERRY_WAREHOUSE",)
_LIMIT: Final = 256 * 1024  # bytes; Kubernetes' own limit on all annotations of an object
_LOOK: Final = 0.5  # seconds between looks at the file, where nothing tells that it has changed
_POLL: Final = 0.05  # the same on systems without inotify
_TERMINATED: Final = 128 + signal.SIGTERM
# Of Linux' inotify.h: a file was closed after writing, moved here, or made here.
_CLOSE_WRITE, _MOVED_TO, _CREATE = 0x8, 0x80, 0x100


@dataclass(frozen=True)
class Work:
    """What a pod is handed: dbt's arguments, and the environment of its try."""

    args: tuple[str, ...]
    env: Mapping[str, str]


def wait(args: Sequence[str], env: Mapping[str, str]) -> bytes:
    """Get ready, then return what is handed over. `args`: the file, and the seconds after which nothing will come.

    The process ends here, without a record, when nothing comes in time (0), or at TERM (143): nothing was begun.
    """
    signals.listen(_end)
    path, idle = Path(args[0]), float(args[1])
    began = time.monotonic()
    _get_ready(env)
    found = _await(path, began + idle)
    signals.hold()
    if not found:
        print(f"wherry-runner: no work came within {idle:.0f} s", flush=True)
        os._exit(0)
    return found


def read_work(data: bytes) -> Work:
    """Read what was handed over; raise UsageError on anything but arguments and the environment of one try."""
    try:
        if len(data) > _LIMIT:
            raise ValueError(f"{len(data)} bytes, at most {_LIMIT} were expected")
        found = json.loads(data)
        if not isinstance(found, dict) or found.keys() != {"args", "env"}:
            raise ValueError("an object of args and env was expected")
        args, env = found["args"], found["env"]
        if not isinstance(args, list) or not all(isinstance(word, str) and "\0" not in word for word in args):
            raise ValueError("args: a list of texts was expected")
        if not isinstance(env, dict) or not set(_REQUIRED) <= env.keys() <= {*_REQUIRED, *_OPTIONAL}:
            raise ValueError(f"env: {', '.join(_REQUIRED)} were expected, and at most {', '.join(_OPTIONAL)} besides")
        if not all(isinstance(value, str) and "\0" not in value for value in env.values()):
            raise ValueError("env: texts were expected")
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the work that was handed over can't be read: {error}") from None
    return Work(tuple(args), env)


def _get_ready(env: Mapping[str, str]) -> None:
    """Import for the release's own warehouse; a release that can't be read is its node's trouble."""
    gc.disable()  # importing dbt makes a million objects that stay
    from wherry_runner import slices
    from wherry_runner.ready import get_ready

    try:
        adapters = [slices.read_index(Path(env.get("WHERRY_RELEASE", ""), "slices")).adapter]
    except slices.BadReleaseError:
        adapters = []
    get_ready(adapters)
    gc.freeze()
    gc.enable()


def _await(path: Path, deadline: float) -> bytes:
    """Return the file's content as soon as there is any; b"" when there was none until the deadline."""
    notifier = _watch(path.parent)
    try:
        while not (found := _content(path)) and (remaining := deadline - time.monotonic()) > 0:
            if notifier is None:
                time.sleep(min(_POLL, remaining))
            elif select.select([notifier], [], [], min(_LOOK, remaining))[0]:
                os.read(notifier, 65536)
        return found
    finally:
        if notifier is not None:
            os.close(notifier)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LIMIT + 1)
    except FileNotFoundError:
        return b""


def _watch(folder: Path) -> int | None:
    """Return a file descriptor that can be read when something is put into the folder; None where there is no inotify.

    The kubelet replaces a link in the folder, so that a reader sees the old text or the new, each as a whole.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    notifier: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if notifier < 0:  # the user's limit of instances, or a sandbox without them
        return None
    if libc.inotify_add_watch(notifier, os.fsencode(folder), _CLOSE_WRITE | _MOVED_TO | _CREATE) < 0:
        os.close(notifier)
        return None
    return notifier


def _end(_number: int, _frame: object) -> NoReturn:
    os._exit(_TERMINATED)
