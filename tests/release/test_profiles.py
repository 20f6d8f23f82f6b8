"""The generated profiles.yml."""

import yaml

from tests.release.test_policy import SNOWFLAKE
from wherry.release.profiles import profiles_yml
from wherry.teams import Postgres, Project, Snowflake

PROJECT = Project.model_validate({"path": "dbt/core", "warehouse": "w", "threads": 2})


def test_a_snowflake_profile_by_key_pair() -> None:
    """Facts are literal or read from the environment; the key is always read from there."""
    warehouse = Snowflake.model_validate(
        {**SNOWFLAKE, "host": {"env": "SF_HOST"}, "port": {"env": "SF_PORT"}, "warehouse": "WH", "slots": 1}
    )
    assert yaml.safe_load(profiles_yml("core", PROJECT, warehouse)) == {
        "core": {
            "target": "prod",
            "outputs": {
                "prod": {
                    "type": "snowflake",
                    "account": "acme-eu1",
                    "host": "{{ env_var('SF_HOST') }}",
                    "port": "{{ env_var('SF_PORT') | as_number }}",
                    "user": "DBT",
                    "database": "FINANCE",
                    "schema": "ANALYTICS",
                    "warehouse": "{{ env_var('WHERRY_WAREHOUSE', 'WH') }}",
                    "threads": 2,
                    "private_key": "{{ env_var('DBT_ENV_SECRET_PRIVATE_KEY') }}",
                    "private_key_passphrase": "{{ env_var('DBT_ENV_SECRET_PRIVATE_KEY_PASSPHRASE', '') }}",
                    "query_tag": "{{ env_var('WHERRY_QUERY_TAG', '') }}",
                    "reuse_connections": True,
                    "client_session_keep_alive": False,
                }
            },
        }
    }


def test_a_snowflake_profile_by_password() -> None:
    """The password is a reference, and there is no key."""
    warehouse = Snowflake.model_validate({**SNOWFLAKE, "warehouse": "WH", "auth": "password", "slots": 1})
    output = yaml.safe_load(profiles_yml("core", PROJECT, warehouse))["core"]["outputs"]["prod"]
    assert output["password"] == "{{ env_var('DBT_ENV_SECRET_PASSWORD') }}"
    assert "private_key" not in output


def test_a_postgres_profile() -> None:
    """The query tag becomes the application's name, as far as PostgreSQL keeps it."""
    warehouse = Postgres.model_validate(
        {"type": "postgres", "host": "db.example.com", "user": "u", "database": "d", "schema": "s", "slots": 1}
    )
    assert yaml.safe_load(profiles_yml("a name: with colon", PROJECT, warehouse))["a name: with colon"]["outputs"] == {
        "prod": {
            "type": "postgres",
            "host": "db.example.com",
            "port": 5432,
            "user": "u",
            "password": "{{ env_var('DBT_ENV_SECRET_PASSWORD') }}",
            "dbname": "d",
            "schema": "s",
            "sslmode": "prefer",
            "threads": 2,
            "application_name": "{{ env_var('WHERRY_QUERY_TAG', 'dbt')[:63] }}",
        }
    }
