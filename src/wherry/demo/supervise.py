"""Run a program that must not outlive its parent: `python supervise.py [options] -- PROGRAM ARGUMENT...`.

Standard input is a lifeline: when it closes, because the parent closed it or died (SIGKILL too), the program is asked
to stop and, 10 seconds later, killed. SIGTERM and SIGINT do the same. Exits with the program's own code.
Standard library only and no import of wherry: it starts in tens of milliseconds.
"""

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

NOBODY = 65534
"""The uid and gid that POSIX systems keep for programs without rights."""

_GRACE_SECONDS = 10.0
_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


def run(command: list[str], stop_signal: signal.Signals, before_exec: Callable[[], None]) -> int:
    """Run the command until it ends by itself, the lifeline closes or we are told to stop; its exit code."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=before_exec,  # noqa: PLW1509 - no thread runs yet
        start_new_session=True,
    )

    def stop(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(stop_signal)
        timer = threading.Timer(_GRACE_SECONDS, child.kill)
        timer.daemon = True
        timer.start()

    def hold_lifeline() -> None:
        while os.read(0, 1024):
            pass
        stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    threading.Thread(target=hold_lifeline, daemon=True).start()
    return child.wait()


def die_with_parent(stop_signal: signal.Signals) -> None:
    """Have the kernel send us the signal when our parent dies; Linux only, elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)


def become_nobody(keep_access: bool) -> None:
    """Give up root for the user nobody, who needs no account of his own; nothing when we are not root.

    keep_access: keep the one capability to pass folders that are closed to others, as /root is. Linux only.
    """
    if os.geteuid() != 0:
        return
    os.setgroups([])
    os.setgid(NOBODY)
    if not (keep_access and sys.platform == "linux"):
        os.setuid(NOBODY)
        return
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setuid(NOBODY)
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):  # containers are often given only the second
        mask = 1 << capability
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        effective_permitted_inheritable = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
        if libc.capset(header, effective_permitted_inheritable) == 0:
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)
            return


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stop", default="TERM", help="the signal that asks the program to stop (%(default)s)")
    parser.add_argument("--nobody", action="store_true", help="as root: run the program as the user nobody")
    parser.add_argument("--keep-access", action="store_true", help="with --nobody: pass folders closed to others")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    stop_signal = signal.Signals[f"SIG{arguments.stop}"]

    def before_exec() -> None:
        if arguments.nobody:
            become_nobody(arguments.keep_access)
        die_with_parent(stop_signal)  # after the change of user, which would clear it

    return run(arguments.command, stop_signal, before_exec)


if __name__ == "__main__":
    code = main()
    sys.exit(code if code >= 0 else 128 - code)
