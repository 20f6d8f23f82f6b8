"""Every team's DAGs, out of the releases. Airflow looks for the words airflow and dag in a file before it reads it.

The releases are those beside this file's folder unless WHERRY_RELEASES names others: in a git bundle each version has
its own, so that a DAG run stays on the releases of the commit that it began with.
"""

from pathlib import Path

from wherry.graph import load_dags
from wherry.settings import releases_folder

globals().update(load_dags(releases_folder(Path(__file__).resolve().parents[1] / "releases")))
