"""The stock arms' DAGs, set up as their documentation says; which projects there are is in the file BENCH_PROJECTS."""

import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG
from cosmos import DbtDag, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, InvocationMode, LoadMode, TestBehavior
from kubernetes.client import models as k8s

SCRATCH = "/scratch"


def pod_arguments(project: dict[str, Any]) -> dict[str, Any]:
    """What any pod needs here: image, namespace, Secret, room, a folder to write to, and how to reach the cluster."""
    patience = int(os.environ["BENCH_PATIENCE"])
    return {
        **({"startup_timeout_seconds": patience} if patience else {}),
        "image": project["image"],
        "namespace": "team-bench",
        "service_account_name": "runner",
        "config_file": os.environ["KUBECONFIG"],
        "in_cluster": False,
        "env_from": [k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name="warehouse"))],
        "cmds": ["dbt"],
        "env_vars": {**project["env"], "DBT_TARGET_PATH": f"{SCRATCH}/target", "DBT_LOG_PATH": f"{SCRATCH}/logs"},
        "volumes": [k8s.V1Volume(name="scratch", empty_dir=k8s.V1EmptyDirVolumeSource())],
        "volume_mounts": [k8s.V1VolumeMount(name="scratch", mount_path=SCRATCH)],
        "container_resources": k8s.V1ResourceRequirements(**project["resources"]),
    }


def cosmos_dag(dag_id: str, project: dict[str, Any], mode: ExecutionMode, **render: Any) -> DbtDag:
    """A project's DAG by Cosmos."""
    return DbtDag(
        dag_id=dag_id,
        schedule=None,
        start_date=datetime(2025, 1, 1),
        catchup=False,
        max_active_tasks=64,
        default_args={"retries": int(os.environ["BENCH_RETRIES"]), "retry_delay": timedelta(seconds=30)},
        project_config=ProjectConfig(manifest_path=project["manifest"], project_name=project["name"]),
        profile_config=ProfileConfig(
            profile_name=project["profile"], target_name="prod", profiles_yml_filepath=project["profiles"]
        ),
        execution_config=ExecutionConfig(execution_mode=mode, dbt_project_path=project["project_dir"]),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST, invocation_mode=InvocationMode.SUBPROCESS, **render
        ),
        operator_args=pod_arguments(project),
    )


for project in json.loads(Path(os.environ["BENCH_PROJECTS"]).read_text()):
    name = project["name"]
    globals()[f"stock_{name}"] = cosmos_dag(f"stock__{name}", project, ExecutionMode.KUBERNETES)
    globals()[f"stockbuild_{name}"] = cosmos_dag(
        f"stockbuild__{name}", project, ExecutionMode.KUBERNETES, test_behavior=TestBehavior.BUILD
    )
    globals()[f"watcher_{name}"] = cosmos_dag(f"watcher__{name}", project, ExecutionMode.WATCHER_KUBERNETES)
    with DAG(f"onepod__{name}", schedule=None, start_date=datetime(2025, 1, 1), catchup=False) as one_pod:
        KubernetesPodOperator(
            task_id="dbt_build",
            arguments=["build", "--project-dir", project["project_dir"], "--target", "prod"],
            **pod_arguments(project),
        )
    globals()[f"onepod_{name}"] = one_pod
