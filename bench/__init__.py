"""Measures what a pod per dbt node costs, beside what else there is: `task bench`."""
