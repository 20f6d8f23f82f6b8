"""Releases: made from real dbt projects by the real runner, and read back."""
