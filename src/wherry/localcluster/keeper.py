"""Nothing outlives the server: a small process that waits for the server's death, then kills what its pods left.

Run as a program (`python keeper.py FOLDER`, standard library only) with the read end of a pipe as its stdin: when the
server is gone, however it went, the pipe closes. The folder holds one subfolder a pod, named by uid, with a `pid` file.
A process is killed only if its environment carries that pod's uid, so a reused pid is never hit.
"""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

MARK = b"WHERRY_POD_UID="  # the same as command.MARK: this file imports nothing of ours


def processes_of(uids: set[bytes]) -> list[int]:
    """The processes (Linux) whose environment carries one of the pods' uids."""
    found = []
    for entry in os.scandir("/proc") if sys.platform == "linux" else ():
        with suppress(OSError):
            if entry.name.isdigit() and _pod_uid(Path(entry.path, "environ").read_bytes()) in uids:
                found.append(int(entry.name))
    return found


def _pod_uid(environ: bytes) -> bytes:
    return next((part[len(MARK) :] for part in environ.split(b"\0") if part.startswith(MARK)), b"")


def kill_all(uids: set[bytes]) -> int:
    """SIGKILL every process of these pods, also those that their processes started meanwhile; how many there were."""
    killed = 0
    for _ in range(5):
        alive = processes_of(uids)
        for pid in alive:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed += len(alive)
        if not alive:
            break
    return killed


def kill_leftovers(pods: Path, fresh: bool = False) -> int:
    """Kill what the pods recorded in a folder left behind. `fresh`: they ran just now, so pids are still good."""
    recorded = list(pods.glob("*/pid"))
    if fresh and sys.platform != "linux":
        for path in recorded:
            with suppress(OSError, ValueError):
                os.killpg(int(path.read_text()), signal.SIGKILL)
    return kill_all({os.fsencode(path.parent.name) for path in recorded}) if recorded else 0


def main() -> None:
    """Wait for the end of stdin, then clear up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    kill_leftovers(Path(sys.argv[1]), fresh=True)


if __name__ == "__main__":
    main()
