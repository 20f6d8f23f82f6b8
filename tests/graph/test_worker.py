"""Modes local and virtualenv for real: Airflow's task runner, the runner's dbt, PostgreSQL and the growth project."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from airflow.sdk.execution_time import comms, task_runner

from tests.operator.airflow_side import Supervisor, run_task
from wherry.demo.layout import REPOSITORY, RUNNER_PYTHON
from wherry.demo.postgres import Postgres
from wherry.demo.raw import load_raw
from wherry.graph.dags import build_dag
from wherry.release import Release, build_release
from wherry.release.images import NoImages
from wherry.teams import load_team

pytestmark = pytest.mark.skipif(not RUNNER_PYTHON.exists(), reason=f"no runner's environment: {RUNNER_PYTHON}")

PASSWORD = "s3cret-of-growth"
FERNET = "the-key-of-all-connections"


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(
        tmp_path_factory.mktemp("warehouse"), roles={"growth": PASSWORD}, databases={"warehouse": "growth"}
    ) as server:
        yield server


@pytest.fixture(scope="module")
def environment(warehouse: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """What the platform sets, and growth's secret and raw data."""
    secret = {
        "POSTGRES_HOST": "127.0.0.1",
        "POSTGRES_PORT": str(warehouse.port),
        "DBT_ENV_SECRET_PASSWORD": PASSWORD,
    }
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "growth.env").write_text("".join(f"{name}={value}\n" for name, value in secret.items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHERRY_EXECUTION", "local")
        patch.setenv("WHERRY_RUNNER_PYTHON", str(RUNNER_PYTHON))
        patch.setenv("WHERRY_SECRETS", str(folder))
        patch.setenv("AIRFLOW__CORE__FERNET_KEY", FERNET)
        team = load_team(REPOSITORY / "k8s/teams/growth.yaml")
        load_raw(team, team.projects["growth"], secret, REPOSITORY)
        yield patch


@pytest.fixture(scope="module")
def release(environment: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release of growth, with a model that looks for Airflow's secrets and two that fail."""
    root = tmp_path_factory.mktemp("repository")
    shutil.copytree(REPOSITORY / "dbt/growth", root / "dbt/growth")
    models = root / "dbt/growth/models"
    (models / "nosy.sql").write_text('select \'{{ env_var("AIRFLOW__CORE__FERNET_KEY", "nothing") }}\' as found')
    (models / "bad.sql").write_text("select nothing_like_it")
    (models / "loud.sql").write_text(f"select '{PASSWORD}' as said, nothing_like_it")
    team = load_team(REPOSITORY / "k8s/teams/growth.yaml")
    return build_release(team, "growth", root / "releases", root=root, images=NoImages()).release


Run = Callable[[str], tuple[str, str, Supervisor]]


@pytest.fixture
def run(release: Release, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run one task of the DAG: its state, the error that decided it, and what Airflow was told."""
    dag = build_dag(release)

    def run(task_id: str) -> tuple[str, str, Supervisor]:
        supervisor = Supervisor()
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
        state, error = run_task(dag.task_dict[task_id], supervisor, try_number=1, retries=2)
        return state, str(error or ""), supervisor

    return run


def query(warehouse: Postgres, statement: str) -> Any:
    """The one value that a statement returns."""
    connection = psycopg2.connect(warehouse.url("warehouse"), options="-csearch_path=analytics")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0]
    finally:
        connection.close()


def test_the_worker_builds_a_node(run: Run, warehouse: Postgres) -> None:
    """A model of the sample project and its tests; its SQL is shown, and no secret is."""
    state, error, supervisor = run("stg_web__users.build")
    assert (state, error) == ("success", "")
    assert query(warehouse, "select count(*) from stg_web__users") > 0
    assert set(supervisor.rendered) == {"arguments", "compiled_sql"}
    said = [one for one in supervisor.said if not isinstance(one, comms.MaskSecret)]
    assert PASSWORD not in repr(said)
    assert PASSWORD in {one.value for one in supervisor.said if isinstance(one, comms.MaskSecret)}


@pytest.mark.integration
def test_dbt_sees_nothing_of_airflows(run: Run, warehouse: Postgres) -> None:
    """env_var() finds the team's secret and no variable of the worker's, which holds Airflow's keys."""
    state, _, supervisor = run("nosy.build")
    assert state == "success"
    assert FERNET not in repr(supervisor.said)
    assert query(warehouse, "select found from nosy") == "nothing"


@pytest.mark.integration
def test_dbts_own_error_is_not_tried_again(run: Run) -> None:
    """As in a pod; a secret that a model writes out is masked where dbt's words are."""
    state, error, supervisor = run("loud.build")
    assert (state, error) == ("failed", "dbt failed; its words are in the log above")
    assert PASSWORD not in repr([one for one in supervisor.said if not isinstance(one, comms.MaskSecret)])


def test_without_a_secret_the_task_says_so(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It names the file that the platform has to give, and is not tried again."""
    monkeypatch.setenv("WHERRY_SECRETS", str(tmp_path))
    state, error, _ = run("stg_web__users.build")
    assert state == "failed"
    assert f"{tmp_path}/growth.env: No such file or directory; expected the team's secret" in error


@pytest.mark.integration
def test_what_keeps_dbt_from_running_is_tried_again(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A warehouse that is away is no error of the project."""
    (tmp_path / "growth.env").write_text(
        f"POSTGRES_HOST=127.0.0.1\nPOSTGRES_PORT=1\nDBT_ENV_SECRET_PASSWORD={PASSWORD}\n"
    )
    monkeypatch.setenv("WHERRY_SECRETS", str(tmp_path))
    state, error, _ = run("stg_web__users.build")
    assert (state, error[:24]) == ("up_for_retry", "dbt ended with exit code")


@pytest.mark.integration
def test_a_virtualenv_is_made_once_and_runs_dbt(
    release: Release, environment: pytest.MonkeyPatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From requirements that the runner's lock pins by hash; the second task finds it there."""
    requirements = tmp_path / "requirements.txt"
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is missing: it writes the requirements")
    lock = ("export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--output-file", str(requirements))
    subprocess.run([uv, *lock], cwd=REPOSITORY / "images/dbt-runner", check=True)
    monkeypatch.setenv("WHERRY_EXECUTION", "virtualenv")
    monkeypatch.setenv("WHERRY_DBT_REQUIREMENTS", str(requirements))
    monkeypatch.setenv("WHERRY_VIRTUALENVS", str(tmp_path / "virtualenvs"))
    dag = build_dag(release)
    made = []
    for task_id in ("stg_web__users.build", "stg_web__events.build"):
        supervisor = Supervisor()
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
        state, error = run_task(dag.task_dict[task_id], supervisor, try_number=1, retries=0)
        assert (state, error) == ("success", None)
        made.append({path: path.stat().st_mtime_ns for path in (tmp_path / "virtualenvs").glob("*/bin/dbt")})
    assert len(made[0]) == 1
    assert made[0] == made[1]


@pytest.mark.integration
def test_a_whole_project_is_green(release: Release, warehouse: Postgres, run: Run) -> None:
    """Every task of the sample project, in the order of the DAG, but for the two models that are meant to fail."""
    dag: Any = build_dag(release)
    states = {task.task_id: run(task.task_id)[0] for task in dag.topological_sort()}
    assert {task_id for task_id, state in states.items() if state != "success"} == {"bad.build", "loud.build"}
    assert query(warehouse, "select count(*) from fct_sessions") > 0
