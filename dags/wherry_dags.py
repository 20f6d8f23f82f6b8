"""Every team's DAGs, out of the releases. Airflow looks for the words airflow and dag in a file before it reads it."""

from wherry.graph import load_dags
from wherry.settings import releases_folder

globals().update(load_dags(releases_folder()))
