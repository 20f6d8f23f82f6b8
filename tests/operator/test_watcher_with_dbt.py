"""The producer, the runner, dbt and PostgreSQL, all real: what the watchers are told of a project with a bad model."""

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.execution_time import task_runner

from tests.operator.airflow_side import RUN, run_task
from tests.operator.conftest import World
from tests.operator.test_watcher import PRODUCER, Airflow
from tests.operator.test_with_dbt import TEAM
from wherry.demo.postgres import Postgres
from wherry.graph.dags import build_dag
from wherry.release import build_release
from wherry.release.images import LocalImageStore
from wherry.results.store import ResultStore
from wherry.settings import runner_python
from wherry.teams import Team

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not runner_python().exists(), reason=f"the runner's environment is not there: {runner_python()}"
    ),
]

PROJECT = {
    "dbt_project.yml": "name: tiny\nprofile: tiny\nversion: 1.0.0\nmodels: {tiny: {+materialized: table}}\n",
    "models/good.sql": "select 1 as id",
    "models/child.sql": "select * from {{ ref('good') }}",
    "models/bad.sql": "select nothing_like_it",
    "models/orphan.sql": "select * from {{ ref('bad') }}",
    "models/models.yml": (
        "models: [{name: good, columns: [{name: id, data_tests: [unique, not_null]}]},"
        " {name: child, columns: [{name: id, data_tests: [{accepted_values: {arguments: {values: [2]}}}]}]}]"
    ),
}


@pytest.mark.timeout(600)
def test_watchers_learn_what_became_of_each_node(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node with its tests, one whose test failed, a bad one, and what dbt skipped for it; then the bad one again."""
    for name, text in PROJECT.items():
        (tmp_path / "tiny" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tiny" / name).write_text(text)
    described: dict[str, Any] = {**TEAM, "namespace": world.plan.namespace, "secret": "postgres"}
    described["projects"] = {"tiny": {"path": "tiny", "warehouse": "main", "execution": "watcher_kubernetes"}}
    store = world.cluster.call(lambda cluster: cluster.pods.images)
    images = LocalImageStore(store, runner_python())
    team = Team.model_validate(described)
    release = build_release(team, "tiny", tmp_path / "releases", root=tmp_path, images=images).release
    with Postgres(tmp_path / "db", roles={"growth": "s3cret"}, databases={"warehouse": "growth"}) as server:
        secret = {"PG_HOST": "127.0.0.1", "PG_PORT": str(server.port), "DBT_ENV_SECRET_PASSWORD": "s3cret"}
        body = {"metadata": {"name": "postgres"}, "stringData": secret}
        world.cluster.call(lambda cluster: cluster.create("secrets", world.plan.namespace, body))
        dag = build_dag(release)

        def run(task_id: str, xcoms: dict[str, Any], producer: str | None, try_number: int = 1) -> tuple[str, Airflow]:
            airflow = Airflow(xcoms, producer)
            monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", airflow, raising=False)
            state, _ = run_task(dag.task_dict[task_id], airflow, try_number=try_number, retries=2)
            return state, airflow

        def kept() -> set[str]:
            records = ResultStore(world.folder / "results").of_run(release.dag_id, RUN)
            return {record["task_id"] for record in records}

        state, producer = run(PRODUCER, {}, None)
        assert state == "failed"
        assert "s3cret" not in repr(producer.said)
        found = {
            task_id: run(task_id, producer.xcoms, "failed")[0]
            for task_id in sorted(dag.task_dict)
            if task_id != PRODUCER
        }
        assert found == {
            "bad.build": "up_for_retry",
            "child.build": "up_for_retry",
            "good.build": "success",
            "orphan.build": "up_for_retry",
        }
        assert kept() == {PRODUCER}
        assert run("bad.build", producer.xcoms, "failed", 2)[0] == "failed"
        assert kept() == {PRODUCER, "bad.build"}
    world.assert_clean()
