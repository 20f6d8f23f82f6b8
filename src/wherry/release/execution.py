"""Which of Cosmos' execution modes a release runs in: the platform's word first, then the team file's."""

from typing import cast, get_args

from wherry import settings as installation
from wherry.release.model import ReleaseError, ReleaseSettings
from wherry.teams import Execution

# Not watcher_kubernetes: a project has to fit that one.
_OVERRIDES = tuple(mode for mode in get_args(Execution) if mode != "watcher_kubernetes")


def execution_of(settings: ReleaseSettings) -> Execution:
    """The mode of this project on this installation. Raises ReleaseError for one that the platform doesn't allow."""
    mode = installation.execution()
    if mode is not None:
        if mode not in _OVERRIDES:
            raise ReleaseError(f"WHERRY_EXECUTION: found {mode!r}, expected one of: {', '.join(_OVERRIDES)}")
        return cast(Execution, mode)
    if settings.project.execution not in (allowed := installation.executions_allowed()):
        raise ReleaseError(
            f"projects.{settings.project_name}.execution: found {settings.project.execution!r}, expected one of: "
            f"{', '.join(allowed)}; the platform allows no other (WHERRY_EXECUTIONS_ALLOWED)"
        )
    return settings.project.execution


def is_watched(execution: Execution) -> bool:
    """Whether one pod builds all nodes, and a task watches each."""
    return execution == "watcher_kubernetes"
