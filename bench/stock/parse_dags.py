"""A DAG by stock Cosmos out of dbt's manifest, as its documentation sets up ExecutionMode.KUBERNETES."""

import os
from datetime import datetime

from airflow.sdk import DAG  # noqa: F401 - Airflow looks for this word before it reads a file
from cosmos import DbtDag, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, InvocationMode, LoadMode, TestBehavior

dag = DbtDag(
    dag_id="stock",
    schedule=None,
    start_date=datetime(2025, 1, 1),
    catchup=False,
    project_config=ProjectConfig(manifest_path=os.environ["BENCH_MANIFEST"], project_name="synthetic"),
    profile_config=ProfileConfig(profile_name="synthetic", target_name="prod", profiles_yml_filepath=__file__),
    execution_config=ExecutionConfig(execution_mode=ExecutionMode.KUBERNETES, dbt_project_path="/wherry/project"),
    render_config=RenderConfig(
        load_method=LoadMode.DBT_MANIFEST,
        invocation_mode=InvocationMode.SUBPROCESS,
        test_behavior=TestBehavior(os.environ.get("BENCH_TESTS", "build")),
    ),
    operator_args={"image": "wherry.local/stock:1", "namespace": "team-bench", "get_logs": True},
)
