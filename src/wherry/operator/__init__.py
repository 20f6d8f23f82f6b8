"""Runs one dbt node in one pod, waits for it cheaply, and says what became of it."""

from wherry.operator.operators import (
    DbtBuildPodOperator,
    DbtRunPodOperator,
    DbtSeedPodOperator,
    DbtSnapshotPodOperator,
    DbtSourcePodOperator,
    DbtTestPodOperator,
    PodOperator,
)
from wherry.operator.outcome import EFFECTS, Cause, Outcome, classify

__all__ = [
    "EFFECTS",
    "Cause",
    "DbtBuildPodOperator",
    "DbtRunPodOperator",
    "DbtSeedPodOperator",
    "DbtSnapshotPodOperator",
    "DbtSourcePodOperator",
    "DbtTestPodOperator",
    "Outcome",
    "PodOperator",
    "classify",
]
