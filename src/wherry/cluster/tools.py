"""The programs that `task up` needs on this machine, and how to get those that are missing."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from wherry.cluster.shell import kubernetes_tool
from wherry.errors import WherryError


@dataclass(frozen=True)
class Tool:
    """A program, the command that shows that it works, and what to do where it doesn't."""

    name: str
    probe: tuple[str, ...]
    remedy: str


_KIND = "https://kind.sigs.k8s.io/docs/user/quick-start/#installation"
TOOLS = (
    Tool("docker", ("docker", "version"), "install Docker and start it: https://docs.docker.com/engine/install/"),
    Tool("kind", ("kind", "version"), f"install kind 0.24 or later: {_KIND}"),
    Tool("kubectl", (*kubernetes_tool("kubectl"), "version", "--client"), "https://kubernetes.io/docs/tasks/tools/"),
    Tool("helm", (*kubernetes_tool("helm"), "version"), "3.19 or later: https://helm.sh/docs/intro/install/"),
)


def check(*names: str, works: Callable[[Tool], bool] | None = None) -> None:
    """Raise a WherryError that lists every program (or of those named) that doesn't answer, a line each."""
    missing = [tool for tool in TOOLS if (not names or tool.name in names) and not (works or _works)(tool)]
    if missing:
        lines = [f"  {tool.name:8} {tool.remedy}" for tool in missing]
        raise WherryError("\n".join(["missing, or not running:", *lines]))


def _works(tool: Tool) -> bool:
    if shutil.which(tool.probe[0]) is None:
        return False
    return subprocess.run(tool.probe, capture_output=True, check=False, timeout=60).returncode == 0
