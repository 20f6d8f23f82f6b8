"""A program under supervision, really run."""

import os
import signal
import subprocess
import sys

import pytest

from wherry.demo import supervise

TELLS_ITS_SIGNAL = (
    "import signal, sys\n"
    "for s in (signal.SIGINT, signal.SIGTERM): signal.signal(s, lambda n, _: sys.exit(n))\n"
    "print('ready', flush=True)\n"
    "signal.pause()"
)


def start(*command: str) -> subprocess.Popen[str]:
    """Run it with a lifeline."""
    whole = [sys.executable, "-I", supervise.__file__, *command]
    return subprocess.Popen(whole, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_its_exit_code_is_the_programs(script: str, code: int) -> None:
    """Also that of a program that a signal ended, as shells count it."""
    process = start("--", "sh", "-c", script)
    assert process.wait(10) == code
    process.communicate()


def test_closing_the_lifeline_stops_the_program() -> None:
    """By the signal that was asked for."""
    process = start("--stop", "INT", "--", sys.executable, "-c", TELLS_ITS_SIGNAL)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.communicate(timeout=10)
    assert process.returncode == signal.SIGINT


def test_sigterm_is_passed_on() -> None:
    """The lifeline need not close."""
    process = start("--", sys.executable, "-c", TELLS_ITS_SIGNAL)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait(10) == signal.SIGTERM
    process.communicate()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(("option", "capabilities"), [([], 0), (["--keep-access"], 1)])
def test_nobody_has_no_rights_but_those_kept(option: list[str], capabilities: int) -> None:
    """User, groups, and how many capabilities are left."""
    process = start("--nobody", *option, "--", "sh", "-c", "id -u; id -G; grep CapEff /proc/self/status")
    assert process.wait(10) == 0
    user, groups, effective = process.communicate()[0].splitlines()
    assert (user, groups) == ("65534", "65534")
    assert int(effective.split()[1], 16).bit_count() == capabilities
