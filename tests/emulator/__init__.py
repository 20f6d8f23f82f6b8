"""The Snowflake emulator, driven by the real connector."""
