"""Running other programs: quietly, and with their own last words when they fail."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from wherry.demo.layout import REPOSITORY
from wherry.errors import WherryError

_HELM_AND_KUBECTL = REPOSITORY / "charts" / "tools.py"


def run(
    *command: str | Path, stdin: bytes | None = None, environment: Mapping[str, str] | None = None, timeout: float = 900
) -> bytes:
    """What the program printed; WherryError, with its own words, where it failed or took longer than `timeout` s."""
    words = [str(word) for word in command]
    said = " ".join(words[:4])
    try:
        done = subprocess.run(
            words,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=timeout,
            env={**os.environ, **(environment or {})},
        )
    except FileNotFoundError:
        raise WherryError(f"{words[0]} is missing; see: wherry cluster tools") from None
    except subprocess.TimeoutExpired:
        raise WherryError(f"`{said} ...` did not end within {timeout:.0f} s") from None
    if done.returncode:
        words_of_its_own = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise WherryError(f"`{said} ...` failed with exit code {done.returncode}:\n{words_of_its_own[-3000:]}")
    return done.stdout


def kubernetes_tool(program: str) -> Sequence[str]:
    """The beginning of a command line of helm or kubectl: the one on PATH, or the development environment's."""
    return (sys.executable, str(_HELM_AND_KUBECTL), program)
