"""PID 1 of a Wherry pod: loads one node's slice of the manifest, runs dbt in-process, says what happened."""
