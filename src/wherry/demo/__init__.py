"""The whole platform on one laptop: PostgreSQL, a Snowflake emulator, the embedded cluster, Airflow and two teams."""
