"""Releases: what a dbt project is frozen into, how it is built and read back. Knows the teams, nothing else of ours."""

from wherry.release.build import Outcome, build_release
from wherry.release.model import Release, ReleaseError, ReleaseSettings, load_release, read_manifest
from wherry.release.policy import NodePolicy, Refusal, resolve

__all__ = [
    "NodePolicy",
    "Outcome",
    "Refusal",
    "Release",
    "ReleaseError",
    "ReleaseSettings",
    "build_release",
    "load_release",
    "read_manifest",
    "resolve",
]
