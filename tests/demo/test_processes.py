"""The demo's programs: watched, and gone when the demo is gone."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from wherry.demo.processes import Processes, Program, run_together
from wherry.errors import WherryError

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
    "print(child.pid, flush=True); time.sleep(60)",
]


def wait_for(condition, timeout=10):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_output_goes_to_a_log_of_its_own(tmp_path: Path):
    """What a program prints, on both streams, is in its log."""
    processes = Processes(tmp_path)
    script = "import sys; print('out'); print('err', file=sys.stderr)"
    processes.run(Program("talker", [sys.executable, "-c", script]))
    assert sorted(processes.log("talker").read_text().split()) == ["err", "out"]


def test_a_failed_program_is_reported_with_the_end_of_its_log(tmp_path: Path):
    """A program that ends with an error is named, with its exit code and last words."""
    processes = Processes(tmp_path)
    script = "import sys; print('disk is full'); sys.exit(3)"
    with pytest.raises(WherryError, match=r"(?s)broken ended with exit code 3.*disk is full"):
        processes.run(Program("broken", [sys.executable, "-c", script]))


def test_check_notices_a_program_that_died(tmp_path: Path):
    """`check` is silent while all run and raises once one has ended."""
    processes = Processes(tmp_path)
    process = processes.start(Program("sleeper", SLEEPER))
    processes.check()
    process.kill()
    process.wait()
    with pytest.raises(WherryError, match=r"sleeper ended by itself \(exit code -9\)"):
        processes.check()


def test_stop_ends_what_ignores_term(tmp_path: Path):
    """A program that ignores SIGTERM is killed after the grace."""
    processes = Processes(tmp_path)
    process = processes.start(Program("stubborn", STUBBORN))
    wait_for(lambda: "up" in processes.log("stubborn").read_text())
    began = time.monotonic()
    processes.stop(grace=0.3)
    assert not psutil.pid_exists(process.pid)
    assert 0.3 <= time.monotonic() - began < 5


def test_stop_ends_grandchildren_in_sessions_of_their_own(tmp_path: Path):
    """What a program started is ended with it, also outside its process group."""
    processes = Processes(tmp_path)
    processes.start(Program("parent", PARENT))
    wait_for(lambda: processes.log("parent").read_text().strip())
    child = psutil.Process(int(processes.log("parent").read_text()))
    processes.stop()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_leftovers_of_a_killed_demo_are_ended_at_the_next_start(tmp_path: Path):
    """Process ids noted by an earlier demo are ended, but never a process that merely has the same id."""
    leftover = subprocess.Popen(SLEEPER)
    stranger = subprocess.Popen(SLEEPER)
    pids = tmp_path / "pids"
    pids.mkdir()
    (pids / str(leftover.pid)).write_text(str(psutil.Process(leftover.pid).create_time()))
    (pids / str(stranger.pid)).write_text("1000000000.0")
    try:
        assert Processes(tmp_path).stop_leftovers() == 1
        assert not psutil.pid_exists(leftover.pid)
        assert stranger.poll() is None
        assert not list(pids.iterdir())
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="the parent's death is signalled by Linux only")
def test_programs_end_when_the_demo_is_killed(tmp_path: Path):
    """SIGKILL of the demo leaves none of its programs running."""
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom wherry.demo.processes import Processes, Program\n"
        f"Processes(Path({str(tmp_path)!r})).start(Program('sleeper', {SLEEPER!r}))\n"
        "print('started', flush=True); time.sleep(60)"
    )
    demo = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert demo.stdout is not None
    demo.stdout.readline()
    sleeper = psutil.Process(int(next((tmp_path / "pids").iterdir()).name))
    demo.kill()
    demo.wait()
    wait_for(lambda: not sleeper.is_running() or sleeper.status() == psutil.STATUS_ZOMBIE)


def test_jobs_run_together():
    """All are done when it returns; what one raises is raised."""
    done = []
    run_together([lambda: done.append(1), lambda: done.append(2)])
    assert sorted(done) == [1, 2]
    with pytest.raises(WherryError, match="no"):
        run_together([lambda: done.append(3), lambda: (_ for _ in ()).throw(WherryError("no"))])


def test_interrupted_jobs_leave_nothing():
    """A signal to this process alone ends the programs that its threads wait for, one that a job starts next too."""
    before = set(psutil.Process().children())

    def job() -> None:
        for _ in range(2):
            subprocess.run(SLEEPER, stdout=subprocess.DEVNULL, check=False)

    began = time.monotonic()
    threading.Timer(0.7, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        run_together([job] * 3)
    assert time.monotonic() - began < 30
    assert set(psutil.Process().children()) <= before
