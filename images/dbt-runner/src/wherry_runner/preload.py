"""Importing this module imports what every pod imports: for a process that pods are forked off."""

from importlib import import_module
from importlib.util import find_spec

from wherry_runner import diet

diet.before_import()
for module in ("dbt.cli.main", "wherry_runner.invoke", "wherry_runner.main"):
    import_module(module)
diet.after_import()

for adapter in ("dbt.adapters.postgres", "dbt.adapters.snowflake"):
    if find_spec(adapter):
        import_module(adapter)
