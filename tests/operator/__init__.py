"""The operator, against the embedded cluster."""
