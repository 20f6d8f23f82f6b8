"""Where a project comes from: a folder of this repository, or a commit of another one."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from wherry.release.model import ReleaseError

# Nothing that a repository holds is run: no hooks, no submodules, no helper programs of exotic transports, no prompts.
_SAFE_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "submodule.recurse=false",
    "protocol.ext.allow=never",
)
_TIMEOUT = 300


@dataclass(frozen=True)
class Commit:
    """A commit and its committer's time (ISO 8601)."""

    sha: str
    time: str


def head(folder: Path) -> Commit | None:
    """The commit that is checked out around `folder`; None outside git or when `folder` holds uncommitted changes."""
    try:
        if _git("status", "--porcelain", "--", ".", cwd=folder):
            return None
        sha, time = _git("log", "-1", "--format=%H %cI", cwd=folder).split()
    except (subprocess.SubprocessError, OSError, ValueError):
        return None
    return Commit(sha, time)


def checkout(url: str, ref: str, into: Path, protocols: str = "https:ssh") -> Commit:
    """Fetch one commit of `url` into the empty folder `into`, without history; `protocols` is what git may speak.

    Raises ReleaseError with git's own words.
    """
    try:
        _git("init", "--quiet", cwd=into)
        _git("fetch", "--quiet", "--depth=1", "--no-tags", "--", url, ref, cwd=into, protocols=protocols)
        _git("checkout", "--quiet", "--detach", "FETCH_HEAD", cwd=into)
    except subprocess.CalledProcessError as error:
        raise ReleaseError(f"{url} at {ref}: git says: {error.stderr.strip()}; mend `git` in the team file") from None
    except subprocess.TimeoutExpired:
        raise ReleaseError(f"{url} at {ref}: git took more than {_TIMEOUT} s; release again") from None
    except OSError as error:
        raise ReleaseError(f"git: {error.strerror}; expected git to be installed") from None
    commit = head(into)
    if commit is None:
        raise ReleaseError(
            f"{url} at {ref}: the checkout differs from its commit; expected a repository without filters"
        )
    return commit


def _git(*arguments: str, cwd: Path, protocols: str = "") -> str:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": os.environ.get("GIT_ASKPASS", "true"),
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
        "GIT_OPTIONAL_LOCKS": "0",
    }
    options = [option for setting in _SAFE_CONFIG for option in ("-c", setting)]
    command = ["git", *options, *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, check=True, capture_output=True, text=True, timeout=_TIMEOUT
    ).stdout
