"""The operator, the runner and PostgreSQL, all real: what a pod's end means for the query that it ran."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg2
import pytest

from tests.operator.conftest import World, later
from wherry.demo.postgres import Postgres
from wherry.release import Release, build_release
from wherry.release.images import LocalImageStore
from wherry.settings import runner_python
from wherry.teams import Resources, Team

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not runner_python().exists(), reason=f"the runner's environment is not there: {runner_python()}"
    ),
]

PROJECT = {
    "dbt_project.yml": "name: tiny\nprofile: tiny\nversion: 1.0.0\nmodels: {tiny: {+materialized: table}}\n",
    "models/good.sql": "select 1 as id",
    "models/slow.sql": "select pg_sleep(120)::text as slept",
    "models/bad.sql": "select nothing_like_it",
}
TEAM = {
    "name": "growth",
    "namespace": "team-growth",
    "owners": ["ana@example.com"],
    "secret": "warehouse",
    "warehouses": {
        "main": {
            "type": "postgres", "host": {"env": "PG_HOST"}, "port": {"env": "PG_PORT"}, "user": "growth",
            "database": "warehouse", "schema": "analytics", "slots": 4,
        }
    },
    "projects": {"tiny": {"path": "tiny", "warehouse": "main"}},
}  # fmt: skip
Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    folder = tmp_path_factory.mktemp("warehouse")
    with Postgres(folder, roles={"growth": "s3cret"}, databases={"warehouse": "growth"}) as running:
        yield running


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release of a project with a good, a bad and a slow model."""
    root = tmp_path_factory.mktemp("release")
    for name, text in PROJECT.items():
        (root / "tiny" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "tiny" / name).write_text(text)
    images = LocalImageStore(root / "images", runner_python())
    return build_release(Team.model_validate(TEAM), "tiny", root / "releases", root=root, images=images).release


@pytest.fixture
def node(world: World, warehouse: Postgres, release: Release) -> Callable[[str], None]:
    """Point the world's task at a model of the release."""
    store = world.cluster.call(lambda cluster: cluster.pods.images)
    LocalImageStore(store, runner_python()).build(release.manifest_path.parent / "image", release.image)
    world.cluster.call(
        lambda cluster: cluster.create(
            "secrets",
            world.plan.namespace,
            {
                "metadata": {"name": "postgres"},
                "stringData": {
                    "PG_HOST": "127.0.0.1", "PG_PORT": str(warehouse.port), "DBT_ENV_SECRET_PASSWORD": "s3cret",
                },
            },
        )
    )  # fmt: skip

    def point(name: str) -> None:
        world.plan = replace(
            world.plan, image=release.image, node=f"model.tiny.{name}", secret="postgres", release_id=release.id,
            resources=Resources(memory_limit="1Gi"), grace=timedelta(seconds=20),
        )  # fmt: skip
        world.select = f"fqn:tiny.{name}"

    return point


@pytest.fixture
def query(warehouse: Postgres) -> Query:
    def run(sql: str) -> list[tuple[Any, ...]]:
        with psycopg2.connect(warehouse.url()) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    return run


SLEEPING = (
    "select pid from pg_stat_activity where state = 'active' and query like '%pg_sleep(12%' and pid != pg_backend_pid()"
)


def test_a_model_is_built(world: World, node: Callable[[str], None]) -> None:
    """Success, with the record that the real runner wrote."""
    node("good")
    tried = world.run()
    assert (tried.state, tried.result["status"], tried.result["loaded"]) == ("success", "success", "slice"), tried
    assert [result["unique_id"] for result in tried.result["results"]] == ["model.tiny.good"]
    world.assert_clean()


def test_a_model_is_built_by_a_pod_that_waited(world: World, node: Callable[[str], None]) -> None:
    """The real runner, dbt imported: the same record, of a node that had nothing left to import, twice in a row."""
    node("good")
    world.plan = replace(world.plan, warm=1)
    cold = world.run()
    for _ in range(2):
        (pod,) = world.until(lambda: [pod for pod in world.pods() if pod["status"]["phase"] == "Running"], seconds=60)
        tried = world.run()
        assert (tried.state, tried.result["pod"]) == ("success", pod["metadata"]["name"]), tried
        assert [result["unique_id"] for result in tried.result["results"]] == ["model.tiny.good"]
        assert tried.result["loaded"] == "slice"
    assert tried.result.keys() == cold.result.keys()
    assert {"claim", "handover"} <= tried.result["breakdown"].keys()
    assert tried.result["breakdown"]["import"] < 0.2


def test_a_broken_model_fails_with_dbts_words(world: World, node: Callable[[str], None]) -> None:
    """PostgreSQL's message is the first thing that the task's error says; nobody tries again."""
    node("bad")
    tries = world.until_done()
    assert [one.state for one in tries] == ["failed"]
    assert "nothing_like_it" in tries[0].error
    assert "does not exist" in tries[0].error
    assert "s3cret" not in str(tries)
    world.assert_clean()


@pytest.mark.parametrize("end", ["stopped", "deadline", "deleted"])
def test_no_query_is_left_running(world: World, node: Callable[[str], None], query: Query, end: str) -> None:
    """However the pod is ended in the middle of its query: the query is cancelled before the task's end."""
    node("slow")
    if end == "deadline":
        world.plan = replace(world.plan, timeout=timedelta(seconds=15))

    def act() -> None:
        world.until(lambda: query(SLEEPING), seconds=60)
        if end == "stopped":
            os.kill(os.getpid(), signal.SIGTERM)
        if end == "deleted":
            pod = world.running_pod()
            world.apis[0].delete(pod["metadata"]["name"])

    actor = later(world, act, begun=world.running_pod)
    tried = world.run(retries=0)
    assert query(SLEEPING) == []
    assert tried.result["outcome"] == {"stopped": "killed", "deadline": "deadline", "deleted": "gone"}[end]
    actor.join()
    world.assert_clean()
