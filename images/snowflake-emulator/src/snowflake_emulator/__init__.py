"""A Snowflake stand-in for laptops and tests: fakesnow over HTTP, fit for the unmodified dbt-snowflake adapter.

`snowflake-emulator --db-path DIR` serves Snowflake's client protocol from DuckDB files. fakesnow does the work;
this package keeps its data over a restart and mends what dbt trips over, each mend with its symptom, in `patches`.

It is not Snowflake: no roles are enforced, no warehouse is sized, no password is checked, one process serves all.
"""
