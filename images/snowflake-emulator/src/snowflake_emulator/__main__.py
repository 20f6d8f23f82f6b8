"""`python -m snowflake_emulator`."""

from snowflake_emulator.main import main

main()
