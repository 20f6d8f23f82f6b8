"""dbt on Airflow, one Kubernetes pod per dbt node, many teams on one Airflow."""
