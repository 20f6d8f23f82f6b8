"""The whole platform on a local Kubernetes cluster (kind): `task up` and what goes with it."""
