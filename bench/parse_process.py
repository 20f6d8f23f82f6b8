"""One reading of a DAG file in a process of its own: `python -m bench.parse_process DAG_FILE [DAG_ID TASK_ID]`.

Prints JSON: CPU-seconds (user and system) of importing, of reading the file as Airflow does, and of serialising, and
the modules that reading still imported. With a task it reads as that task's own process does.
"""

import json
import os
import re
import resource
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Final

# What in our image the process that forks this one has imported, and what stock Cosmos would import beyond that.
_KNOWN: Final = ("wherry.graph.preload", "cosmos.airflow.dag", "cosmos.plugin.airflow3")


def cpu() -> float:
    """CPU-seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_mb() -> float:
    """The most memory held at once. On Linux not by ru_maxrss, which begins with that of the process before exec."""
    status = Path("/proc/self/status")
    found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE) if status.exists() else None
    return (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024


def main(file: str, dag_id: str | None = None, task_id: str | None = None) -> None:
    """Read, measure, print."""
    if dag_id and task_id:
        os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = dag_id
        os.environ["_AIRFLOW_PARSING_CONTEXT_TASK_ID"] = task_id
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    for module in _KNOWN:
        import_module(module)
    known, imported, began = set(sys.modules), cpu(), time.perf_counter()
    bag = DagBag(file, safe_mode=False)
    parsed, seconds = cpu(), time.perf_counter() - began
    modules = sorted(sys.modules.keys() - known)
    if bag.import_errors:
        sys.exit(str(bag.import_errors))
    size = 0
    if not task_id:
        size = sum(len(json.dumps(DagSerialization.to_dict(dag))) for dag in bag.dags.values())
    found = {
        "import": imported,
        "parse": parsed - imported,
        "parse_wall": seconds,
        "modules": modules,
        "serialise": cpu() - parsed,
        "serialised_mb": size / 1e6,
        "tasks": sum(len(dag.task_dict) for dag in bag.dags.values()),
        "peak_mb": peak_mb(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
