"""The demo's programs: started together, watched, and stopped together, whatever ends the demo."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from wherry.errors import WherryError

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Program:
    """One program of the demo: what to start and with which environment."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    niceness: int = 0


def inherited_environment() -> dict[str, str]:
    """This process's environment, less the variable by which Python would compile everything at each start."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


class Processes:
    """Starts programs in sessions of their own, with their output in `<state>/logs/<name>.log`.

    On Linux the kernel sends them SIGTERM when this process dies, even by SIGKILL (prctl(2), PR_SET_PDEATHSIG);
    elsewhere `stop_leftovers` ends them at the next start. Call `start` from the main thread only: the kernel's
    promise is tied to the thread that forked.
    """

    def __init__(self, state: Path) -> None:
        self._pids = state / "pids"
        self._logs = state / "logs"
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, program: Program) -> subprocess.Popen[bytes]:
        """Start a program; its process id is noted so that a later demo can find it."""
        self._logs.mkdir(parents=True, exist_ok=True)
        self._pids.mkdir(parents=True, exist_ok=True)
        with self.log(program.name).open("wb") as log:
            process = subprocess.Popen(
                program.argv,
                env=dict(program.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: _before_exec(program.niceness),  # noqa: PLW1509
            )
        (self._pids / f"{process.pid}").write_text(f"{psutil.Process(process.pid).create_time()}")
        self._running[program.name] = process
        return process

    def run(self, program: Program) -> None:
        """Start a program and wait for its end.

        Raises:
            WherryError: it ended with another exit code than 0; the message has the end of its log.
        """
        process = self.start(program)
        code = process.wait()
        del self._running[program.name]
        self._forget(process.pid)
        if code:
            raise WherryError(f"{program.name} ended with exit code {code}.\n{self._tail(program.name)}")

    def log(self, name: str) -> Path:
        """The log file of a program."""
        return self._logs / f"{name}.log"

    def pids(self) -> dict[str, int]:
        """The process ids of the programs that run, by their names."""
        return {name: process.pid for name, process in self._running.items()}

    def check(self) -> None:
        """Raise a `WherryError` when a program that should be running has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise WherryError(f"{name} ended by itself (exit code {process.returncode}).\n{self._tail(name)}")

    def stop(self, grace: float = 3) -> None:
        """End everything that was started, and whatever those programs started: TERM, then KILL after `grace` s."""
        end_trees([psutil.Process(p.pid) for p in self._running.values() if p.poll() is None], grace)
        for process in self._running.values():
            process.wait()
            self._forget(process.pid)
        self._running.clear()

    def stop_leftovers(self) -> int:
        """End the programs that an earlier demo left behind; returns how many there were."""
        found = []
        for note in self._pids.glob("*"):
            with contextlib.suppress(psutil.NoSuchProcess, ValueError):
                process = psutil.Process(int(note.name))
                if abs(process.create_time() - float(note.read_text())) < 1:
                    found.append(process)
            note.unlink(missing_ok=True)
        end_trees(found, grace=5)
        return len(found)

    def _forget(self, pid: int) -> None:
        (self._pids / f"{pid}").unlink(missing_ok=True)

    def _tail(self, name: str, lines: int = 15) -> str:
        text = self.log(name).read_text(errors="replace").splitlines()
        return "\n".join([*text[-lines:], f"(the whole log: {self.log(name)})"])


def run_together(jobs: Sequence[Callable[[], object]]) -> None:
    """Do jobs in threads and wait for all; raise what the first one that failed raised.

    When one fails, or we are interrupted, the programs that the others wait for are ended: a thread itself can't be.
    """
    before = set(psutil.Process().children())
    with ThreadPoolExecutor() as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(future.done() for future in futures):
                end_trees(set(psutil.Process().children()) - before, grace=1)
                wait(futures, timeout=0.1)
            raise


def end_trees(roots: Iterable[psutil.Process], grace: float) -> None:
    """End processes with all their descendants: TERM to each, KILL to what is left after `grace` seconds."""
    tree: list[psutil.Process] = []
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            tree += [*root.children(recursive=True), root]
    _signal(tree, signal.SIGTERM)
    _, alive = psutil.wait_procs(tree, timeout=grace)
    _signal(alive, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _before_exec(niceness: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if niceness:
        os.nice(niceness)
