"""What needs a real Kubernetes cluster."""
