"""Releases to make DAGs of: a small shop with every kind of node and test, written as `wherry release` writes them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.serialization.serialized_objects import OperatorSerialization

from tests import releases
from tests.graph.shop import shop
from wherry.release.model import Release
from wherry.teams import Team

TEAM: dict[str, Any] = {
    "name": "acme-data",
    "namespace": "team-acme",
    "owners": ["ana.lopes@example.com", "ben@example.com"],
    "slack": "#acme-data",
    "secret": "warehouse",
    "warehouses": {
        "transform": {
            "type": "snowflake",
            "account": "acme-eu1",
            "user": "DBT",
            "database": "SHOP",
            "schema": "ANALYTICS",
            "warehouse": "TRANSFORM_WH",
            "slots": 8,
        },
        "heavy": {
            "type": "snowflake",
            "account": "acme-eu1",
            "user": "DBT",
            "database": "SHOP",
            "schema": "ANALYTICS",
            "warehouse": "HEAVY_WH",
            "slots": 2,
        },
    },
}
PROJECT: dict[str, Any] = {
    "path": "dbt/shop",
    "warehouse": "transform",
    "schedule": "0 6 * * *",
    "freshness": True,
    "nodes": [{"select": "tag:heavy", "warehouse": "heavy", "timeout": "1h", "retries": 1, "priority": 10}],
}

WriteRelease = Callable[..., Release]


@pytest.fixture
def write_release(tmp_path: Path) -> WriteRelease:
    """Write a release into tmp_path/<team>/<project>: `write_release(manifest, project="shop", tests="build", ...)`."""
    return release_writer(tmp_path)


def release_writer(root: Path) -> WriteRelease:
    """What writes releases under `root`."""

    def write(manifest: dict[str, Any] | None = None, project: str = "shop", **settings: Any) -> Release:
        team = Team.model_validate({**TEAM, "projects": {project: {**PROJECT, **settings}}})
        return releases.write_release(root, team, project, shop() if manifest is None else manifest)

    return write


@pytest.fixture
def release(write_release: WriteRelease) -> Release:
    """The shop with its default settings."""
    return write_release()


def with_digest(release: Release, image_digest: str) -> Release:
    """The same release from a registry that gives digests."""
    return replace(release, image_digest=image_digest)


def fields(task: BaseOperator) -> dict[str, Any]:
    """All that Airflow stores of a task and all that its pod is made from."""
    return {
        **OperatorSerialization.serialize_operator(task),
        "class": type(task),
        "task_id": task.task_id,
        "label": task.label,
        "group": task.task_group.group_id if task.task_group else None,
        "upstream": task.upstream_task_ids,
        "downstream": task.downstream_task_ids,
        "plan": getattr(task, "plan", None),
        "arguments": getattr(task, "arguments", None),
        "retry_delay": task.retry_delay,
        "max_retry_delay": task.max_retry_delay,
        "execution_timeout": task.execution_timeout,
        "owner": task.owner,
        "pool": task.pool,
        "priority": task.priority_weight,
    }
