# mypy: allow-subclassing-any
"""Cosmos' Kubernetes operators with a waiting half of our own."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from inspect import signature
from typing import Any, ClassVar

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRuntimeError, AirflowTaskTimeout
from cosmos.operators.base import AbstractDbtBase
from cosmos.operators.kubernetes import (
    DbtBuildKubernetesOperator,
    DbtKubernetesBaseOperator,
    DbtRunKubernetesOperator,
    DbtSeedKubernetesOperator,
    DbtSnapshotKubernetesOperator,
    DbtSourceKubernetesOperator,
    DbtTestKubernetesOperator,
)

from wherry import settings
from wherry.operator.kube import ApiError, Patience, Pod, connect
from wherry.operator.lean import LeanOperator
from wherry.operator.outcome import Cause, Outcome, classify
from wherry.operator.report import explain, result, warnings
from wherry.operator.run import Ending, Listener, PodRun, read_record
from wherry.pod import PodPlan, TaskTry, more_memory
from wherry.results.breakdown import breakdown
from wherry.results.store import ResultKey, ResultStore

_dbt_log = logging.getLogger("dbt")
_log = logging.getLogger(__name__)
_MEMORY_KEY = "wherry_memory"  # in Airflow's task state store: what the next try gets after an out-of-memory kill
_UNUSED = frozenset({"manifest_filepath"})  # Cosmos hands it to every operator
_REFUSED = ("env", "vars", "append_env", "dbt_cmd_global_flags", "interceptors", "extra_context")


class PodOperator(DbtKubernetesBaseOperator):
    """Runs one dbt command in a pod of its own and fails, retries or succeeds by what became of it.

    Takes Cosmos' own arguments (`select`, `full_refresh`, ...), Airflow's (`retries`, `pool`, ...) and the `plan`. An
    argument that nobody would read is a TypeError. Nothing is rendered by Jinja: a team's text stays literal.
    """

    template_fields: Sequence[str] = ("image", "namespace", "arguments")
    template_fields_renderers: ClassVar[dict[str, str]] = {}
    patience: ClassVar[Patience] = Patience()
    also_read: ClassVar[frozenset[str]] = frozenset()  # arguments that a subclass reads

    def __init__(self, *, plan: PodPlan, **kwargs: Any) -> None:
        """Take what is known when the DAG is parsed."""
        _refuse_unread(type(self), kwargs)
        super().__init__(**kwargs | {"image": plan.image, "namespace": plan.namespace, "do_xcom_push": True})
        self.plan = plan
        self.arguments = dbt_arguments(self)
        self._run: PodRun | None = None

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render nothing: a team's text is data."""

    def _do_render_template_fields(self, *_: Any, **__: Any) -> None:
        """Render nothing, for a mapped task too."""

    def get_env(self, context: Context) -> dict[str, Any]:
        """No environment of Airflow's goes into the pod; what it gets is in `wherry.pod`."""
        del context
        return {}

    def execute(self, context: Context, **_: Any) -> dict[str, Any]:
        """Run the pod; return its result.

        Raises AirflowException where another try makes sense, else AirflowFailException.
        """
        plan, attempt, store = self.plan, task_try(context), context.get("task_state_store")
        memory = store.get(_MEMORY_KEY) if store and attempt.try_number > 1 else None
        limit = str(memory or plan.resources.memory_limit)
        api = connect(plan.namespace)
        run = PodRun(api, plan, attempt, Listener(self.log_reader(context), self._keep_leftover), self.patience)
        self._run, run.marks["started"] = run, context["ti"].start_date.timestamp()
        try:
            ending = run.run(self.arguments, str(memory) if memory else None)
        except BaseException as error:
            ending = self._abort(run, error)
            if not isinstance(error, AirflowTaskTimeout):
                self._keep(attempt, result(ending, plan, attempt, limit))
                raise
        ending, more = _with_ceiling(ending, limit, plan)
        found = result(ending, plan, attempt, limit)
        self._keep(attempt, found)
        _log.info("%s", breakdown(ending.marks, ending.record))
        if more and store:
            store.set(_MEMORY_KEY, more)
        if not ending.outcome.ok:
            _share(context, found)
        return _conclude(ending, explain(ending, plan, limit, more), found)

    def log_reader(self, context: Context) -> Callable[[str], None]:
        """What takes each line of the pod's log: here the task's own log."""
        del context
        return _dbt_log.info

    def on_kill(self) -> None:
        """Delete the pod and wait, as long as Airflow lets us, until dbt has cancelled its query and is gone.

        Raises AirflowException, which ends the wait for the pod, where that has become the next try's.
        """
        if run := self._run:
            ending = Ending(Outcome(Cause.KILLED, "the task was stopped"), run.pod or {}, marks=run.marks)
            self._keep(run.attempt, result(ending, self.plan, run.attempt, self.plan.resources.memory_limit))
            if not self._delete_pod(run):
                raise AirflowException("the task was stopped; its pod goes on for the next try")

    def _abort(self, run: PodRun, error: BaseException) -> Ending:
        """End a pod that nobody waits for any more."""
        self._delete_pod(run)
        cause = Cause.DEADLINE if isinstance(error, AirflowTaskTimeout) else Cause.KILLED
        return Ending(Outcome(cause, type(error).__name__), run.pod or {}, marks=run.marks)

    def _delete_pod(self, run: PodRun) -> bool:
        """Whether it was there to be deleted, and not another try's.

        With a connection of its own: the task's may be in the middle of a call that a signal broke into.
        """
        try:
            return run.delete_and_wait(connect(self.plan.namespace))
        except ApiError as error:
            _log.warning("the pod could not be deleted: %s", error)
            return True

    def _keep_leftover(self, attempt: TaskTry, pod: Pod) -> None:
        """Record what a try did whose worker died before it could say so."""
        record = read_record(pod)
        self._keep(attempt, result(Ending(classify(pod, record), pod, record), self.plan, attempt, ""))

    def _keep(self, attempt: TaskTry, found: Mapping[str, Any]) -> None:
        folder = settings.results_folder()
        if folder is None:
            return
        key = ResultKey(attempt.dag_id, attempt.run_id, attempt.task_id, attempt.try_number, attempt.map_index)
        try:
            ResultStore(folder).put(key, found)
        except OSError as error:
            _log.warning("the result could not be kept in %s: %s", folder, error.strerror)


