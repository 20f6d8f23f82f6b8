"""Airflow's own KubernetesPodOperator, unmodified, runs pods here."""

from datetime import UTC, datetime
from typing import Any

import pytest

from .conftest import IMAGE, Space


@pytest.fixture
def operate(space: Space, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the operator's whole execute() outside of a DAG run."""
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

    monkeypatch.setenv("KUBECONFIG", str(space.cluster.kubeconfig))
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", "kubernetes://")

    class TaskInstance:
        """What the operator reads of a task instance."""

        dag_id, task_id, run_id, map_index, try_number = "d", "t", "r", -1, 1
        queue, hostname = "default", "here"
        start_date = datetime(2026, 1, 1, tzinfo=UTC)

        def xcom_push(self, **_: Any) -> None:
            """Nothing is kept."""

    def run(script: str, **options: Any) -> Any:
        operator = KubernetesPodOperator(
            task_id="t",
            name="kpo",
            namespace=space.name,
            image=IMAGE,
            arguments=[script],
            config_file=str(space.cluster.kubeconfig),
            in_cluster=False,
            startup_check_interval_seconds=0.05,
            reattach_on_restart=False,
            **options,
        )
        ti = TaskInstance()
        return operator.execute({"ti": ti, "task_instance": ti, "run_id": "r", "dag_run": None, "dag": None})

    return run


def test_success_streams_the_log_and_deletes_the_pod(
    space: Space, operate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A green pod: its lines are in the task's log, and no pod is left."""
    operate("echo from the pod; sleep 0.3; echo again", env_vars={"A": "b"})
    said = capsys.readouterr().out
    assert "[base] from the pod" in said
    assert "[base] again" in said
    for item in space.api.list_namespaced_pod(space.name).items:
        assert item.metadata.deletion_timestamp
        space.gone(item.metadata.name)


def test_failure_raises(space: Space, operate: Any) -> None:
    """A red pod: the operator raises, with the termination message in the pod's status."""
    from airflow.sdk.exceptions import AirflowException

    with pytest.raises(AirflowException, match="returned a failure"):
        operate('printf "why it failed" > $TERMINATION_MESSAGE_PATH; exit 1', on_finish_action="keep_pod")
    (item,) = space.api.list_namespaced_pod(space.name).items
    assert item.status.container_statuses[0].state.terminated.message == "why it failed"
