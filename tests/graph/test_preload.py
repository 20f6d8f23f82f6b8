"""What a task's process has still to import after the fork: a count, which no busy machine can blur."""

import json
import os
import subprocess
import sys

from tests.graph.conftest import WriteRelease

# What the scheduler has imported, then what Airflow's task runner does in its fork: it reads the DAG file for one task.
_TASK = """
import json, sys
import wherry.graph.preload
before = set(sys.modules)
from pathlib import Path
from wherry.graph import load_dags
(dag,) = load_dags(Path(sys.argv[1])).values()
print(json.dumps({"tasks": list(dag.task_dict), "imported": sorted(set(sys.modules) - before)}))
"""


def test_a_forked_task_imports_nothing(write_release: WriteRelease) -> None:
    """The operators, Cosmos, the Kubernetes client and Airflow's task runner come with the parent."""
    release = write_release()
    folder = release.manifest_path.parents[3]
    parsing = {"DAG_ID": release.dag_id, "TASK_ID": "orders.build"}
    env = {**os.environ, **{f"_AIRFLOW_PARSING_CONTEXT_{name}": value for name, value in parsing.items()}}
    done = subprocess.run([sys.executable, "-c", _TASK, folder], env=env, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"tasks": ["orders.build"], "imported": []}