def dbt_arguments(operator: DbtKubernetesBaseOperator) -> list[str]:
    """Cosmos' command without the executable: dbt's arguments from the verb on."""
    command, _ = operator.build_cmd(context={}, cmd_flags=operator.add_cmd_flags())
    return [str(word) for word in command[1:]]


def task_try(context: Context) -> TaskTry:
    """The try that a task's process is for."""
    ti, dag_run = context["ti"], context.get("dag_run")
    index = ti.map_index if ti.map_index is not None else -1
    clears = getattr(dag_run, "clear_number", 0) or 0
    return TaskTry(ti.dag_id, ti.run_id, ti.task_id, index, ti.try_number, clears)


def _with_ceiling(ending: Ending, limit: str, plan: PodPlan) -> tuple[Ending, str | None]:
    """The ending, and the memory of the next try; at the ceiling the cause says so and there is no next try."""
    if ending.outcome.cause is not Cause.OUT_OF_MEMORY:
        return ending, None
    more = more_memory(limit, plan.memory_ceiling)
    if more:
        return ending, more
    outcome = Outcome(Cause.MEMORY_CEILING, ending.outcome.message)
    return Ending(outcome, ending.pod, ending.record, ending.adopted, ending.marks), None


def _share(context: Context, found: Mapping[str, Any]) -> None:
    """Push the result of a failed try, which Airflow itself does for a success only."""
    try:
        context["ti"].xcom_push("return_value", found)
    except AirflowRuntimeError as error:  # it must not decide whether the task is tried again
        _log.warning("the result could not be pushed: %s", error)


def _conclude(ending: Ending, told: str, found: dict[str, Any]) -> dict[str, Any]:
    if ending.outcome.cause is Cause.WARN and ending.record:
        for line in warnings(ending.record):
            _dbt_log.warning("%s", line)
    if ending.outcome.ok:
        return found
    raise (AirflowException if ending.outcome.retry else AirflowFailException)(told)


def _refuse_unread(operator: type, kwargs: Mapping[str, Any]) -> None:
    name = kwargs.get("task_id", operator.__name__)
    unknown = sorted(key for key in kwargs if key not in _read_by(operator) and not key.startswith("_"))
    if unknown:
        raise TypeError(f"{name}: unknown argument {', '.join(unknown)}; what the pod is like is in its plan")
    refused = sorted(key for key in _REFUSED if kwargs.get(key))
    if refused:
        raise TypeError(f"{name}: {', '.join(refused)} can't reach the pod; they belong in the team's release")


@lru_cache
def _read_by(operator: type) -> frozenset[str]:
    """The arguments that somebody reads: Airflow's, Cosmos' dbt base's and its mixins', not the pod operator's."""
    readers = [BaseOperator, AbstractDbtBase, *_dbt_mixins(operator)]
    names = {name for reader in readers for name in signature(reader).parameters}
    own: frozenset[str] = getattr(operator, "also_read", frozenset())
    return frozenset(names - {"self", "args", "kwargs"}) | _UNUSED | {"profile_config", "full_refresh"} | own


def _dbt_mixins(operator: type) -> Iterator[type]:
    return (base for base in operator.__mro__ if base.__module__ == AbstractDbtBase.__module__)


class DbtRunPodOperator(PodOperator, DbtRunKubernetesOperator, LeanOperator):
    """`dbt run` in a pod."""


class DbtTestPodOperator(PodOperator, DbtTestKubernetesOperator, LeanOperator):
    """`dbt test` in a pod."""


class DbtBuildPodOperator(PodOperator, DbtBuildKubernetesOperator, LeanOperator):
    """`dbt build` in a pod: the node and its tests."""


class DbtSeedPodOperator(PodOperator, DbtSeedKubernetesOperator, LeanOperator):
    """`dbt seed` in a pod."""


class DbtSnapshotPodOperator(PodOperator, DbtSnapshotKubernetesOperator, LeanOperator):
    """`dbt snapshot` in a pod."""


class DbtSourcePodOperator(PodOperator, DbtSourceKubernetesOperator, LeanOperator):
    """`dbt source freshness` in a pod."""
