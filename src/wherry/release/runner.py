"""The runner's environment, which alone holds dbt: who it is, and what its build makes of a project."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wherry.release.model import ReleaseError

_TIMEOUT = 1800
_REMEDY = "expected the runner's Python: run `uv sync` in images/dbt-runner, or set WHERRY_RUNNER_PYTHON"

# Installed distributions by name and version, and the runner's own code by content: it may be installed editable.
_IDENTIFY = """
import hashlib, importlib.util, pathlib, sys, sysconfig
installed = sorted(path.name for path in pathlib.Path(sysconfig.get_paths()["purelib"]).glob("*.dist-info"))
code = sorted(pathlib.Path(importlib.util.find_spec("wherry_runner").origin).parent.rglob("*.py"))
parts = [sys.version, *installed, *(path.read_text() for path in code)]
print(hashlib.sha256("\\0".join(parts).encode()).hexdigest())
"""


@dataclass(frozen=True)
class Built:
    """What the runner says about a project that it has built."""

    dbt_version: str
    adapter: str
    adapter_version: str
    selected: dict[str, list[str]]


def identify(python: Path) -> str:
    """A fingerprint of the runner's environment: what it has installed and its own code."""
    done = _run(python, ["-c", _IDENTIFY], Path("/"))
    if done.returncode:
        raise ReleaseError(f"{python}: holds no runner ({_last_line(done.stderr)}); {_REMEDY}")
    return done.stdout.strip()


def build(python: Path, image: Path, out: Path, target: str, selects: Sequence[str]) -> Built:
    """Parse the project in `image`/project; leaves `out`/manifest.json (dbt's own) and `out`/slices/.

    The project's path is given relative to `image`, so that nothing of this machine gets into the result.
    Raises ReleaseError with dbt's own words.
    """
    arguments = ["--project", "project", "--profiles", "profiles", "--target", target, "--out", str(out.absolute())]
    selections = [word for select in selects for word in ("--select", select)]
    done = _run(python, ["-m", "wherry_runner.build", *arguments, *selections], image)
    answer = _answer(done.stdout)
    if not answer.get("ok"):
        raise ReleaseError(f"dbt says:\n{answer.get('error') or done.stderr[-4000:]}")
    adapter = answer["adapter"]
    return Built(answer["dbt"], adapter["type"], adapter["version"], answer["selected"])


def _run(python: Path, arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the runner's Python where no variable is worth reading: a project's Jinja may read them all."""
    with tempfile.TemporaryDirectory(prefix="wherry-release-") as home:
        environment = {
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "HOME": home,
            "LANG": "C.UTF-8",
            "PATH": os.defpath,
            "PYTHONHASHSEED": "0",  # dbt fills some lists from sets
            "TZ": "UTC",
        }
        command = [str(python.absolute()), "-P", *arguments]
        try:
            return subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=False
            )
        except OSError as error:
            raise ReleaseError(f"{python}: {error.strerror}; {_REMEDY}") from None
        except subprocess.TimeoutExpired:
            raise ReleaseError(f"dbt took more than {_TIMEOUT} s to parse the project") from None


def _answer(stdout: str) -> dict[str, Any]:
    try:
        answer = json.loads(_last_line(stdout))
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
