"""The embedded stand-in for the Kubernetes API."""
