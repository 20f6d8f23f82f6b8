"""How each of Cosmos' execution modes makes the task of a dbt node."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from airflow.sdk import BaseOperator

from wherry.pod import PodPlan
from wherry.release.model import Release
from wherry.release.plan import PRODUCER, PlannedTask, TaskSpec, Verb
from wherry.release.policy import NodePolicy
from wherry.teams import Execution, Project

Arguments = dict[str, Any]

_MARGIN: Final = timedelta(minutes=5)  # so that the pod's own deadline speaks before Airflow's
_LONGEST_RETRY_DELAY: Final = timedelta(minutes=10)
_IN_POD: Final = "project"  # Cosmos wants a project folder; the runner knows its own
_PRODUCERS_WEIGHT: Final = 20  # Cosmos' own: what all watchers wait for comes first
_NO_TESTS: Final = ("--resource-type", "model", "--resource-type", "seed", "--resource-type", "snapshot")


@dataclass(frozen=True)
class Wanted:
    """A task to be made: `shown` is what Airflow shows of it and where it is in the DAG."""

    planned: PlannedTask
    policy: NodePolicy
    pod: PodPlan
    shown: Mapping[str, Any]

    @property
    def spec(self) -> TaskSpec:
        """What the task does."""
        return self.planned.spec

    def arguments(self) -> Arguments:
        """Airflow's own arguments, and Cosmos'. The weight is absolute: it needs no walk through the graph."""
        policy = self.policy
        return {
            **self.shown,
            "pool": policy.pool,
            "priority_weight": policy.priority,
            "weight_rule": "absolute",
            "retries": policy.retries,
            "retry_delay": policy.retry_delay,
            "retry_exponential_backoff": 2,
            "max_retry_delay": max(policy.retry_delay, _LONGEST_RETRY_DELAY),
            "execution_timeout": policy.timeout + self.pod.startup_timeout + self.pod.grace + _MARGIN,
            "project_dir": _IN_POD,
            "select": self.spec.select,
            "indirect_selection": "cautious" if self.spec.cautious else None,
            "extra_context": {},
            "plan": self.pod,
        }


class Mode(Protocol):
    """Makes the operator of a task."""

    def make(self, wanted: Wanted) -> BaseOperator:
        """The operator."""
        ...


def mode_of(execution: Execution, release: Release) -> Mode:
    """The mode of that name; only its own operators are imported. Raises WherryError where its files are missing."""
    match execution:
        case "kubernetes":
            return Pods()
        case "watcher_kubernetes":
            return Watcher(release.settings.project)
        case "local" | "virtualenv":
            return Worker(execution, release.manifest_path.parent / "image")


class Pods:
    """Each node in a pod of its own."""

    def __init__(self) -> None:
        """Import the operators."""
        from wherry import operator

        self._operators: Mapping[Verb, type[BaseOperator]] = {
            Verb.BUILD: operator.DbtBuildPodOperator,
            Verb.RUN: operator.DbtRunPodOperator,
            Verb.SEED: operator.DbtSeedPodOperator,
            Verb.SNAPSHOT: operator.DbtSnapshotPodOperator,
            Verb.SOURCE: operator.DbtSourcePodOperator,
            Verb.TEST: operator.DbtTestPodOperator,
        }

    def make(self, wanted: Wanted) -> BaseOperator:
        """The operator that runs the pod."""
        return self._operators[wanted.spec.verb](**wanted.arguments())


class Worker:
    """Each node in a process of Airflow's worker, on the release's files."""

    def __init__(self, execution: Execution, content: Path) -> None:
        """Import the operators; `content` holds the release's project and profiles."""
        from wherry.operator import local

        self._content = content
        prefix = execution.capitalize()
        self._operators = {verb: getattr(local, f"{prefix}Dbt{verb.capitalize()}Operator") for verb in Verb}

    def make(self, wanted: Wanted) -> BaseOperator:
        """The operator that runs dbt."""
        arguments = wanted.arguments() | {"execution_timeout": wanted.policy.timeout, "content": self._content}
        operator: BaseOperator = self._operators[wanted.spec.verb](**arguments)
        return operator


class Watcher:
    """One pod builds all nodes, in as many slots of their pool as it has threads; a task a node watches it."""

    def __init__(self, project: Project) -> None:
        """Import the operators."""
        from wherry.operator import watcher

        self._project, self._pods, self._operator = project, Pods(), watcher

    def make(self, wanted: Wanted) -> BaseOperator:
        """The producer, a watcher, or the pod of all tests, which none could watch."""
        if wanted.spec.id == PRODUCER:
            return self._producer(wanted)
        return self._watcher(wanted) if wanted.spec.node else self._pods.make(wanted)

    def _producer(self, wanted: Wanted) -> BaseOperator:
        """Its second try is Cosmos' own: it gives the watchers back what the first one knew."""
        ours = {
            "pool_slots": self._project.threads,
            "priority_weight": _PRODUCERS_WEIGHT,
            "retries": 1,
            "retry_delay": timedelta(),
            "tests_per_model": {watched: list(tests) for watched, tests in wanted.planned.tests.items()},
            "dbt_cmd_flags": [*_NO_TESTS] if self._project.tests in ("after_all", "none") else [],
        }
        return self._operator.DbtProducerPodOperator(**wanted.arguments() | ours)

    def _watcher(self, wanted: Wanted) -> BaseOperator:
        """In the default pool: it waits, and may not keep the producer out of its own.

        A node's unit tests have run before it: where it has no other test, the node itself is what is watched.
        """
        spec = wanted.spec
        ours = {
            "pool": "default_pool",
            "watched": spec.node,
            "for_tests": spec.verb in (Verb.TEST, Verb.BUILD) and bool(wanted.planned.tests),
        }
        operator: BaseOperator = getattr(self._operator, f"Dbt{spec.verb.capitalize()}WatcherPodOperator")(
            **wanted.arguments() | ours
        )
        return operator
