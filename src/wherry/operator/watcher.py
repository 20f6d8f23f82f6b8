# mypy: allow-subclassing-any
"""Cosmos' watcher on our pods: one pod builds all nodes, a task a node watches it.

Cosmos reads the producer's log and waits in the triggerer; the pods, the producer's and those of a node that is tried
again, are made, watched and judged as every other pod is.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from airflow.sdk import Context
from cosmos.operators._watcher.base import BaseConsumerSensor, store_dbt_resource_status_from_log
from cosmos.operators.watcher_kubernetes import DbtProducerWatcherKubernetesOperator

from wherry.operator.kube import Patience
from wherry.operator.operators import (
    DbtBuildPodOperator,
    DbtRunPodOperator,
    DbtSeedPodOperator,
    DbtSnapshotPodOperator,
    DbtTestPodOperator,
    PodOperator,
    dbt_arguments,
)

_SENSORS_OWN = frozenset({"profiles_dir"})


class DbtProducerPodOperator(DbtProducerWatcherKubernetesOperator, DbtBuildPodOperator):
    """`dbt build` of the whole project in one pod, whose log tells the watchers how each node is.

    `tests_per_model` says which tests decide a watcher's fate, by the node, or the test, that it watches. On a further
    try Cosmos gives the watchers back what is known and skips the task: they build what is missing, a pod a node.
    """

    template_fields: Sequence[str] = PodOperator.template_fields
    also_read: ClassVar[frozenset[str]] = frozenset({"callbacks"})
    patience: ClassVar[Patience] = Patience(log=600)  # each line is an XCom: the reader may be behind the pod

    def __init__(self, **kwargs: Any) -> None:
        """Take what a pod operator takes, and `tests_per_model`."""
        super().__init__(**kwargs)
        self.arguments = dbt_arguments(self)  # Cosmos asks for the log as JSON after it has made the operator

    def log_reader(self, context: Context) -> Callable[[str], None]:
        """Cosmos' reader of dbt's JSON log: it tells the watchers by XCom, and prints the words."""
        return lambda line: store_dbt_resource_status_from_log(
            line,
            {"context": context},
            tests_per_model=self._tests_per_model,
            test_results_per_model=self._test_results_per_model,
            upstream_failure_skipped_ids=self._upstream_failure_skipped_ids,
        )


class WatchingOperator(BaseConsumerSensor, PodOperator):
    """Waits for a node, or for its tests, in the producer's pod; runs them in a pod of their own when tried again.

    `watched` is the id by which the producer tells; `for_tests` whether of its tests or of the node itself.
    """

    template_fields: Sequence[str] = PodOperator.template_fields
    also_read: ClassVar[frozenset[str]] = _SENSORS_OWN

    def __init__(self, *, watched: str, for_tests: bool, **kwargs: Any) -> None:
        """Take what a pod operator takes, and what is watched."""
        config: Mapping[str, Any] = {"dbt_node_config": {"unique_id": watched}}
        super().__init__(**kwargs | {"extra_context": config, "poke_interval": 5})
        self.for_tests = for_tests

    @property
    def is_test_sensor(self) -> bool:
        """Whether it waits for the tests' outcome; that of a node which failed is a failure too: dbt skips them."""
        return self.for_tests

    def _fallback_to_non_watcher_run(self, try_number: int, context: Context) -> bool:
        del try_number
        PodOperator.execute(self, context)
        return True


class DbtBuildWatcherPodOperator(WatchingOperator, DbtBuildPodOperator):
    """Watches a node and its tests."""


class DbtRunWatcherPodOperator(WatchingOperator, DbtRunPodOperator):
    """Watches a model."""


class DbtSeedWatcherPodOperator(WatchingOperator, DbtSeedPodOperator):
    """Watches a seed."""


class DbtSnapshotWatcherPodOperator(WatchingOperator, DbtSnapshotPodOperator):
    """Watches a snapshot."""


class DbtTestWatcherPodOperator(WatchingOperator, DbtTestPodOperator):
    """Watches tests."""
