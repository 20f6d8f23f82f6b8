"""Airflow's side of a task: the Task SDK's own runner, and at its other end a supervisor that keeps what it is told."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import structlog
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRun, TIRunContext
from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.execution_time import comms, task_runner

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
RUN = "manual__2026-11-22T06:00:00+00:00"


@dataclass
class Supervisor:
    """Answers the task process as Airflow's supervisor would."""

    states: dict[str, Any] = field(default_factory=dict)
    xcoms: dict[str, Any] = field(default_factory=dict)
    rendered: dict[str, Any] = field(default_factory=dict)
    said: list[Any] = field(default_factory=list)
    refuses_xcoms: bool = False

    def send(self, msg: Any) -> Any:
        self.said.append(msg)
        match msg:
            case comms.SetTaskStateStore():
                self.states[msg.key] = msg.value
            case comms.GetTaskStateStore():
                if msg.key in self.states:
                    return comms.TaskStateStoreResult(value=self.states[msg.key])
                return comms.ErrorResponse(error=comms.ErrorType.TASK_STORE_NOT_FOUND)
            case comms.ValidateInletsAndOutlets():
                return comms.InactiveAssetsResult(inactive_assets=[])
            case comms.SetXCom() if self.refuses_xcoms:
                raise AirflowRuntimeError(comms.ErrorResponse(error=comms.ErrorType.API_SERVER_ERROR))
            case comms.SetXCom():
                self.xcoms[msg.key] = msg.value
            case comms.SetRenderedFields():
                self.rendered = dict(msg.rendered_fields)
        return None


def run_task(
    operator: BaseOperator, supervisor: Supervisor, *, try_number: int, retries: int, clears: int = 0
) -> tuple[str, BaseException | None]:
    """Run one try as Airflow's task process does; return its state and the error that decided it."""
    dag_id = operator.dag.dag_id
    run = DagRun(
        dag_id=dag_id, run_id=RUN, logical_date=NOW, data_interval_start=NOW, data_interval_end=NOW, run_after=NOW,
        start_date=NOW, end_date=None, clear_number=clears, run_type="manual", state="running",
        consumed_asset_events=[], partition_key=None,
    )  # fmt: skip
    ti = task_runner.RuntimeTaskInstance.model_construct(
        id=UUID(int=1), dag_id=dag_id, task_id=operator.task_id, run_id=RUN, try_number=try_number, map_index=-1,
        dag_version_id=uuid4(), hostname="worker", task=operator, bundle_instance=None, start_date=datetime.now(UTC),
        max_tries=retries, _ti_context_from_server=TIRunContext(
            dag_run=run, max_tries=retries, should_retry=try_number <= retries
        ),
    )  # fmt: skip
    state, _, error = task_runner.run(ti, ti.get_template_context(), structlog.get_logger("task"))
    return state.value, error


def in_a_dag(dag_id: str = "finance__finance") -> DAG:
    return DAG(dag_id, schedule=None, start_date=NOW)
