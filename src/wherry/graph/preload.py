"""Importing this module imports what a task's process needs: for the programs that fork such processes.

Airflow forks a process for each task and for each look at the DAG files; what its parent hasn't imported, each imports
again. The graph imports the operators of a release's execution mode when it meets one; here is the usual mode's.
"""

from importlib import import_module
from typing import Final

# Airflow imports these in its workers and in the tasks' processes, late.
_AIRFLOWS: Final = (
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.execution_time.schema.migrator",
    "airflow.sdk._shared.logging.remote",
    "airflow.providers.standard.operators.trigger_dagrun",
    "airflow.providers.standard.sensors.external_task",
    "upath.implementations.local",
)

for module in ("wherry.graph", "wherry.operator", *_AIRFLOWS):
    import_module(module)
