"""Airflow imports this module when one of its programs starts (it must be on PYTHONPATH).

The programs that fork a process for each task or DAG file import here, once, what every such process needs:
the forks share it instead of each spending two CPU-seconds on the same imports.
"""

import sys

FORKING_PROGRAMS = {"scheduler", "dag-processor", "celery"}

if FORKING_PROGRAMS & set(sys.argv):
    import wherry.graph.preload  # noqa: F401
