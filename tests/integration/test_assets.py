"""Two teams on a real Airflow: the second one's DAG runs when the first one's public model has been built."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from wherry.demo.layout import REPOSITORY, Layout
from wherry.demo.run import wait_for_dags
from wherry.demo.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ASSET = "wherry://shop/sales/orders"
TEAM = """
name: {name}
namespace: team-{name}
owners: [ana@example.com]
secret: warehouse
warehouses:
  main:
    {{type: postgres, host: {{env: POSTGRES_HOST}}, port: {{env: POSTGRES_PORT}}, user: {name}, database: {name},
     schema: analytics, slots: 2}}
projects:
  {project}: {{path: dbt/{project}, warehouse: main{more}}}
"""
FILES = {
    "k8s/teams/shop.yaml": TEAM.format(name="shop", project="sales", more=""),
    "k8s/teams/board.yaml": TEAM.format(name="board", project="reports", more=f", assets: ['{ASSET}']"),
    "dbt/sales/dbt_project.yml": "{name: sales, profile: sales}",
    "dbt/sales/models/orders.sql": "select 1 as id",
    "dbt/sales/models/inner_part.sql": "select 1 as id",
    "dbt/sales/models/models.yml": "models: [{name: orders, config: {access: public}}]",
    "dbt/reports/dbt_project.yml": "{name: reports, profile: reports}",
    "dbt/reports/models/report.sql": "select 1 as id",
}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A demo of two small teams, its DAGs unpaused."""
    root = tmp_path / "repository"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    shutil.copytree(REPOSITORY / "dags", root / "dags")
    state = tmp_path / "state"
    state.mkdir()
    with Stack(Layout(state, root), Console(file=(state / "console.log").open("w"))) as running:
        wait_for_dags(running, frozenset({"shop__sales", "board__reports"}))
        for dag_id in ("shop__sales", "board__reports"):
            running.api.unpause(dag_id)
        yield running


def until(stack: Stack, found: Callable[[], Any]) -> Any:
    """Wait until the function returns something."""
    deadline = time.monotonic() + 240
    while not (value := found()):
        stack.check()
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return value


def test_a_dag_runs_after_another_teams_model(stack: Stack) -> None:
    """The asset shows who makes it and who waits for it; its update starts one run, caused by that very task."""
    api = stack.api
    assets = {asset["uri"]: asset for asset in api._call("GET", "/assets")["assets"]}
    assert assets.keys() == {ASSET}, "a model that isn't public is no asset"
    assert [task["task_id"] for task in assets[ASSET]["producing_tasks"]] == ["orders.build"]
    assert [dag["dag_id"] for dag in assets[ASSET]["scheduled_dags"]] == ["board__reports"]
    assert api.latest_run("board__reports") is None

    run = api.trigger("shop__sales")
    follower = until(stack, lambda: api.latest_run("board__reports"))
    assert follower["run_type"] == "asset_triggered"
    until(stack, lambda: api.run_state("board__reports", follower["dag_run_id"]) == "success")
    until(stack, lambda: api.run_state("shop__sales", run) == "success")
    (event,) = api._call("GET", "/assets/events")["asset_events"]
    assert (event["source_dag_id"], event["source_task_id"], event["source_run_id"]) == (
        "shop__sales",
        "orders.build",
        run,
    )
    assert [created["dag_id"] for created in event["created_dagruns"]] == ["board__reports"]
